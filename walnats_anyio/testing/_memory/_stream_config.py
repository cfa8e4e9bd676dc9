"""Which configurations of streams the server takes, and how it completes them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from walnats_anyio.testing._memory._answers import ApiError, bad_stream
from walnats_anyio.testing._memory._configs import with_level, without_empty
from walnats_anyio.testing._memory._subjects import is_subset, is_valid, overlap
from walnats_anyio.testing._memory._timers import SECOND

SHORTEST = SECOND // 10
"""The shortest age and window, in nanoseconds."""

NOT_IN_A_NAME = set(".*>\\/ \t\r\n\f")


class ConsumerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`consumer_limits`."""

    inactive_threshold: int = 0
    max_ack_pending: int = 0


class Republish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`republish`."""

    dest: str = ""
    src: str = ""
    headers_only: bool = False


class StreamConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Every field of nats-server 2.15, in its order and with its defaults.

    Durations are nanoseconds; limits of -1 are none.
    """

    name: str = ""
    description: str = ""
    subjects: list[str] = []
    retention: Literal["limits", "interest", "workqueue"] = "limits"
    max_consumers: int = -1
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    discard: Literal["old", "new"] = "old"
    storage: Literal["file", "memory"] = "file"
    num_replicas: int = 1
    no_ack: bool = False
    duplicate_window: int = 0
    placement: dict[str, Any] = {}
    mirror: dict[str, Any] | None = None
    sources: list[dict[str, Any]] = []
    compression: Literal["none", "s2"] = "none"
    first_seq: int = 0
    subject_transform: dict[str, Any] | None = None
    republish: Republish | None = None
    allow_direct: bool = False
    mirror_direct: bool = False
    discard_new_per_subject: bool = False
    sealed: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    consumer_limits: ConsumerLimits = ConsumerLimits()
    allow_msg_ttl: bool = False
    subject_delete_marker_ttl: int = 0
    allow_msg_counter: bool = False
    allow_atomic: bool = False
    allow_msg_schedules: bool = False
    persist_mode: Literal["", "default", "async"] = ""
    allow_batched: bool = False
    metadata: dict[str, str] = {}

    def as_dict(self) -> dict[str, Any]:
        """As answers show it."""
        config = msgspec.to_builtins(self)
        config["consumer_limits"] = without_empty(
            config["consumer_limits"], frozenset(config["consumer_limits"])
        )
        if self.republish is not None:
            config["republish"] = without_empty(config["republish"], frozenset({"headers_only"}))
        return without_empty(config, _LEFT_OUT)


_LEFT_OUT = frozenset(
    [
        "description",
        "subjects",
        "no_ack",
        "duplicate_window",
        "placement",
        "mirror",
        "sources",
        "first_seq",
        "subject_transform",
        "republish",
        "discard_new_per_subject",
        "subject_delete_marker_ttl",
        "allow_msg_counter",
        "allow_atomic",
        "allow_msg_schedules",
        "persist_mode",
        "allow_batched",
        "metadata",
    ]
)
"""Fields that are not shown when they are empty."""

UNKNOWN_HERE = ("mirror", "sources", "subject_transform", "allow_msg_schedules", "allow_batched",
                "subject_delete_marker_ttl")  # fmt: skip
"""Fields of which MemoryServer knows nothing."""


def checked(given: StreamConfig, *, level: int | None = None) -> StreamConfig:
    """The configuration that a stream gets.

    Raises:
        ApiError: the server refuses it.
    """
    for name in UNKNOWN_HERE:
        if getattr(given, name):
            raise ApiError(501, 10003, f"MemoryServer does not know the field {name!r} of streams")
    config = msgspec.structs.replace(given)
    _check_name(config)
    for name in ("max_msgs", "max_msgs_per_subject", "max_bytes", "max_msg_size", "max_consumers"):
        if getattr(config, name) == 0 or getattr(config, name) < -1:
            setattr(config, name, -1)
    _check_replicas(config)
    _check_times(config)
    _check_flags(config)
    _check_subjects(config)
    _check_republish(config)
    newer = config.allow_msg_counter or config.allow_atomic or config.persist_mode == "async"
    needs = 2 if newer else 0
    needs = needs or int(config.allow_msg_ttl)
    config.metadata = with_level(config.metadata, needs if level is None else level)
    return config


def _check_name(config: StreamConfig) -> None:
    if not config.name or NOT_IN_A_NAME & set(config.name):
        raise bad_stream("stream name is required and can not contain '.', '*', '>', '\\', '/'")
    if len(config.name) > 255:
        raise bad_stream("stream name is too long, maximum allowed is 255")
    if len(config.description.encode(errors="replace")) > 4096:
        raise bad_stream("stream description is too long, maximum allowed is 4096")
    if sum(len(name) + len(text) for name, text in config.metadata.items()) > 128 * 1024:
        raise bad_stream("stream metadata exceeds maximum size of 131072 bytes")


def _check_replicas(config: StreamConfig) -> None:
    config.num_replicas = config.num_replicas or 1
    if config.num_replicas > 5:
        raise bad_stream("maximum replicas is 5")
    if config.num_replicas < 0:
        raise ApiError(400, 10133, "replicas count cannot be negative")


