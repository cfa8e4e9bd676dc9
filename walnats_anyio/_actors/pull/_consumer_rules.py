"""What `register` and `listen` do about each field of a consumer; see `_events/_rules`.

`register` puts right what NATS lets it. `listen` refuses only what breaks a promise of the library:
events that would never come, come without their payload, or be acknowledged by something else than
the end of their job. With everything else it works as the server has it, so a worker of an old
version can start again during a deploy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from walnats_anyio._actors.declare._fingerprint import FINGERPRINT, KNOWS_ACTOR, handler_in
from walnats_anyio._events import Action, Difference, Rule, compare

DEFAULT_MAX_WAITING = 512
"""Pull requests that the server lets wait, unless told otherwise."""

DEFAULT_ACK_WAIT = 30.0
"""Seconds that the server takes where nobody said any."""

MIN_EXPIRES = 0.05
"""Seconds of the shortest pull request that `listen` sends."""

SAME_WITHIN = timedelta(seconds=1)
"""How far the times may differ at which one consumer was made: a restart of the server moves that
by milliseconds (nats-server 2.11.11; 2.12 and later keep it)."""

OURS = (FINGERPRINT, KNOWS_ACTOR)
"""What of the metadata is ours."""

DELETE = "delete the consumer and register the actor again, or give the actor another name"
REGISTER = "register the actor (await conn.register())"

CHANGE, REFUSE, WARN, KEEP = Action.CHANGE, Action.REFUSE, Action.WARN, Action.KEEP

CONSUMER_RULES: tuple[Rule, ...] = (
    Rule(
        "durable_name",
        REFUSE,
        "the server deletes a consumer that is not durable when nobody listens",
        DELETE,
        REFUSE,
    ),
    Rule(
        "deliver_subject",
        REFUSE,
        "it is a push consumer, and nobody can pull from it",
        DELETE,
        REFUSE,
    ),
    Rule(
        "ack_policy",
        REFUSE,
        "an event would not be acknowledged by the end of its own job",
        DELETE,
        REFUSE,
    ),
    Rule("filter_subject", CHANGE, "other events would come, or none", REGISTER, REFUSE),
    Rule("filter_subjects", CHANGE, "other events would come, or none", REGISTER, REFUSE),
    Rule("headers_only", CHANGE, "events come without their payload", REGISTER, REFUSE),
    Rule(
        "priority_groups",
        CHANGE,
        "the server gives no events to requests without a group",
        REGISTER,
        REFUSE,
    ),
    Rule(
        "priority_policy",
        CHANGE,
        "the server gives no events to requests without a group",
        REGISTER,
        REFUSE,
        default="none",
    ),
    Rule("priority_timeout", CHANGE, "it belongs to priority groups", REGISTER),
    Rule(
        "ack_wait",
        CHANGE,
        "pulses are sent in time for what the server has",
        REGISTER,
        WARN,
    ),
    Rule("backoff", CHANGE, "it takes the place of `ack_wait`", REGISTER, WARN),
    Rule(
        "max_deliver",
        CHANGE,
        "after so many deliveries, hand-backs included, the server gives an event to nobody; it "
        "stays in the stream, and is no dead letter",
        REGISTER,
        WARN,
    ),
    Rule(
        "max_ack_pending",
        CHANGE,
        "as many events are held at once, by all processes together",
        REGISTER,
        WARN,
    ),
    Rule("max_batch", CHANGE, "requests ask for no more than that", REGISTER, WARN),
    Rule("max_expires", CHANGE, "requests wait no longer than that", REGISTER, WARN),
    Rule(
        "inactive_threshold",
        CHANGE,
        "the server deletes the consumer, and what waits for it, when nobody listens for so long",
        REGISTER,
        WARN,
    ),
    Rule("description", CHANGE, "what people see in NATS tools", quiet=True),
    Rule(
        "metadata",
        CHANGE,
        "a fingerprint of the declaration; what others keep there stays",
        listen=WARN,
        quiet=True,
    ),
    Rule(
        "deliver_policy",
        WARN,
        "events from before the consumer was made may never come",
        DELETE,
        WARN,
    ),
    Rule(
        "replay_policy",
        WARN,
        "events come as slowly as they were emitted",
        DELETE,
        WARN,
        default="instant",
    ),
    Rule(
        "mem_storage",
        WARN,
        "a restart of the server forgets which events were handled",
        DELETE,
        WARN,
    ),
    Rule(
        "max_waiting",
        WARN,
        "with more requests than that, processes take turns",
        DELETE,
        WARN,
        default=DEFAULT_MAX_WAITING,
    ),
    Rule("pause_until", KEEP, "no events come until then", "resume the consumer", WARN),
    Rule("max_bytes", KEEP, "requests ask for fewer events, and name no bytes"),
    Rule("sample_freq", KEEP, "how many acknowledgements NATS tools hear of"),
    Rule("num_replicas", KEEP, "those of the stream, which the server enforces"),
    Rule("opt_start_seq", KEEP, "see `deliver_policy`"),
    Rule("opt_start_time", KEEP, "see `deliver_policy`"),
    Rule("deliver_group", KEEP, "only push consumers have it"),
    Rule("flow_control", KEEP, "only push consumers have it"),
    Rule("idle_heartbeat", KEEP, "only push consumers have it"),
    Rule("rate_limit_bps", KEEP, "only push consumers have it"),
    Rule("direct", KEEP, "only consumers of the server itself have it"),
    Rule("sourcing", KEEP, "only consumers of the server itself have it"),
)
"""A rule for each field of nats-server 2.15's ConsumerConfig but its name."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker has to work with, as the server has it."""

    ack_wait: float
    """Seconds without a sign of life until the server gives an event to somebody else."""

    max_batch: int | None = None
    """The most events that a pull request may ask for."""

    max_expires: float | None = None
    """The most seconds that a pull request may wait."""

    max_bytes: int | None = None
    """The most bytes that a pull request may name; it need not name any."""

    created: datetime | None = field(default=None, kw_only=True)
    """When the consumer was made, as the server says it; see `is_another`."""

    warned: frozenset[str] = field(default=frozenset(), kw_only=True)
    """What has been said about differences, not to be said again."""


