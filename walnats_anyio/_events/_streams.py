"""Making a stream on the server what its event declares, without taking anything from others.

Theory of operation. `_step_of` asks the server for the stream and decides what is to be done about
it; it changes nothing. `plan_streams` gives these decisions, `register_streams` carries them out.
So a plan cannot say something else than what `register` does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from walnats_anyio._events._atomic import NEEDED
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._plan import FieldChange, PlanAction, PlanEntry, plan_each
from walnats_anyio._events._provisions import Provisions, plan_schedules
from walnats_anyio._events._refusals import NOT_CLUSTERED, explain_refusal
from walnats_anyio._events._rules import Difference
from walnats_anyio._events._schedules import ALLOW_TTL, STREAM
from walnats_anyio._events._schemas import SchemaKeeper, schema_warnings, warn_of_schema
from walnats_anyio._events._stream_rules import (
    STREAM_RULES,
    Held,
    StreamPlan,
    losses,
    other_owner,
    owned_by,
    plan_stream,
)
from walnats_anyio._link import (
    ELECTED_WITHIN,
    STREAM_NAME_IN_USE,
    SUBJECT_TAKEN,
    Link,
    ServerError,
    StreamConfigError,
    StreamExistsError,
    WalnatsError,
    api,
    is_at_least,
    percent_problem,
    stream_info,
    version_of,
)

logger = logging.getLogger("walnats_anyio.events")

CREATE_AGAIN_AFTER = 0.05
"""Seconds until a stream is looked for again whose name is in use and which is not there."""

ALONE = "replicas > 1 not supported in non-clustered mode"
"""What a server in no cluster says about a new stream; before 2.14 it takes it for an old one."""

NOTHING = Held(0, 0, 0.0, 0)

ALLOW_ATOMIC = "allow_atomic"
"""The field with which a stream takes atomic batches (ADR-50).