def _check_times(config: StreamConfig) -> None:
    if config.max_age < 0:
        raise bad_stream("max age can not be negative")
    if 0 < config.max_age < SHORTEST:
        raise bad_stream("max age needs to be >= 100ms")
    if config.duplicate_window == 0:
        config.duplicate_window = min(config.max_age or 120 * SECOND, 120 * SECOND)
    if config.duplicate_window < 0:
        raise bad_stream("duplicates window can not be negative")
    if config.max_age and config.duplicate_window > config.max_age:
        raise bad_stream("duplicates window can not be larger then max age")
    if config.duplicate_window < SHORTEST:
        raise bad_stream("duplicates window needs to be >= 100ms")


def _check_flags(config: StreamConfig) -> None:
    new = config.discard == "new"
    counter = config.allow_msg_counter
    for wrong, description in (
        (config.deny_purge and config.allow_rollup_hdrs, "roll-ups require the purge permission"),
        (counter and new, "counter stream cannot use discard new"),
        (counter and config.allow_msg_ttl, "counter stream cannot use message TTLs"),
        (counter and config.retention != "limits", "counter stream can only use limits retention"),
        (
            config.discard_new_per_subject and not new,
            "discard new per subject requires discard new policy to be set",
        ),
        (
            config.discard_new_per_subject and config.max_msgs_per_subject <= 0,
            "discard new per subject requires max msgs per subject > 0",
        ),
        (
            config.persist_mode == "async" and config.storage != "file",
            "async persist mode is only supported on file storage",
        ),
        (
            config.persist_mode == "async" and config.allow_atomic,
            "async persist mode is not supported with atomic batch publish",
        ),
    ):
        if wrong:
            raise bad_stream(description)


def _check_subjects(config: StreamConfig) -> None:
    config.subjects = config.subjects or [config.name]
    for at, subject in enumerate(config.subjects):
        if not is_valid(subject):
            raise bad_stream("invalid subject")
        if subject == ">" and not config.no_ack:
            raise bad_stream("capturing all subjects requires no-ack to be true")
        _check_reserved(config, subject)
        for other in config.subjects[at + 1 :]:
            if overlap(other, subject):
                raise bad_stream(f'subject "{subject}" overlaps with "{other}"')


def _check_reserved(config: StreamConfig, subject: str) -> None:
    if config.no_ack:
        return
    api = any(overlap(subject, each) for each in ("$JS.>", "$JSC.>", "$NRG.>"))
    if api and not is_subset(subject, "$JS.EVENT.>"):
        raise bad_stream("subjects that overlap with jetstream api require no-ack to be true")
    if overlap(subject, "$SYS.>") and not is_subset(subject, "$SYS.ACCOUNT.>"):
        raise bad_stream("subjects that overlap with system api require no-ack to be true")


def _check_republish(config: StreamConfig) -> None:
    if config.republish is None:
        return
    config.republish = republish = msgspec.structs.replace(
        config.republish, src=config.republish.src or ">"
    )
    if any(overlap(republish.dest, subject) for subject in config.subjects):
        raise bad_stream("stream configuration for republish destination forms a cycle")
    rest = (republish.src.endswith(">"), republish.dest.endswith(">"))
    if rest[0] != rest[1]:
        way = f"from '{republish.src}' to '{republish.dest}'"
        raise bad_stream(f"stream configuration for republish with transform {way} not valid")
    # Only whole subjects, and `>` to `prefix.>`, which keeps the rest.
    if not is_valid(republish.dest) or "*" in republish.src + republish.dest:
        raise ApiError(501, 10003, "MemoryServer does not know republishing with '*'")


def check_update(old: StreamConfig, new: StreamConfig) -> None:
    """See whether a stream may be changed like this; what `checked` does has been done.

    Raises:
        ApiError: the server refuses it.
    """
    cannot = "stream configuration update can not"
    if new.num_replicas > 1:
        raise ApiError(500, 10074, "replicas > 1 not supported in non-clustered mode")
    queue = "workqueue" in (old.retention, new.retention) and old.retention != new.retention
    for wrong, description in (
        (new.storage != old.storage, f"{cannot} change storage type"),
        (queue, f"{cannot} change retention policy to/from workqueue"),
        (old.sealed and not new.sealed, f"{cannot} unseal a sealed stream"),
        (old.deny_delete and not new.deny_delete, f"{cannot} cancel deny message deletes"),
        (old.deny_purge and not new.deny_purge, f"{cannot} cancel deny purge"),
        (old.allow_msg_ttl and not new.allow_msg_ttl, "message TTL status can not be disabled"),
        (
            old.allow_msg_counter != new.allow_msg_counter,
            f"{cannot} change message counter setting",
        ),
        (old.persist_mode != new.persist_mode, f"{cannot} change persist mode"),
    ):
        if wrong:
            raise bad_stream(description)
    if new.sealed:
        new.max_age, new.discard = 0, "new"
        new.deny_delete = new.deny_purge = True
        new.allow_rollup_hdrs = False
