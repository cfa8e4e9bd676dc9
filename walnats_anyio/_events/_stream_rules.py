"""What `register` does about each field of a stream; see `_rules`.

The rule behind the rules: what a stream holds stays. So `register` changes limits, replicas, the
dedup window and the description, and takes nothing from a stream that others may have made for
something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from walnats_anyio._events._rules import Action, Difference, Rule, compare, show
from walnats_anyio._link import check_name

OTHER_NAME = "give the event another name"

STREAM_RULES: tuple[Rule, ...] = (
    Rule("description", Action.CHANGE, "what people see in NATS tools"),
    Rule("max_age", Action.CHANGE, "`limits.age`"),
    Rule("max_consumers", Action.CHANGE, "`limits.consumers`"),
    Rule("max_msgs", Action.CHANGE, "`limits.messages`"),
    Rule("max_bytes", Action.CHANGE, "`limits.bytes`"),
    Rule("max_msg_size", Action.CHANGE, "`limits.message_size`"),
    Rule("num_replicas", Action.CHANGE, "`replicas`"),
    Rule("duplicate_window", Action.CHANGE, "`dedup_window`"),
    Rule("metadata", Action.CHANGE, "the schema of the messages; what others keep there stays"),
    Rule(
        "subjects",
        Action.FORCE,
        "a stream keeps one event: the subject of it and no other",
        f"{OTHER_NAME}, or take it away from the stream by hand",
    ),
    Rule(
        "retention",
        Action.FORCE,
        "only `interest` keeps an event until every actor has handled it; to change it drops "
        "messages that no actor waits for",
        f"{OTHER_NAME}, or delete the stream",
    ),
    Rule(
        "storage",
        Action.FORCE,
        "NATS cannot change it",
        "declare the storage that the stream has, or delete the stream",
    ),
    Rule(
        "discard",
        Action.FORCE,
        "a full stream would refuse new events, where `limits` promises to drop the oldest",
        "change it by hand (nats stream edit NAME --discard=old)",
    ),
    Rule(
        "discard_new_per_subject",
        Action.FORCE,
        "the stream would refuse new events while others wait",
        "change it by hand",
    ),
    Rule(
        "no_ack",
        Action.REFUSE,
        "the stream acknowledges nothing, so every emit would be repeated and then fail",
        "change it by hand (nats stream edit NAME --ack)",
    ),
    Rule(
        "sealed",
        Action.REFUSE,
        "the stream takes no events any more, which NATS cannot undo",
        f"delete the stream, or {OTHER_NAME}",
    ),
    Rule(
        "mirror",
        Action.REFUSE,
        "a mirror takes no events, only copies of another stream",
        OTHER_NAME,
    ),
    Rule(
        "allow_msg_counter",
        Action.REFUSE,
        "the stream takes only counters, not events",
        f"{OTHER_NAME}, or delete the stream",
    ),
    Rule(
        "subject_transform",
        Action.WARN,
        "events are stored under another subject; actors get them, a program that filters by "
        "subject does not",
    ),
    Rule(
        "max_msgs_per_subject",
        Action.WARN,
        "the stream drops the oldest events beyond that number, handled or not",
        default=-1,
    ),
    Rule(
        "allow_rollup_hdrs",
        Action.WARN,
        "whoever may emit can remove all events that wait, by a header",
    ),
    Rule(
        "subject_delete_marker_ttl",
        Action.WARN,
        "where an event expires, actors get a message without payload",
    ),
    Rule(
        "persist_mode",
        Action.WARN,
        "events are acknowledged before they are written: a crash of the server loses the last",
        default="default",
    ),
    Rule(
        "consumer_limits",
        Action.WARN,
        "consumers of actors get these limits; the server deletes one that is inactive for longer",
    ),
    Rule(
        "sources",
        Action.KEEP,
        "what comes from other streams is handled as this event; `walnats-schedules` is added "
        "where events are delayed",
    ),
    Rule("republish", Action.KEEP, "copies go to another subject"),
    Rule("deny_delete", Action.KEEP, "nobody can delete a single event by hand"),
    Rule("deny_purge", Action.KEEP, "nobody can purge the stream by hand"),
    Rule("first_seq", Action.KEEP, "where the sequence began"),
    Rule("placement", Action.KEEP, "which servers keep the stream"),
    Rule("compression", Action.KEEP, "how it is stored", default="none"),
    Rule("allow_direct", Action.KEEP, "how messages are looked up"),
    Rule("mirror_direct", Action.KEEP, "how messages are looked up"),
    Rule(
        "allow_msg_ttl",
        Action.KEEP,
        "events may carry a time to live; set for good where they or retries do",
    ),
    Rule("allow_atomic", Action.KEEP, "set where the server can: `emit_many(atomic=True)`"),
    Rule("allow_batched", Action.KEEP, "how others may publish"),
    Rule("allow_msg_schedules", Action.KEEP, "how others may publish"),
)
"""A rule for each field of nats-server 2.15's StreamConfig but its name."""

