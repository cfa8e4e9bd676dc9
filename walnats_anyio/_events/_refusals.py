"""What to do when the server refuses the configuration of a stream or a consumer.

The codes are those of nats-server's `server/errors.json`. Each entry was tried on nats-server 2.9,
2.11, 2.12, 2.14 and 2.15.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from walnats_anyio._events._plan import FieldChange
from walnats_anyio._events._rules import show
from walnats_anyio._link import SUBJECT_TAKEN, ServerError

NOT_CLUSTERED = 10074
"""JetStream's error code for several replicas on a server that is in no cluster."""

INVALID = 10052
"""JetStream's error code for every configuration that contradicts itself, or the stream's own."""

DECLARE_LESS_OR_GIVE_MORE = (
    "declare a lower `limits.bytes`, as NATS sets that much aside, or let JetStream have more "
    "({setting} of the server or the account)"
)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about one refusal."""

    code: int
    """JetStream's `err_code`."""

    fields: tuple[str, ...]
    """The fields that it is about; the values of those that are set or changed are told."""

    order: str
    """What a person can do."""

    part: str = ""
    """A part of the description, where one code has many reasons."""


REMEDIES = (
    Remedy(
        NOT_CLUSTERED, ("num_replicas",),
        "declare `replicas=1`, or connect to a cluster: this server is in none",
    ),
    Remedy(
        10005, ("num_replicas",),
        "declare no more `replicas` than the cluster has servers with JetStream, and see that they "
        "are running",
    ),
    Remedy(
        INVALID, ("max_consumers",),
        "declare the `limits.consumers` that the stream has, as nats-server changes it from 2.12.5 "
        "on; or delete the stream when it is empty, and register again",
        "MaxConsumers",
    ),
    Remedy(
        INVALID, ("retention",),
        "give the event another name, or delete the stream when it is empty, and register again; "
        "nats-server changes it from 2.10 on, and never from or to `workqueue`",
        "retention",
    ),
    Remedy(
        INVALID, ("duplicate_window", "max_age"),
        "declare a `dedup_window` that is no longer than `limits.age`",
        "duplicates window",
    ),
    Remedy(10047, ("max_bytes",), DECLARE_LESS_OR_GIVE_MORE.format(setting="`max_file`")),
    Remedy(10028, ("max_bytes",), DECLARE_LESS_OR_GIVE_MORE.format(setting="`max_mem`")),
    Remedy(10113, ("max_bytes",), "declare `limits.bytes`, as the account wants it"),
    Remedy(
        10122, ("max_bytes",),
        "declare a `limits.bytes` that the account allows for one stream, or raise its "
        "`disk_max_stream_bytes` (for storage in memory `memory_max_stream_bytes`)",
    ),
    Remedy(
        10027, (),
        "delete streams that nobody needs, or raise `max_streams` of the account",
    ),
    Remedy(
        10026, (),
        "raise `limits.consumers` of the event, or `max_consumers` of the account; or delete "
        "consumers that no actor needs",
    ),
    Remedy(
        10121, ("max_ack_pending",),
        "declare a lower `max_ack_pending`, or raise that of the account",
    ),
    Remedy(
        SUBJECT_TAKEN, ("subjects",),
        "give the event another name, or take its subject from that stream",
    ),
)  # fmt: skip


def explain_refusal(error: ServerError, changes: Iterable[FieldChange]) -> str:
    """Say why the server refuses something, which values it is about and what to do.

    Args:
        error: what the server answered.
        changes: the fields that were to be changed; for what is new, all of them.

    Returns:
        A part of a sentence, to be put behind "... is refused by the server: ".
    """
    changes = list(changes)
    known = [
        each for each in REMEDIES if each.code == error.code and each.part in str(error)
    ]  # fmt: skip
    if not known:
        # Of what is new the server has said enough; its fields are those of the declaration.
        told = ", ".join(_told(each) for each in changes if each.old is not None)
        return f"{error} ({told})" if told else str(error)
    remedy = known[0]
    told = ", ".join(_told(each) for each in changes if each.field in remedy.fields)
    order = f"{remedy.order[0].upper()}{remedy.order[1:]}"
    return f"{error}{f' ({told})' if told else ''}. {order}"


def _told(change: FieldChange) -> str:
    if change.old is None:
        return f"{change.field} is declared as {show(change.field, change.new)}"
    old, new = show(change.field, change.old), show(change.field, change.new)
    return f"{change.field} would be changed from {old} to {new}"
