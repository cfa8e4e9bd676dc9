"""Which configurations of consumers the server takes, and how it completes them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from walnats_anyio.testing._memory._answers import ApiError, bad_consumer, bad_stream, read_time
from walnats_anyio.testing._memory._configs import invalid_json, with_level, without_empty
from walnats_anyio.testing._memory._stream_config import NOT_IN_A_NAME, StreamConfig
from walnats_anyio.testing._memory._subjects import is_literal, is_subset, is_valid, overlap
from walnats_anyio.testing._memory._timers import SECOND

Policy = Literal["all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"]


Rules: TypeAlias = tuple[tuple[object, int, str], ...]
"""What is wrong, if it is true; the code of the error, and its description."""


class ConsumerConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Every field of nats-server 2.15, in its order and with its defaults.

    Durations are nanoseconds.
    """

    durable_name: str = ""
    name: str = ""
    description: str = ""
    deliver_policy: Policy = "all"
    opt_start_seq: int = 0
    opt_start_time: str = ""
    ack_policy: Literal["none", "all", "explicit", "flow_control"] = "none"
    ack_wait: int = 0
    max_deliver: int = 0
    backoff: list[int] = []
    filter_subject: str = ""
    filter_subjects: list[str] = []
    replay_policy: Literal["instant", "original"] = "instant"
    rate_limit_bps: int = 0
    sample_freq: str = ""
    max_waiting: int = 0
    max_ack_pending: int = 0
    flow_control: bool = False
    headers_only: bool = False
    max_batch: int = 0
    max_expires: int = 0
    max_bytes: int = 0
    deliver_subject: str = ""
    deliver_group: str = ""
    idle_heartbeat: int = 0
    inactive_threshold: int = 0
    num_replicas: int = 0
    mem_storage: bool = False
    direct: bool = False
    sourcing: bool = False
    metadata: dict[str, str] = {}
    pause_until: str = ""
    priority_groups: list[str] = []
    priority_policy: Literal["", "none", "overflow", "pinned_client", "prioritized"] = ""
    priority_timeout: int = 0

    @property
    def filters(self) -> list[str]:
        """The subjects that it wants; empty for all."""
        return [self.filter_subject] if self.filter_subject else self.filter_subjects

    @property
    def is_push(self) -> bool:
        """Whether the server sends to a subject, and nobody asks."""
        return bool(self.deliver_subject)

    @property
    def start_time(self) -> int:
        """`opt_start_time` in nanoseconds; 0 for none."""
        return read_time(self.opt_start_time) if self.opt_start_time else 0

    @property
    def paused_until(self) -> int:
        """`pause_until` in nanoseconds; 0 for none."""
        return read_time(self.pause_until) if self.pause_until else 0

    def as_dict(self) -> dict[str, Any]:
        """As answers show it."""
        shown = {"deliver_policy", "ack_policy", "replay_policy", "num_replicas"}
        config = msgspec.to_builtins(self)
        if self.priority_policy == "none":
            config["priority_policy"] = ""
        return without_empty(config, frozenset(config.keys() - shown))


UNKNOWN_HERE = (
    "flow_control",
    "rate_limit_bps",
    "direct",
    "sourcing",
    "priority_groups",
    "idle_heartbeat",
)
"""Fields of which MemoryServer knows nothing."""


def checked(given: ConsumerConfig, stream: StreamConfig) -> ConsumerConfig:
    """The configuration that a consumer gets.

    Raises:
        ApiError: the server refuses it.
    """
    config = msgspec.structs.replace(given)
    _complete(config, stream)
    _check_names(config)
    _check_replicas(config, stream)
    _check_waits(config)
    _check_kind(config, stream)
    _check_limits(config, stream)
    _check_filters(config)
    _check_start(config)
    _check_rest(config)
    for name in UNKNOWN_HERE:
        if getattr(config, name):
            raise ApiError(
                501, 10003, f"MemoryServer does not know the field {name!r} of consumers"
            )
    if config.ack_policy == "flow_control":
        raise ApiError(501, 10003, "MemoryServer does not know the ack_policy 'flow_control'")
    config.metadata = with_level(config.metadata, int(bool(config.pause_until)))
    return config


