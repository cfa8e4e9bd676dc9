"""What `register` does, or would do, about each stream and consumer: the plan."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import anyio

from walnats_anyio._events._rules import Difference, show
from walnats_anyio._link import Link, stream_config

T = TypeVar("T")

AT_ONCE = 16
"""Streams, or consumers, that are looked at or registered at the same time."""

HELPER_EFFECT = "somebody has changed it; the library works with what is there"


NOT_COMPARED = {"name", "metadata", "duplicate_window", "num_replicas", "subjects", "first_seq"}
"""Fields of a helper stream that a server sets by itself, or that are compared on their own."""

UNLIMITED: dict[str, Any] = {
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "max_bytes": -1,
    "max_msg_size": -1,
    "max_consumers": -1,
    "compression": "none",
}
"""What a server has in fields that nobody has set, where that is not nothing."""


class PlanAction(enum.StrEnum):
    """What `register` does about a stream or a consumer."""

    CREATE = "create"
    """It is not there."""

    UPDATE = "update"
    """It is there, and differs from what is declared."""

    REPLACE = "replace"
    """It is deleted and made anew, as it is empty and NATS cannot change its storage."""

    KEEP = "keep"
    """It is as declared, or differs only in what `register` leaves alone."""

    FAIL = "fail"
    """It cannot become what is declared; `PlanEntry.error` says why."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a stream or a consumer, named as in the JetStream API.

    `str()` of it is how a person reads it: `max_age: 60 s -> 120 s`.
    """

    field: str
    """The name of the field, such as `max_msgs`."""

    old: Any
    """What the server has, in the units of the JetStream API: durations are in nanoseconds.

    None where it has nothing.
    """

    new: Any
    """What is declared. None where nothing is."""

    effect: str
    """What the field is, or does to events; a part of a sentence."""

    def __str__(self) -> str:
        return f"{self.field}: {show(self.field, self.old)} -> {show(self.field, self.new)}"

    @classmethod
    def of(cls, difference: Difference) -> FieldChange:
        """Take it from a difference that the rules have found."""
        return cls(difference.field, difference.have, difference.want, difference.rule.effect)


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """What `register` does about one stream or consumer, or would do."""

    kind: Literal["stream", "consumer", "helper stream"]
    """What it is. A helper stream is one of the library's own, such as that of dead letters."""

    name: str
    """Its name on the server."""

    stream: str
    """The stream: of a consumer the one that it belongs to, else the same as `name`."""

    declared_by: str | None
    """The name of the event or the actor. None for a helper stream."""

    action: PlanAction
    """What is done about it."""

    changes: tuple[FieldChange, ...] = ()
    """The fields that change, for `UPDATE` and `REPLACE`."""

    kept: tuple[FieldChange, ...] = ()
    """The fields that differ from what is declared or usual, and that `register` leaves alone."""

    warnings: tuple[str, ...] = ()
    """What else a person should know: messages of an older schema that cannot be read."""

    error: Exception | None = None
    """Why it cannot be registered, for `FAIL`: what `register` raises."""

    @property
    def changes_something(self) -> bool:
        """Whether the server has, or will have, something else than before."""
        return self.action not in (PlanAction.KEEP, PlanAction.FAIL)


async def plan_each(
    items: Iterable[T], plan: Callable[[T], Awaitable[PlanEntry]]
) -> tuple[PlanEntry, ...]:
    """Plan or register several at once; gives the entries in the order of the items.

    Args:
        items: events or actors.
        plan: gives the entry of one of them.

    Raises:
        Exception: what `plan` raised for the only item for which it did.
        ExceptionGroup: it did for more than one.
    """
    found: dict[int, PlanEntry] = {}
    errors: list[Exception] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def plan_one(number: int, item: T) -> None:
        async with limiter:
            try:
                found[number] = await plan(item)
            except Exception as error:  # noqa: BLE001 - raised below, all of them together
                errors.append(error)

    async with anyio.create_task_group() as tasks:
        for number, item in enumerate(items):
            tasks.start_soon(plan_one, number, item)
    raise_all("requests failed", errors)
    return tuple(found[number] for number in sorted(found))


def raise_failures(what: str, entries: Iterable[PlanEntry]) -> None:
    """Raise why entries failed: the only error as it is, several as a group."""
    raise_all(what, [entry.error for entry in entries if entry.error is not None])


def raise_all(what: str, errors: list[Exception]) -> None:
    """Raise the only error as it is, several as a group, nothing for none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} {what}", errors)


async def plan_helper(link: Link, config: Mapping[str, Any]) -> PlanEntry:
    """Plan what `ensure_helper_stream` does about a stream of the library's own.

    Asks the server once, and changes nothing.

    Raises:
        ServerError: the server does not answer.
        ConnectionLostError: the link is closed for good.
    """
    name = config["name"]
    actual = await stream_config(link, name, replicas=config["num_replicas"])
    if actual is None:
        return PlanEntry("helper stream", name, name, None, PlanAction.CREATE)
    changes, kept = compare_helper(config, actual)
    action = PlanAction.UPDATE if changes else PlanAction.KEEP
    return PlanEntry("helper stream", name, name, None, action, changes, kept)


def compare_helper(
    config: Mapping[str, Any], actual: Mapping[str, Any]
) -> tuple[tuple[FieldChange, ...], tuple[FieldChange, ...]]:
    """Find what `ensure_helper_stream` changes, and what else differs and is left alone."""
    changes: list[FieldChange] = []
    old, new = actual.get("num_replicas") or 1, config["num_replicas"]
    if old < new:
        changes.append(FieldChange("num_replicas", old, new, "as many as the safest event has"))
    subjects: list[str] = actual.get("subjects") or []
    missing = [each for each in config["subjects"] if each not in subjects]
    if missing:
        changes.append(FieldChange("subjects", subjects, [*subjects, *missing], "what it keeps"))
    window = config.get("duplicate_window", 0)
    if actual.get("duplicate_window", 0) < window:
        old = actual.get("duplicate_window")
        changes.append(FieldChange("duplicate_window", old, window, "the longest of its events"))
    # A server adds it, as a later schedule takes the place of an earlier one.
    usual = UNLIMITED | {"allow_rollup_hdrs": config.get("allow_msg_schedules")}
    kept: list[FieldChange] = []
    for field in (actual.keys() | config.keys()) - NOT_COMPARED:
        old, new = actual.get(field), config.get(field, usual.get(field))
        if old != new and (old or new):
            kept.append(FieldChange(field, old, new, HELPER_EFFECT))
    return tuple(changes), tuple(sorted(kept, key=lambda each: each.field))
