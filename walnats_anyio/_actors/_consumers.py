"""Making a consumer on the server what its actor declares, and seeing whether it is.

Theory of operation. As with streams, `_step_of` asks the server and decides, and changes nothing:
`plan_consumers` gives these decisions, `register_consumers` carries them out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.pull._consumer_rules import (
    Terms,
    broken,
    differences_of,
    is_another,
    terms_of,
    updated,
    warnings,
)
from walnats_anyio._events import (
    Action,
    Difference,
    FieldChange,
    PlanAction,
    PlanEntry,
    RegisterOptions,
    check_owner,
    explain_refusal,
    plan_each,
    raise_all,
    schema_warnings,
    show,
    warn_of_schema,
)
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    ConsumerConfigError,
    Link,
    ServerError,
    StreamConfigError,
    WalnatsError,
    api,
    consumer_config,
    consumer_info,
    keeps_metadata,
    percent_problem,
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


@dataclass(frozen=True, slots=True)
class ConsumerStep:
    """What is to be done about one consumer."""

    entry: PlanEntry
    """What is done, as others see it."""

    found: tuple[Difference, ...] = ()
    """The differences, where the consumer is there."""

    actual: dict[str, Any] = field(default_factory=dict[str, Any])
    """The configuration that it has."""

    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """The whole configuration that it gets."""

    stream: dict[str, Any] | None = None
    """The configuration of the stream, if it is there and can be seen."""


async def plan_consumers(
    link: Link,
    actors: Iterable[Actor[Any, Any]],
    options: RegisterOptions,
    coming: Container[str] = (),
) -> tuple[PlanEntry, ...]:
    """Find out what `register_consumers` would do. Sends no request that changes anything.

    Args:
        link: the connection.
        actors: whose consumers, with their names on the server.
        options: what may be done.
        coming: the names of streams that are not there and will be by then.

    Raises:
        ServerError: the server does not answer, or this user may not ask it.
        ExceptionGroup: more than one request failed.
    """

    async def plan(actor: Actor[Any, Any]) -> PlanEntry:
        step = await _step_of(link, actor, options)
        stream = actor.event.stream_name
        new = step.entry.action is PlanAction.CREATE
        if new and stream not in coming and not await _has_stream(link, actor, step):
            return _failed(actor, StreamConfigError(_no_stream(actor)))
        return step.entry

    return await plan_each(actors, plan)


async def register_consumers(
    link: Link, actors: Iterable[Actor[Any, Any]], options: RegisterOptions
) -> tuple[PlanEntry, ...]:
    """Register the consumers of actors, several at once.

    Returns:
        What was done, in the order of the actors; for one that failed why.
    """

    async def register(actor: Actor[Any, Any]) -> PlanEntry:
        try:
            return await _register(link, actor, options)
        except WalnatsError as error:
            return _failed(actor, error)

    return await plan_each(actors, register)


async def _register(link: Link, actor: Actor[Any, Any], options: RegisterOptions) -> PlanEntry:
    """Create the actor's consumer, or update it where its configuration differs.

    `CONSUMER_RULES` says what is updated, refused and left as the server has it.

    Raises:
        StreamConfigError: there is no stream for the actor's event, or it is another event's.
        ConsumerConfigError: a consumer of that name cannot be what the actor needs, or the server
            refuses the configuration.
    """
    step = await _step_of(link, actor, options)
    if step.entry.error is not None:
        raise step.entry.error
    if step.stream is not None:
        warn_of_schema(actor.event, step.stream, f"actor {actor.name!r}")
    if step.entry.action is PlanAction.CREATE:
        await _put(link, actor, step, "")
        return step.entry
    for each in step.found:
        if each.rule.register is Action.WARN:
            logger.warning("%s: %s", _consumer_of(actor), each.told())
    if step.entry.action is PlanAction.UPDATE:
        await _update(link, actor, step)
    return step.entry


async def _step_of(link: Link, actor: Actor[Any, Any], options: RegisterOptions) -> ConsumerStep:
    try:
        stream = await _check_stream(link, actor)
    except StreamConfigError as error:
        return ConsumerStep(_failed(actor, error))
    declared = actor.consumer_config()
    actual = await _config_of(link, actor)
    problem = _name_problem(link, actor, stream or actual)
    if problem is not None:
        return ConsumerStep(_failed(actor, problem))
    warnings = schema_warnings(actor.event, stream or {}, f"actor {actor.name!r}")
    if actual is None:
        step = ConsumerStep(
            _entry(actor, PlanAction.CREATE, warnings=warnings), config=declared, stream=stream
        )
    else:
        found = differences_of(declared, actual, actor.event.subject_name)
        if not keeps_metadata(link, actual):
            found = [each for each in found if each.field != "metadata"]
        config = updated(actual, found)
        changes = tuple(FieldChange.of(each) for each in found if _is_changed(each))
        kept = tuple(FieldChange.of(each) for each in found if not _is_changed(each))
        action = PlanAction.KEEP if config == actual else PlanAction.UPDATE
        entry = _entry(actor, action, changes=changes, kept=kept, warnings=warnings)
        step = ConsumerStep(entry, tuple(found), actual, config, stream)
    refused = _refused(actor, step, options)
    if refused is None:
        return step
    return replace(step, entry=replace(step.entry, action=PlanAction.FAIL, error=refused))


def _refused(
    actor: Actor[Any, Any], step: ConsumerStep, options: RegisterOptions
) -> ConsumerConfigError | None:
    """Why the consumer cannot become what the actor declares; None if it can."""
    if step.entry.action is PlanAction.CREATE and not options.create:
        return ConsumerConfigError(
            f"actor {actor.name!r}: there is no consumer {actor.consumer_name!r} on stream "
            f"{actor.event.stream_name!r}: register it with create=True"
        )
    refused = [each for each in step.found if each.rule.register is Action.REFUSE]
    if refused:
        return ConsumerConfigError(
            f"{_consumer_of(actor)} cannot be used, and NATS cannot change it: {_told(refused)}. "
            f"{_remedies(refused)}"
        )
    loud = [each for each in step.found if _is_changed(each) and not each.rule.quiet]
    if loud and not options.update:
        return ConsumerConfigError(
            f"{_consumer_of(actor)} exists with another configuration "
            f"({', '.join(map(str, loud))}): register it with update=True, or declare the actor "
            "as it is"
        )
    return None


def _is_changed(difference: Difference) -> bool:
    return difference.rule.register is Action.CHANGE


def _name_problem(
    link: Link, actor: Actor[Any, Any], config: Mapping[str, Any] | None
) -> ConsumerConfigError | None:
    """Why the names on the server do not work there; None if they do."""
    problem = percent_problem(link, config, actor.consumer_name, actor.event.stream_name)
    return None if problem is None else ConsumerConfigError(f"actor {actor.name!r}: {problem}")


def _failed(actor: Actor[Any, Any], error: Exception) -> PlanEntry:
    return replace(_entry(actor, PlanAction.FAIL), error=error)


def _entry(
    actor: Actor[Any, Any],
    action: PlanAction,
    *,
    changes: tuple[FieldChange, ...] = (),
    kept: tuple[FieldChange, ...] = (),
    warnings: tuple[str, ...] = (),
) -> PlanEntry:
    name, stream = actor.consumer_name, actor.event.stream_name
    return PlanEntry("consumer", name, stream, actor.name, action, changes, kept, warnings)


async def _update(link: Link, actor: Actor[Any, Any], step: ConsumerStep) -> None:
    if step.actual.get("priority_policy") == PINNED:
        await _unpin(link, actor, step.actual)
    became = await _put(link, actor, step, "update")
    loud = [each for each in step.found if _is_changed(each) and not each.rule.quiet]
    if any(became.get(each.field) != each.want for each in loud):
        # A server that was restarted may answer with the configuration before (2.9 to 2.15.1).
        became = await _config_of(link, actor) or became
    for each in loud:
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
    info = await _info_of(link, actor)
    problem = _name_problem(link, actor, None if info is None else info["config"])
    if problem is not None:
        raise problem
    if info is None:
        raise ConsumerConfigError(
            f"actor {actor.name!r}: there is no consumer {actor.consumer_name!r} on stream "
            f"{actor.event.stream_name!r}: register it first (await conn.register())"
        )
    await _check_stream(link, actor)
    return _judge(actor, info, "is not as declared", frozenset())


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
    info = await _info_of(link, actor)
    if info is None:
        raise ConsumerConfigError(
            f"{_consumer_of(actor)} was deleted while listening, or its stream was: register the "
            "event (ConnectedEvents.register) and the actor (await conn.register()), and listen "
            "again"
        )
    terms = _judge(actor, info, "was changed while listening", known.warned)
    if is_another(known, terms):
        logger.warning(
            "%s was deleted and made again while listening: events that were emitted before and "
            "not handled by then are gone, unless another actor still waits for them",
            _consumer_of(actor),
        )
    return terms


def _judge(
    actor: Actor[Any, Any], info: dict[str, Any], what: str, warned: frozenset[str]
) -> Terms:
    actual: dict[str, Any] = info["config"]
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
    created = datetime.fromisoformat(info["created"])
    return replace(terms_of(actual, frozenset(said)), created=created)


async def _info_of(link: Link, actor: Actor[Any, Any]) -> dict[str, Any] | None:
    event = actor.event
    return await consumer_info(
        link, event.stream_name, actor.consumer_name, replicas=event.replicas
    )


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


async def _has_stream(link: Link, actor: Actor[Any, Any], step: ConsumerStep) -> bool:
    """Whether the stream is there. One that this user may not look at counts as there."""
    if step.stream is not None:
        return True
    try:
        return await stream_config(link, actor.event.stream_name) is not None
    except ServerError:
        return True


def _no_stream(actor: Actor[Any, Any]) -> str:
    return (
        f"actor {actor.name!r}: there is no stream {actor.event.stream_name!r} for event "
        f"{actor.event.name!r}: register the event first (ConnectedEvents.register)"
    )


async def _put(
    link: Link, actor: Actor[Any, Any], step: ConsumerStep, action: str
) -> dict[str, Any]:
    """Create or update the consumer; gives the configuration that it has then."""
    stream = actor.event.stream_name
    body = {"stream_name": stream, "config": step.config, "action": action}
    subject = f"CONSUMER.CREATE.{stream}.{actor.consumer_name}"
    try:
        answer = await api(link, subject, body, replicas=actor.event.replicas)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            raise StreamConfigError(_no_stream(actor)) from exc
        if exc.code is None:
            raise
        changes = step.entry.changes or tuple(
            FieldChange(name, None, value, "") for name, value in step.config.items()
        )
        raise ConsumerConfigError(
            f"{_consumer_of(actor)} is refused by the server: {explain_refusal(exc, changes)}"
        ) from exc
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
