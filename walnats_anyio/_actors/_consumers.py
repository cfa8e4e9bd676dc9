"""Making a consumer on the server what its actor declares, and seeing whether it is."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.pull._consumer_rules import (
    Terms,
    broken,
    differences_of,
    terms_of,
    updated,
    warnings,
)
from walnats_anyio._events import Action, Difference, check_owner, raise_all, show, warn_of_schema
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    ConsumerConfigError,
    Link,
    ServerError,
    StreamConfigError,
    api,
    consumer_config,
    stream_config,
)

logger = logging.getLogger("walnats_anyio.actors")

PINNED = "pinned_client"
"""The priority policy with which one client gets all events."""

AT_ONCE = 16
"""Consumers handled at the same time."""


async def for_each(
    actors: Iterable[Actor[Any, Any]],
    act: Callable[[Link, Actor[Any, Any]], Awaitable[None]],
    link: Link,
) -> None:
    """Act on every actor, several at once; raise what failed when all are done."""
    errors: list[Exception] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def act_on(actor: Actor[Any, Any]) -> None:
        async with limiter:
            try:
                await act(link, actor)
            except Exception as error:  # noqa: BLE001 - raised below, all of them together
                errors.append(error)

    async with anyio.create_task_group() as tasks:
        for actor in actors:
            tasks.start_soon(act_on, actor)
    raise_all("actors failed", errors)


async def register_consumer(link: Link, actor: Actor[Any, Any]) -> None:
    """Create the actor's consumer, or update it where its configuration differs.

    `CONSUMER_RULES` says what is updated, refused and left as the server has it.

    Raises:
        StreamConfigError: there is no stream for the actor's event, or it is another event's.
        ConsumerConfigError: a consumer of that name cannot be what the actor needs, or the server
            refuses the configuration.
    """
    stream = await _check_stream(link, actor)
    if stream is not None:
        warn_of_schema(actor.event, stream, f"actor {actor.name!r}")
    declared = actor.consumer_config()
    actual = await _config_of(link, actor)
    if actual is None:
        await _put(link, actor, declared, "")
        return
    found = differences_of(declared, actual, actor.event.subject_name)
    refused = [each for each in found if each.rule.register is Action.REFUSE]
    if refused:
        raise ConsumerConfigError(
            f"{_consumer_of(actor)} cannot be used, and NATS cannot change it: {_told(refused)}. "
            f"{_remedies(refused)}"
        )
    for each in found:
        if each.rule.register is Action.WARN:
            logger.warning("%s: %s", _consumer_of(actor), each.told())
    config = updated(actual, found)
    if config == actual:
        return
    if actual.get("priority_policy") == PINNED:
        await _unpin(link, actor, actual)
    became = await _put(link, actor, config, "update")
    for each in found:
        if each.rule.register is Action.CHANGE and not each.rule.quiet:
            _say_change(actor, each, became)


async def _unpin(link: Link, actor: Actor[Any, Any], actual: dict[str, Any]) -> None:
    """End the hold of a client that is pinned, or nobody else gets events until it times out.

    The server (2.15.1) keeps the pin when the policy is changed.
    """
    for group in actual.get("priority_groups") or ():
        subject = f"CONSUMER.UNPIN.{actor.event.stream_name}.{actor.consumer_name}"
        try:
            await api(link, subject, {"group": group}, replicas=actor.event.replicas)
        except ServerError as error:
            logger.warning(
                "%s: events may wait for up to priority_timeout, as a client is pinned: %s",
                _consumer_of(actor),
                error,
            )


def _say_change(actor: Actor[Any, Any], change: Difference, became: dict[str, Any]) -> None:
    field, have = change.field, became.get(change.field)
    if have is None or have == change.want:
        logger.warning(
            "%s is changed: %s from %s to %s",
            _consumer_of(actor),
            field,
            show(field, change.have),
            show(field, change.want),
        )
    else:
        # A limit of the stream or of the server, which it puts on every consumer.
        logger.warning("%s stays otherwise than declared: %s", _consumer_of(actor), change.told())


async def check_consumers(
    link: Link, actors: Iterable[Actor[Any, Any]]
) -> dict[tuple[str, str], Terms]:
    """See whether the consumers of actors are there, and can be listened to.

    Returns:
        What each server-side consumer allows, by the names of event and actor.

    Raises:
        Exception: what `check_consumer` raises for the only actor that failed.
        ExceptionGroup: more than one failed.
    """
    found: dict[tuple[str, str], Terms] = {}

    async def check(link: Link, actor: Actor[Any, Any]) -> None:
        found[actor.event.name, actor.name] = await check_consumer(link, actor)

    await for_each(actors, check, link)
    return found


async def check_consumer(link: Link, actor: Actor[Any, Any]) -> Terms:
    """See whether the actor's consumer is on the server, and can be listened to.

    Warns about what differs from the declaration and breaks no promise.

    Returns:
        What the worker has to work with.

    Raises:
        ConsumerConfigError: it is missing, or events would not come as they should.
        StreamConfigError: the stream is another event's.
    """
    actual = await _config_of(link, actor)
    if actual is None:
        raise ConsumerConfigError(
            f"actor {actor.name!r}: there is no consumer {actor.consumer_name!r} on stream "
            f"{actor.event.stream_name!r}: register it first (await conn.register())"
        )
    await _check_stream(link, actor)
    return _judge(actor, actual, "is not as declared", frozenset())


async def check_again(link: Link, actor: Actor[Any, Any], known: Terms) -> Terms:
    """Look at the consumer once more while listening: somebody may have changed or deleted it.

    Warns about differences that are new.

    Args:
        link: where to ask.
        actor: whose consumer.
        known: what the last look has found.

    Returns:
        What the worker has to work with from now on.

    Raises:
        ConsumerConfigError: it was deleted, or changed so that events do not come as they should.
        ServerError: the server does not answer.
    """
    actual = await _config_of(link, actor)
    if actual is None:
        raise ConsumerConfigError(f"{_consumer_of(actor)} was deleted while listening")
    return _judge(actor, actual, "was changed while listening", known.warned)


def _judge(
    actor: Actor[Any, Any], actual: dict[str, Any], what: str, warned: frozenset[str]
) -> Terms:
    found = differences_of(actor.consumer_config(), actual, actor.event.subject_name)
    breaking = broken(found)
    if breaking:
        raise ConsumerConfigError(
            f"{_consumer_of(actor)} {what}: {_told(breaking)}. {_remedies(breaking)}"
        )
    said = warnings(found, datetime.now(UTC))
    for each in said:
        if each not in warned:
            logger.warning("%s %s: %s", _consumer_of(actor), what, each)
    return terms_of(actual, frozenset(said))


async def _config_of(link: Link, actor: Actor[Any, Any]) -> dict[str, Any] | None:
    event = actor.event
    return await consumer_config(
        link, event.stream_name, actor.consumer_name, replicas=event.replicas
    )


async def _check_stream(link: Link, actor: Actor[Any, Any]) -> dict[str, Any] | None:
    """Make sure that the stream is the event's; gives its configuration if that can be seen."""
    event = actor.event
    try:
        config = await stream_config(link, event.stream_name, replicas=event.replicas)
    except ServerError as error:
        # A worker's user may not be allowed to look at streams, and needs it for nothing else.
        logger.info("actor %r: whose stream it is cannot be seen: %s", actor.name, error)
        return None
    if config is not None:
        check_owner(event, config)
    return config


