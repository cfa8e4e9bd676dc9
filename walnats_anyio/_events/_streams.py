"""Making a stream on the server what its event declares, without taking anything from others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import anyio

from walnats_anyio._events._atomic import NEEDED, numbers_of
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._provisions import Provisions
from walnats_anyio._events._rules import Difference
from walnats_anyio._events._schedules import version_of
from walnats_anyio._events._schemas import SchemaKeeper, warn_of_schema
from walnats_anyio._events._stream_rules import (
    Held,
    StreamPlan,
    losses,
    other_owner,
    owned_by,
    plan_stream,
)
from walnats_anyio._link import (
    STREAM_NAME_IN_USE,
    Link,
    ServerError,
    StreamConfigError,
    StreamExistsError,
    api,
    stream_config,
)

logger = logging.getLogger("walnats_anyio.events")


ALLOW_ATOMIC = "allow_atomic"
"""The field with which a stream takes atomic batches (ADR-50).

It is no reason to refuse a stream, as walnats makes them without it.
"""

AT_ONCE = 16
"""Streams that are registered at the same time."""


async def register_streams(
    link: Link,
    events: Iterable[BaseEvent[Any]],
    registered: set[str],
    *,
    create: bool,
    update: bool,
    force: bool,
) -> None:
    """Register the streams of events, several at once; add the names of those that succeed.

    Raises:
        Exception: what `register_stream` raises for the only event that failed.
        ExceptionGroup: more than one failed.
    """
    errors: list[Exception] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)
    schemas, provisions = SchemaKeeper(link), Provisions(link)

    async def register_one(event: BaseEvent[Any]) -> None:
        async with limiter:
            try:
                await register_stream(
                    link, event, schemas, provisions, create=create, update=update, force=force
                )
            except Exception as error:  # noqa: BLE001 - raised below, all of them together
                errors.append(error)
            else:
                registered.add(event.name)

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(register_one, event)
    raise_all("streams could not be registered", errors)


async def register_stream(
    link: Link,
    event: BaseEvent[Any],
    schemas: SchemaKeeper,
    provisions: Provisions,
    *,
    create: bool,
    update: bool,
    force: bool = False,
) -> None:
    """Create the event's stream, or update it where its configuration differs.

    `STREAM_RULES` says what is updated, refused and left as the server has it. The schema is kept
    where the server lets this user; nothing fails for it.

    Raises:
        StreamExistsError: it exists with another configuration and `update` is False.
        StreamConfigError: it is missing and `create` is False, it is another event's, it has a
            field that `register` may not change, or the server refuses it.
    """
    declared = event.stream_config()
    actual = await stream_config(link, event.stream_name, replicas=event.replicas)
    if actual is None:
        if not create:
            raise StreamConfigError(
                f"event {event.name!r}: there is no stream {event.stream_name!r}: "
                "register it with create=True"
            )
        extras = schemas.missing_in({}, event) | _atomic_in({}, link)
        extras |= await provisions.missing_in({}, event)
        if await _create(link, event, declared | extras):
            return
        # Another process was faster by a moment.
        actual = await stream_config(link, event.stream_name, replicas=event.replicas) or {}
    plan = plan_stream(declared, actual)
    _refuse(event, plan, actual, update=update, force=force)
    for warning in plan.warnings:
        logger.warning("%s: %s", _stream_of(event), warning.told())
    warn_of_schema(event, actual)
    if not update:
        return
    schema = schemas.missing_in(actual, event) | _atomic_in(actual, link)
    provided = await provisions.missing_in(actual, event)
    if plan.update():
        await _apply(link, event, plan, actual | plan.update() | schema | provided, force=force)
    elif provided:
        await _provide(link, event, actual | schema | provided, provided)
    elif schema:
        await schemas.keep(event, actual | schema)


def _atomic_in(actual: Mapping[str, Any], link: Link) -> dict[str, Any]:
    """Give the field that a stream lacks to take atomic batches; empty where it cannot have it."""
    lacks = not actual.get(ALLOW_ATOMIC) and actual.get("persist_mode") != "async"
    able = lacks and numbers_of(version_of(actual, link)) >= NEEDED
    return {ALLOW_ATOMIC: True} if able else {}


async def _provide(
    link: Link, event: BaseEvent[Any], config: dict[str, Any], provided: dict[str, Any]
) -> None:
    """Update a stream for nothing but delays and expiry, and the schema of its messages."""
    told = " and ".join(sorted(provided))
    try:
        await _request(link, "UPDATE", event, config)
    except (StreamConfigError, ServerError) as error:
        logger.warning("%s does not get %s: %s", _stream_of(event), told, error)
    else:
        logger.info("%s was updated for delays and expiry: %s", _stream_of(event), told)


async def _apply(
    link: Link, event: BaseEvent[Any], plan: StreamPlan, config: dict[str, Any], *, force: bool
) -> None:
    if plan.may_lose():
        held = Held.of(await api(link, f"STREAM.INFO.{event.stream_name}", replicas=event.replicas))
        if not force:
            _check_losses(event, plan, held)
        if any(each.field == "storage" for each in plan.forced):
            await _replace(link, event, config, held)
            return
        if plan.forced:
            logger.warning(
                "%s holds %d messages, and register(force=True) changes it: %s",
                _stream_of(event),
                held.messages,
                _told(plan.forced),
            )
    await _request(link, "UPDATE", event, config)
    if plan.changes:
        changes = ", ".join(map(str, plan.changes))
        logger.info("%s was updated, as it differed: %s", _stream_of(event), changes)


def check_owner(event: BaseEvent[Any], actual: dict[str, Any]) -> None:
    """Refuse a stream that belongs to another event.

    Raises:
        StreamConfigError: it does; the message has both names.
    """
    owner = other_owner(event.subject_name, event.stream_name, actual.get("subjects"))
    if owner is not None:
        raise StreamConfigError(owned_by(event.name, event.stream_name, owner))


def _stream_of(event: BaseEvent[Any]) -> str:
    return f"event {event.name!r}: stream {event.stream_name!r}"


def _refuse(
    event: BaseEvent[Any], plan: StreamPlan, actual: dict[str, Any], *, update: bool, force: bool
) -> None:
    if plan.refusals:
        raise StreamConfigError(
            f"{_stream_of(event)} cannot keep events: {_told(plan.refusals)}. "
            f"{_remedies(event, plan.refusals)}"
        )
    if not force:
        check_owner(event, actual)
    differences = (*plan.changes, *plan.forced)
    if differences and not update:
        raise StreamExistsError(
            f"{_stream_of(event)} exists with another configuration "
            f"({', '.join(map(str, differences))}): register it with update=True, or declare the "
            "event as it is"
        )
    if plan.forced and not force:
        raise StreamConfigError(
            f"{_stream_of(event)} exists with another configuration, which register does not "
            f"change by itself: {_told(plan.forced)}. {_remedies(event, plan.forced)}; or take it "
            "with register(force=True)"
        )


def _check_losses(event: BaseEvent[Any], plan: StreamPlan, held: Held) -> None:
    dropped = losses(plan.changes, held)
    if dropped:
        raise StreamConfigError(
            f"{_stream_of(event)} would drop events that wait: {', '.join(dropped)}. Let the "
            "actors handle them first, declare a higher limit, or drop them with "
            "register(force=True)"
        )


def _told(differences: Iterable[Difference]) -> str:
    return ", ".join(each.told() for each in differences)


def _remedies(event: BaseEvent[Any], differences: Iterable[Difference]) -> str:
    remedies = dict.fromkeys(
        each.rule.remedy.replace("NAME", event.stream_name) for each in differences
    )
    return "; ".join(f"{each[0].upper()}{each[1:]}" for each in remedies)


async def _replace(link: Link, event: BaseEvent[Any], config: dict[str, Any], held: Held) -> None:
    """Delete a stream and make it anew, as its storage cannot be changed; only if it has nothing.

    Raises:
        StreamConfigError: something would be lost.
    """
    if held.messages or held.consumers:
        raise StreamConfigError(
            f"{_stream_of(event)}: NATS cannot change the storage of a stream, and this one holds "
            f"{held.messages} messages and {held.consumers} consumers that would be lost: declare "
            "the storage that it has, or delete the stream by hand and register again"
        )
    await _request(link, "DELETE", event, None)
    await _request(link, "CREATE", event, config)


async def _create(link: Link, event: BaseEvent[Any], config: dict[str, Any]) -> bool:
    try:
        await _request(link, "CREATE", event, config)
    except StreamConfigError as exc:
        cause = exc.__cause__
        if isinstance(cause, ServerError) and cause.code == STREAM_NAME_IN_USE:
            return False
        raise
    return True


async def _request(
    link: Link, verb: str, event: BaseEvent[Any], config: dict[str, Any] | None
) -> None:
    try:
        await api(link, f"STREAM.{verb}.{event.stream_name}", config, replicas=event.replicas)
    except ServerError as exc:
        if exc.code is None:
            raise
        raise StreamConfigError(f"{_stream_of(event)} is refused by the server: {exc}") from exc


def raise_all(what: str, errors: list[Exception]) -> None:
    """Raise the only error as it is, several as a group, nothing for none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} {what}", errors)