def is_another(known: Terms, now: Terms) -> bool:
    """Whether the consumer is another one than before, of the same name."""
    if known.created is None or now.created is None:
        return False
    return abs(now.created - known.created) > SAME_WITHIN


def terms_of(actual: Mapping[str, Any], warned: frozenset[str] = frozenset()) -> Terms:
    """Read the terms out of a consumer's configuration."""
    # Redeliveries follow `backoff` where there is one, and the shortest wait is the one to keep.
    waits = [actual.get("ack_wait") or 0, *(actual.get("backoff") or ())]
    shortest = min((wait for wait in waits if wait > 0), default=DEFAULT_ACK_WAIT * 10**9)
    max_batch, max_expires = actual.get("max_batch") or 0, actual.get("max_expires") or 0
    max_bytes = actual.get("max_bytes") or 0
    return Terms(
        shortest / 10**9,
        max_batch if max_batch > 0 else None,
        max_expires / 10**9 if max_expires > 0 else None,
        max_bytes if max_bytes > 0 else None,
        warned=warned,
    )


def differences_of(
    declared: Mapping[str, Any], actual: Mapping[str, Any], subject: str
) -> list[Difference]:
    """Find what of a consumer is not as declared, or not as an actor needs it.

    Args:
        declared: the actor's `consumer_config`.
        actual: the consumer's configuration on the server.
        subject: the event's subject; a filter of just that lets every event through.
    """
    actual, declared = dict(actual), dict(declared)
    if actual.get("filter_subject") == subject or actual.get("filter_subjects") == [subject]:
        actual.pop("filter_subject", None)
        actual.pop("filter_subjects", None)
    elif actual.get("filter_subject") or actual.get("filter_subjects"):
        # Not no filter at all: nats-server 2.15.1 then drops the events, as if nobody waited.
        declared["filter_subject"] = subject
    if actual.get("max_waiting", 0) >= DEFAULT_MAX_WAITING:
        actual["max_waiting"] = DEFAULT_MAX_WAITING
    actual["metadata"] = _only_ours(actual.get("metadata"))
    declared["metadata"] = _only_ours(declared.get("metadata"))
    found = compare(CONSUMER_RULES, declared, actual)
    if "description" not in declared:
        found = [each for each in found if each.field != "description"]
    return found


def updated(actual: Mapping[str, Any], found: list[Difference]) -> dict[str, Any]:
    """The configuration with which `register` updates a consumer; `actual` itself for no change."""
    config = dict(actual)
    for each in found:
        if each.rule.register is not Action.CHANGE:
            continue
        if each.field == "metadata":
            config["metadata"] = {**(actual.get("metadata") or {}), **each.want}
        elif each.want is None:
            config.pop(each.field, None)
        else:
            config[each.field] = each.want
    return config


def broken(found: list[Difference]) -> list[Difference]:
    """The differences with which `listen` cannot keep its promises."""
    return [
        each
        for each in found
        if each.rule.listen is Action.REFUSE
        or (each.field == "max_expires" and 0 < each.have < MIN_EXPIRES * 10**9)
    ]


def warnings(found: list[Difference], now: datetime) -> list[str]:
    """What `listen` says about the differences that it works with.

    Args:
        found: the differences.
        now: the time, with a time zone.
    """
    told: list[str] = []
    for each in found:
        if each.rule.listen is not Action.WARN:
            continue
        if each.field == "metadata":
            told.extend(_another_declaration(each))
        elif each.field != "pause_until" or _time(each.have) > now:
            told.append(each.told())
    return told


def _another_declaration(difference: Difference) -> list[str]:
    have: dict[str, str] = difference.have or {}
    theirs = have.get(FINGERPRINT, "")
    # Without one, walnats or a person registered it, and there is nothing to compare.
    if not theirs:
        return []
    if theirs == difference.want[FINGERPRINT]:
        return []  # it was registered by an older version
    ours, their = handler_in(difference.want[FINGERPRINT]), handler_in(theirs)
    what = "the same handler and other options" if ours == their else f"handler {their!r}"
    told = (
        f"it was registered by another declaration of this actor ({what}; here {ours!r}): "
        "programs that share an actor's name share its events, each of which goes to one of them"
    )
    return [told]


def _only_ours(metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (metadata or {}).items() if name in OURS}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