async def _put(
    link: Link, actor: Actor[Any, Any], config: dict[str, Any], action: str
) -> dict[str, Any]:
    """Create or update the consumer; gives the configuration that it has then."""
    stream = actor.event.stream_name
    body = {"stream_name": stream, "config": config, "action": action}
    subject = f"CONSUMER.CREATE.{stream}.{actor.consumer_name}"
    try:
        answer = await api(link, subject, body, replicas=actor.event.replicas)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            raise StreamConfigError(
                f"actor {actor.name!r}: there is no stream {stream!r} for event "
                f"{actor.event.name!r}: register the event first (ConnectedEvents.register)"
            ) from exc
        if exc.code is None:
            raise
        raise ConsumerConfigError(f"{_consumer_of(actor)} is refused by the server: {exc}") from exc
    became: dict[str, Any] = answer["config"]
    return became


def _consumer_of(actor: Actor[Any, Any]) -> str:
    return (
        f"actor {actor.name!r}: consumer {actor.consumer_name!r} of stream "
        f"{actor.event.stream_name!r}"
    )


def _told(differences: Iterable[Difference]) -> str:
    return ", ".join(each.told() for each in differences)


def _remedies(differences: Iterable[Difference]) -> str:
    remedies = dict.fromkeys(each.rule.remedy for each in differences)
    return "; ".join(f"{each[0].upper()}{each[1:]}" for each in remedies)