def _complete(config: ConsumerConfig, stream: StreamConfig) -> None:
    if config.max_deliver == 0 or config.max_deliver < -1:
        config.max_deliver = -1
    for name in ("max_waiting", "max_batch", "max_expires", "max_bytes", "idle_heartbeat",
                 "inactive_threshold", "priority_timeout"):  # fmt: skip
        setattr(config, name, max(0, getattr(config, name)))
    config.max_ack_pending = max(-1, config.max_ack_pending)
    if not config.is_push:
        config.max_waiting = config.max_waiting or 512
    if config.ack_policy in ("explicit", "all"):
        config.ack_wait = config.ack_wait or 30 * SECOND
    if config.backoff:
        config.ack_wait = config.backoff[0]
    limits = stream.consumer_limits
    config.max_ack_pending = config.max_ack_pending or limits.max_ack_pending
    config.inactive_threshold = config.inactive_threshold or limits.inactive_threshold
    if config.ack_policy != "none":
        config.max_ack_pending = config.max_ack_pending or 1000


def _check_names(config: ConsumerConfig) -> None:
    for what, name in (("name", config.name), ("durable name", config.durable_name)):
        if NOT_IN_A_NAME & set(name):
            raise bad_stream(f"consumer {what} can not contain '.', '*', '>', '\\', '/'")
    if len(config.durable_name) > 255:
        raise ApiError(400, 10102, "consumer name is too long, maximum allowed is 255")
    if len(config.description.encode(errors="replace")) > 4096:
        raise ApiError(400, 10107, "consumer description is too long, maximum allowed is 4096")


def _check_replicas(config: ConsumerConfig, stream: StreamConfig) -> None:
    if config.num_replicas > stream.num_replicas:
        raise ApiError(400, 10126, "consumer config replica count exceeds parent stream")
    if config.num_replicas < 0:
        raise ApiError(400, 10133, "replicas count cannot be negative")


def _check_waits(config: ConsumerConfig) -> None:
    if any(wait < 0 for wait in config.backoff):
        raise ApiError(400, 10184, "consumer backoff needs to be positive")
    if config.ack_wait < 0:
        raise ApiError(400, 10183, "consumer ack wait needs to be positive")
    if config.backoff and -1 != config.max_deliver < len(config.backoff):
        raise ApiError(400, 10116, "max deliver is required to be > length of backoff values")


def _check_kind(config: ConsumerConfig, stream: StreamConfig) -> None:
    _refuse(_rules_of_push(config, stream) if config.is_push else _rules_of_pull(config, stream))


def _rules_of_push(config: ConsumerConfig, stream: StreamConfig) -> Rules:
    target, heartbeat = config.deliver_subject, config.idle_heartbeat
    cycle = any(overlap(target, each) for each in stream.subjects)
    pending = config.max_ack_pending > 0 and config.ack_policy == "none"
    short = 0 < heartbeat < SECOND // 10
    return (
        (not is_literal(target), 10079, "consumer deliver subject has wildcards"),
        (not is_valid(target), 10112, "invalid push consumer deliver subject"),
        (cycle, 10081, "consumer deliver subject forms a cycle"),
        (config.max_waiting, 10080, "consumer in push mode can not set max waiting"),
        (pending, 10082, "consumer requires ack policy for max ack pending"),
        (short, 10083, "consumer idle heartbeat needs to be >= 100ms"),
    )