It is no reason to refuse a stream, as walnats makes them without it.
"""

OWN_FLAGS = {ALLOW_TTL, ALLOW_ATOMIC}
"""Fields that this library sets where an event needs them, and never takes back."""

EFFECTS = {rule.field: rule.effect for rule in STREAM_RULES}


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """The arguments of `register`."""

    create: bool = True
    update: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class StreamStep:
    """What is to be done about one stream."""

    entry: PlanEntry
    """What is done, as others see it."""

    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """The whole configuration that the stream gets."""

    plan: StreamPlan = field(default_factory=StreamPlan)
    """The differences, where the stream is there."""

    actual: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The configuration that it has."""

    held: Held = NOTHING
    """What it holds."""

    provided: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The fields among `config` that delays and expiry need."""

    lacking: tuple[str, ...] = ()
    """What the event declares for delays and expiry and cannot have."""


class Extras:
    """What a stream gets beside what `STREAM_RULES` has: the schema, and what delays need."""

    def __init__(self, link: Link, *, dry: bool = False) -> None:
        self._link = link
        self.schemas = SchemaKeeper(link)
        self.provisions = Provisions(link, dry=dry)

    def atomic_in(self, actual: Mapping[str, Any]) -> dict[str, Any]:
        """Give the field that a stream lacks to take atomic batches; empty where it cannot."""
        lacks = not actual.get(ALLOW_ATOMIC) and actual.get("persist_mode") != "async"
        able = lacks and is_at_least(version_of(self._link, actual), NEEDED)
        return {ALLOW_ATOMIC: True} if able else {}


async def plan_streams(
    link: Link, events: Iterable[BaseEvent[Any]], options: RegisterOptions
) -> tuple[PlanEntry, ...]:
    """Find out what `register_streams` would do. Sends no request that changes anything.

    Raises:
        ServerError: the server does not answer, or this user may not ask it.
        ExceptionGroup: more than one request failed.
    """
    events = list(events)
    extras = Extras(link, dry=True)

    async def plan(event: BaseEvent[Any]) -> PlanEntry:
        return (await _step_of(link, event, extras, options)).entry

    entries = await plan_each(events, plan)
    return (*entries, *await plan_schedules(link, events))


async def register_streams(
    link: Link,
    events: Iterable[BaseEvent[Any]],
    registered: set[str],
    options: RegisterOptions,
) -> tuple[PlanEntry, ...]:
    """Register the streams of events, several at once; add the names of those that succeed.

    Returns:
        What was done, in the order of the events, for one that failed why; and then about the
        stream of schedules, where an event is declared with `delays`.
    """
    events = list(events)
    extras = Extras(link)
    schedules = await _schedules_before(link, events)

    async def register(event: BaseEvent[Any]) -> PlanEntry:
        try:
            entry = await register_stream(link, event, extras, options)
        except WalnatsError as error:
            return failed(event, error)
        registered.add(event.name)
        return entry

    entries = await plan_each(events, register)
    return (*entries, *await _schedules_after(link, events, schedules))


async def register_stream(
    link: Link, event: BaseEvent[Any], extras: Extras, options: RegisterOptions
) -> PlanEntry:
    """Create the event's stream, or update it where its configuration differs.

    `STREAM_RULES` says what is updated, refused and left as the server has it. The schema is kept
    where the server lets this user, and so is what delays and expiry need; nothing fails for it.

    Returns:
        What was done.

    Raises:
        StreamExistsError: it exists with another configuration and `update` is False.
        StreamConfigError: it is missing and `create` is False, it is another event's, it has a
            field that `register` may not change, or the server refuses it.
    """
    step = await _step_of(link, event, extras, options)
    if step.entry.action is PlanAction.CREATE:
        step = await _create(link, event, extras, options, step)
    if step.entry.error is not None:
        raise step.entry.error
    for warning in step.plan.warnings:
        logger.warning("%s: %s", _stream_of(event), warning.told())
    for lacking in step.lacking:
        logger.warning("event %r: %s", event.name, lacking)
    warn_of_schema(event, step.actual)
    return await _carry_out(link, event, extras, step)


async def _create(
    link: Link,
    event: BaseEvent[Any],
    extras: Extras,
    options: RegisterOptions,
    step: StreamStep,
) -> StreamStep:
    """Create the stream; gives what is left to do where another process was faster by a moment."""
    give_up_at = link.now() + ELECTED_WITHIN
    while True:
        try:
            await _request(link, "CREATE", event, step)
            return step
        except StreamConfigError as error:
            code = error.__cause__.code if isinstance(error.__cause__, ServerError) else None
            if code not in (STREAM_NAME_IN_USE, SUBJECT_TAKEN) or link.now() > give_up_at:
                raise
            refused = error
        # The other one wants another configuration. In a cluster, a name is in use for a moment
        # before its stream can be looked at.
        step = await _step_of(link, event, extras, options)
        if step.entry.action is not PlanAction.CREATE:
            return step
        if code == SUBJECT_TAKEN:
            raise refused
        await anyio.sleep(CREATE_AGAIN_AFTER)


async def _step_of(
    link: Link, event: BaseEvent[Any], extras: Extras, options: RegisterOptions
) -> StreamStep:
    info = await stream_info(link, event.stream_name, replicas=event.replicas)
    problem = percent_problem(link, (info or {}).get("config"), event.stream_name)
    if problem is None and info is None and not options.create:
        problem = f"there is no stream {event.stream_name!r}: register it with create=True"
    if problem is not None:
        return StreamStep(failed(event, StreamConfigError(f"event {event.name!r}: {problem}")))
    if info is None:
        step = StreamStep(_entry(event, PlanAction.CREATE), event.stream_config())
        return await _with_extras(event, step, extras)
    step = _compared(event, info["config"], Held.of(info))
    cluster: dict[str, Any] = info.get("cluster") or {}
    try:
        _refuse(event, step, options)
        _check_update(event, step, options, in_cluster="name" in cluster)
    except (StreamConfigError, StreamExistsError) as error:
        return replace(step, entry=replace(step.entry, action=PlanAction.FAIL, error=error))
    return await _with_extras(event, step, extras) if options.update else step


async def _with_extras(event: BaseEvent[Any], step: StreamStep, extras: Extras) -> StreamStep:
    """Add the schema, and what delays and expiry need."""
    schema = extras.schemas.missing_in(step.actual, event) | extras.atomic_in(step.actual)
    missing = await extras.provisions.missing_in(step.actual, event)
    more = missing.fields | schema
    entry = replace(step.entry, warnings=(*step.entry.warnings, *missing.warnings))
    if entry.action is not PlanAction.CREATE and more:
        changes = tuple(
            FieldChange(name, step.actual.get(name), value, EFFECTS[name])
            for name, value in more.items()
        )
        action = PlanAction.UPDATE if entry.action is PlanAction.KEEP else entry.action
        entry = replace(entry, action=action, changes=(*entry.changes, *changes))
    return replace(
        step,
        entry=entry,
        config=step.config | more,
        provided=missing.fields,
        lacking=missing.warnings,
    )


def _compared(event: BaseEvent[Any], actual: dict[str, Any], held: Held) -> StreamStep:
    """What is done about a stream that is there, if nothing forbids it."""
    plan = plan_stream(event.stream_config(), actual)
    action = PlanAction.UPDATE if plan.update() else PlanAction.KEEP
    entry = _entry(
        event,
        PlanAction.REPLACE if _is_replaced(plan) else action,
        changes=tuple(map(FieldChange.of, (*plan.changes, *plan.forced))),
        kept=tuple(FieldChange.of(each) for each in (*plan.warnings, *plan.kept) if _is_told(each)),
        warnings=schema_warnings(event, actual),
    )
    return StreamStep(entry, actual | plan.update(), plan, actual, held)


def _is_told(kept: Difference) -> bool:
    """Whether a field that is left as it is was set by somebody else, and not by this library."""
    if kept.field == "sources":
        return any(STREAM not in str(each.get("name")) for each in kept.have)
    return kept.field not in OWN_FLAGS


async def _carry_out(
    link: Link, event: BaseEvent[Any], extras: Extras, step: StreamStep
) -> PlanEntry:
    done = True
    match step.entry.action:
        case PlanAction.REPLACE:
            await _request(link, "DELETE", event, step)
            await _request(link, "CREATE", event, step)
        case PlanAction.UPDATE if step.plan.update():
            await _update(link, event, step)
        case PlanAction.UPDATE if step.provided:
            done = await _provide(link, event, step)
        case PlanAction.UPDATE:
            done = await extras.schemas.keep(event, step.config)
        case _:
            pass
    return step.entry if done else replace(step.entry, action=PlanAction.KEEP, changes=())


async def _provide(link: Link, event: BaseEvent[Any], step: StreamStep) -> bool:
    """Update a stream for nothing but delays and expiry, and the schema of its messages."""
    told = " and ".join(sorted(step.provided))
    try:
        await _request(link, "UPDATE", event, step)
    except (StreamConfigError, ServerError) as error:
        logger.warning("%s does not get %s: %s", _stream_of(event), told, error)
        return False
    logger.info("%s was updated for delays and expiry: %s", _stream_of(event), told)
    return True


async def _schedules_before(link: Link, events: Iterable[BaseEvent[Any]]) -> tuple[PlanEntry, ...]:
    try:
        return await plan_schedules(link, events)
    except ServerError as error:
        logger.debug("the stream of schedules cannot be looked at: %s", error)
        return ()


async def _schedules_after(
    link: Link, events: Iterable[BaseEvent[Any]], before: tuple[PlanEntry, ...]
) -> tuple[PlanEntry, ...]:
    """What became of the stream of schedules, which is made on the way; nothing fails for it."""
    if not any(entry.changes_something for entry in before):
        return before
    after = await _schedules_before(link, events)
    if any(entry.changes_something for entry in after):
        return tuple(replace(entry, action=PlanAction.KEEP, changes=()) for entry in after)
    return before


async def _update(link: Link, event: BaseEvent[Any], step: StreamStep) -> None:
    if step.plan.forced:
        logger.warning(
            "%s holds %d messages, and register(force=True) changes it: %s",
            _stream_of(event),
            step.held.messages,
            _told(step.plan.forced),
        )
    await _request(link, "UPDATE", event, step)
    if step.plan.changes:
        changes = ", ".join(map(str, step.plan.changes))
        logger.info("%s was updated, as it differed: %s", _stream_of(event), changes)


def failed(event: BaseEvent[Any], error: Exception) -> PlanEntry:
    """The entry of an event that cannot be registered."""
    return replace(_entry(event, PlanAction.FAIL), error=error)


def _entry(
    event: BaseEvent[Any],
    action: PlanAction,
    *,
    changes: tuple[FieldChange, ...] = (),
    kept: tuple[FieldChange, ...] = (),
    warnings: tuple[str, ...] = (),
) -> PlanEntry:
    stream = event.stream_name
    return PlanEntry("stream", stream, stream, event.name, action, changes, kept, warnings)


def check_owner(event: BaseEvent[Any], actual: Mapping[str, Any]) -> None:
    """Refuse a stream that belongs to another event.

    Raises:
        StreamConfigError: it does; the message has both names.
    """
    owner = other_owner(event.subject_name, event.stream_name, actual.get("subjects"))
    if owner is not None:
        raise StreamConfigError(owned_by(event.name, event.stream_name, owner))


def _stream_of(event: BaseEvent[Any]) -> str:
    return f"event {event.name!r}: stream {event.stream_name!r}"


def _refuse(event: BaseEvent[Any], step: StreamStep, options: RegisterOptions) -> None:
    plan = step.plan
    if plan.refusals:
        raise StreamConfigError(
            f"{_stream_of(event)} cannot keep events: {_told(plan.refusals)}. "
            f"{_remedies(event, plan.refusals)}"
        )
    if not options.force:
        check_owner(event, step.actual)
    differences = (*plan.changes, *plan.forced)
    if differences and not options.update:
        raise StreamExistsError(
            f"{_stream_of(event)} exists with another configuration "
            f"({', '.join(map(str, differences))}): register it with update=True, or declare the "
            "event as it is"
        )
    if plan.forced and not options.force:
        raise StreamConfigError(
            f"{_stream_of(event)} exists with another configuration, which register does not "
            f"change by itself: {_told(plan.forced)}. {_remedies(event, plan.forced)}; or take it "
            "with register(force=True)"
        )


def _check_update(
    event: BaseEvent[Any], step: StreamStep, options: RegisterOptions, *, in_cluster: bool
) -> None:
    """Refuse what the server would do, and what costs events or is not what it says.

    Raises:
        StreamConfigError: there is such a thing.
    """
    plan, held = step.plan, step.held
    dropped = [] if options.force else losses(plan.changes, held)
    if dropped:
        raise StreamConfigError(
            f"{_stream_of(event)} would drop events that wait: {', '.join(dropped)}. Let the "
            "actors handle them first, declare a higher limit, or drop them with "
            "register(force=True)"
        )
    replicas = [each for each in plan.changes if each.field == "num_replicas" and each.want > 1]
    if replicas and not in_cluster:
        raise _refusal(event, ServerError(ALONE, NOT_CLUSTERED), map(FieldChange.of, replicas))
    if _is_replaced(plan) and (held.messages or held.consumers):
        raise StreamConfigError(
            f"{_stream_of(event)}: NATS cannot change the storage of a stream, and this one holds "
            f"{held.messages} messages and {held.consumers} consumers that would be lost: declare "
            "the storage that it has, or delete the stream by hand and register again"
        )


def _is_replaced(plan: StreamPlan) -> bool:
    """Whether the stream has to be deleted and made anew, as NATS cannot change its storage."""
    return any(each.field == "storage" for each in plan.forced)


def _told(differences: Iterable[Difference]) -> str:
    return ", ".join(each.told() for each in differences)


def _remedies(event: BaseEvent[Any], differences: Iterable[Difference]) -> str:
    remedies = dict.fromkeys(
        each.rule.remedy.replace("NAME", event.stream_name) for each in differences
    )
    return "; ".join(f"{each[0].upper()}{each[1:]}" for each in remedies)


async def _request(link: Link, verb: str, event: BaseEvent[Any], step: StreamStep) -> None:
    body = None if verb == "DELETE" else step.config
    try:
        await api(link, f"STREAM.{verb}.{event.stream_name}", body, replicas=event.replicas)
    except ServerError as exc:
        if exc.code is None:
            raise
        taken = await _others_with(link, event) if exc.code == SUBJECT_TAKEN else ""
        changes = step.entry.changes
        if verb == "CREATE":
            changes = tuple(
                FieldChange(name, None, value, EFFECTS.get(name, ""))
                for name, value in step.config.items()
            )
        raise _refusal(event, ServerError(f"{exc}{taken}", exc.code), changes) from exc


def _refusal(
    event: BaseEvent[Any], error: ServerError, changes: Iterable[FieldChange]
) -> StreamConfigError:
    return StreamConfigError(
        f"{_stream_of(event)} is refused by the server: {explain_refusal(error, changes)}"
    )


async def _others_with(link: Link, event: BaseEvent[Any]) -> str:
    """Name the streams that have the event's subject, where this user may ask for them."""
    try:
        answer = await api(link, "STREAM.NAMES", {"subject": event.subject_name}, optional=True)
    except ServerError:
        return ""
    names = [name for name in answer.get("streams") or () if name != event.stream_name]
    return f": {', '.join(map(repr, names))}" if names else ""