LOSING = ("max_age", "max_msgs", "max_bytes")
"""Limits that drop what is stored when they are lowered."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a stream holds."""

    messages: int
    bytes: int
    age: float
    """Seconds since the oldest message was stored."""
    consumers: int

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Held:
        """Read it from an answer to STREAM.INFO."""
        state = info["state"]
        messages = int(state["messages"])
        age = 0.0
        if messages:
            # The server's clock, not ours. Older servers do not tell the time.
            now = info.get("ts") or state["last_ts"]
            age = (_time(now) - _time(state["first_ts"])).total_seconds()
        return cls(messages, int(state["bytes"]), age, int(state.get("consumer_count", 0)))


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What `register` is to do about a stream that exists."""

    changes: tuple[Difference, ...] = ()
    """What it changes without being forced."""

    forced: tuple[Difference, ...] = ()
    """What it changes only when forced."""

    refusals: tuple[Difference, ...] = ()
    """What makes the stream useless for events."""

    warnings: tuple[Difference, ...] = ()
    """What it leaves, and says."""

    kept: tuple[Difference, ...] = ()
    """What it leaves, and is silent about."""

    def update(self) -> dict[str, Any]:
        """The fields to be updated."""
        return {each.field: each.want for each in (*self.changes, *self.forced)}


def plan_stream(declared: Mapping[str, Any], actual: Mapping[str, Any]) -> StreamPlan:
    """Decide what is to be done about a stream."""
    found = [
        each
        for each in compare(STREAM_RULES, declared, actual)
        # Nobody has declared that there is to be no description. The schema in the metadata is
        # compared on its own, as it is no reason to refuse a stream.
        if each.field != "metadata" and (each.field != "description" or "description" in declared)
    ]

    def those(action: Action) -> tuple[Difference, ...]:
        return tuple(each for each in found if each.rule.register is action)

    return StreamPlan(
        *map(those, (Action.CHANGE, Action.FORCE, Action.REFUSE, Action.WARN, Action.KEEP))
    )


def losses(changes: Sequence[Difference], held: Held) -> list[str]:
    """What the stream would drop at once for limits that are lowered."""
    has = {
        "max_msgs": (held.messages, f"{held.messages} messages"),
        "max_bytes": (held.bytes, f"{held.bytes} bytes"),
        "max_age": (held.age * 10**9, f"messages that are {held.age:.0f} s old"),
    }
    return [
        f"{each.field} would be {show(each.field, each.want)} and it holds {has[each.field][1]}"
        for each in changes
        if _lowered(each) and has[each.field][0] > each.want
    ]


def other_owner(own: str, stream: str, subjects: Sequence[str] | None) -> str | None:
    """The event whose stream this is, where it is another event's, by its subject.

    Two names that differ only in `.` and `-` have one stream name between them.

    Args:
        own: the subject of the event that wants the stream.
        stream: the name of the stream.
        subjects: what the stream has.
    """
    subjects = subjects or ()
    if own in subjects:
        return None
    for subject in subjects:
        if subject.replace(".", "-") == stream and _is_event(subject):
            return subject
    return None


def owned_by(name: str, stream: str, owner: str) -> str:
    """Say that a stream is another event's."""
    return (
        f"event {name!r}: stream {stream!r} belongs to event {owner!r}, as both names become "
        "the same stream name: give one of the events another name"
    )


def _is_event(subject: str) -> bool:
    try:
        check_name("event", subject)
    except ValueError:
        return False
    return True


def _lowered(change: Difference) -> bool:
    if change.field not in LOSING or change.want <= 0:
        return False
    return not change.have or change.have < 0 or change.want < change.have


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