def _rules_of_pull(config: ConsumerConfig, stream: StreamConfig) -> Rules:
    queue = config.ack_policy == "none" and stream.retention == "workqueue"
    short = 0 < config.max_expires < SECOND // 1000
    push = "requires a push based consumer"
    return (
        (queue, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream"),
        (config.rate_limit_bps, 10086, "consumer in pull mode can not have rate limit set"),
        (config.idle_heartbeat, 10088, f"consumer idle heartbeat {push}"),
        (config.flow_control, 10089, f"consumer flow control {push}"),
        (short, 10115, "consumer max request expires needs to be >= 1ms"),
        (config.direct, 10090, f"consumer direct {push}"),
    )


def _check_limits(config: ConsumerConfig, stream: StreamConfig) -> None:
    most = stream.consumer_limits.max_ack_pending
    if 0 < most < config.max_ack_pending:
        raise ApiError(400, 10121, f"consumer max ack pending exceeds system limit of {most}")
    longest = stream.consumer_limits.inactive_threshold
    if 0 < longest < config.inactive_threshold:
        raise ApiError(
            400,
            10153,
            f"consumer inactive threshold exceeds system limit of {_go_duration(longest)}",
        )


def _check_filters(config: ConsumerConfig) -> None:
    if config.filter_subject and config.filter_subjects:
        raise ApiError(
            400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"
        )
    if "" in config.filter_subjects:
        raise ApiError(400, 10139, "consumer filter in FilterSubjects cannot be empty")
    if not all(map(is_valid, config.filters)):
        raise bad_stream("invalid subject")
    for at, one in enumerate(config.filters):
        for other_at, other in enumerate(config.filters):
            if at != other_at and is_subset(one, other):
                raise ApiError(400, 10138, "consumer subject filters cannot overlap")


_PLACES = {
    "all": "all",
    "last": "last",
    "new": "new",
    "last_per_subject": "last per subject",
    "by_start_sequence": "by start sequence",
    "by_start_time": "by start time",
}


def _check_start(config: ConsumerConfig) -> None:
    try:
        _ = config.start_time, config.paused_until
    except ValueError as error:
        raise invalid_json(error) from error
    policy = config.deliver_policy
    needs_seq, needs_time = policy == "by_start_sequence", policy == "by_start_time"
    for wrong, what in (
        (needs_seq and not config.opt_start_seq, "start sequence is not set"),
        (needs_time and not config.opt_start_time, "start time is not set"),
        (needs_time and config.opt_start_seq, "start start sequence is also set"),
        (not needs_seq and config.opt_start_seq, "start sequence is also set"),
        (not needs_time and config.opt_start_time, "start time is also set"),
        (policy == "last_per_subject" and not config.filters, "filter subject is not set"),
    ):
        if wrong:
            place = f"consumer delivery policy is deliver {_PLACES[policy]}, but optional"
            raise ApiError(400, 10094, f"{place} {what}")


def _check_rest(config: ConsumerConfig) -> None:
    frequency = config.sample_freq.removesuffix("%")
    if frequency and not frequency.isdigit():
        reason = f'strconv.Atoi: parsing "{frequency}": invalid syntax'
        raise ApiError(400, 10095, f"failed to parse consumer sampling configuration: {reason}")
    if config.durable_name and config.name and config.durable_name != config.name:
        raise ApiError(
            400, 10132, "Consumer Durable and Name have to be equal if both are provided"
        )
    if sum(len(name) + len(text) for name, text in config.metadata.items()) > 128 * 1024:
        raise ApiError(400, 10135, "consumer metadata exceeds maximum size of 128KB")
    with_policy = config.priority_policy not in ("", "none")
    rules = (
        (
            with_policy and not config.priority_groups,
            10159,
            "Setting PriorityPolicy requires at least one PriorityGroup to be set",
        ),
        (
            config.priority_groups and not with_policy,
            10196,
            "consumer can not have priority groups when policy is none",
        ),
        (
            config.priority_timeout and not with_policy,
            10197,
            "PinnedTTL cannot be set when PriorityPolicy is none",
        ),
    )
    _refuse(rules)


def _refuse(rules: Rules) -> None:
    for wrong, err_code, description in rules:
        if wrong:
            raise ApiError(400, err_code, description)


def _go_duration(nanoseconds: int) -> str:
    seconds = nanoseconds / SECOND
    return f"{seconds:g}s" if seconds < 60 else f"{int(seconds // 60)}m{seconds % 60:g}s"


FIXED = (
    ("deliver_policy", "deliver policy"),
    ("mem_storage", "storage type"),
    ("opt_start_seq", "start sequence"),
    ("opt_start_time", "start time"),
    ("ack_policy", "ack policy"),
    ("replay_policy", "replay policy"),
    ("idle_heartbeat", "heart beats"),
    ("flow_control", "flow control"),
)
"""What of a consumer cannot be changed, and what the server calls it."""


def check_update(old: ConsumerConfig, new: ConsumerConfig, *, bound: bool) -> None:
    """See whether a consumer may be changed like this; `bound`: somebody is delivered to.

    Raises:
        ApiError: the server refuses it.
    """
    for name, shown in FIXED:
        if getattr(old, name) != getattr(new, name):
            raise bad_consumer(f"{shown} can not be updated")
    if old.deliver_subject != new.deliver_subject:
        if not old.is_push:
            raise bad_consumer("can not update pull consumer to push based")
        if not new.is_push:
            raise bad_consumer("can not update push consumer to pull based")
        if bound:
            raise ApiError(400, 10013, "consumer name already in use")
    if old.max_waiting != new.max_waiting:
        raise bad_consumer("max waiting can not be updated")
