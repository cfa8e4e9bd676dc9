"""NATS as any event loop sees it: only this room imports `asyncio`, `nats` and `trio`."""

from __future__ import annotations

from walnats_anyio._link._errors import (
    ActorError,
    ConnectError,
    ConnectionLostError,
    ConsumerConfigError,
    EmitError,
    MessageTooLargeError,
    ServerError,
    StreamConfigError,
    StreamExistsError,
    WalnatsError,
)
from walnats_anyio._link._failures import failures_of, one_or_group
from walnats_anyio._link._jetstream import (
    CONSUMER_NOT_FOUND,
    ELECTED_WITHIN,
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    SUBJECT_TAKEN,
    api,
    consumer_config,
    differences,
    ensure_helper_stream,
    ensure_stream,
    is_answer,
    is_no_responders,
    not_enabled,
    stream_config,
    stream_info,
    stream_names,
    update_stream,
)
from walnats_anyio._link._link import Link, Subscription, open_link
from walnats_anyio._link._mock_clock import hold_clock, jump_clock, mock_clock
from walnats_anyio._link._names import check_header, check_in_namespace, check_name
from walnats_anyio._link._options import Server, check_connect
from walnats_anyio._link._parking import Backend, ParkingSpot, Scope, cancelled_from_outside
from walnats_anyio._link._pending import PayloadTooLargeError, PendingRequest
from walnats_anyio._link._prefixes import NO_PREFIXES, Prefixes
from walnats_anyio._link._sharing import Connected, prefixes_for
from walnats_anyio._link._statistics import ConnectionStatistics
from walnats_anyio._link._versions import (
    is_at_least,
    keeps_metadata,
    percent_problem,
    takes_reason_of_term,
    version_of,
)
from walnats_anyio._link.protocol import (
    HeaderError,
    Message,
    Metadata,
    SequencePair,
    is_ack_subject,
    parse_headers,
    pub,
    usual_acks,
)
from walnats_anyio._link.protocol._refusals import Refusal

__all__ = [
    "CONSUMER_NOT_FOUND",
    "ELECTED_WITHIN",
    "NO_PREFIXES",
    "STREAM_NAME_IN_USE",
    "STREAM_NOT_FOUND",
    "SUBJECT_TAKEN",
    "ActorError",
    "Backend",
    "ConnectError",
    "Connected",
    "ConnectionLostError",
    "ConnectionStatistics",
    "ConsumerConfigError",
    "EmitError",
    "HeaderError",
    "Link",
    "Message",
    "MessageTooLargeError",
    "Metadata",
    "ParkingSpot",
    "PayloadTooLargeError",
    "PendingRequest",
    "Prefixes",
    "Refusal",
    "Scope",
    "SequencePair",
    "Server",
    "ServerError",
    "StreamConfigError",
    "StreamExistsError",
    "Subscription",
    "WalnatsError",
    "api",
    "cancelled_from_outside",
    "check_connect",
    "check_header",
    "check_in_namespace",
    "check_name",
    "consumer_config",
    "differences",
    "ensure_helper_stream",
    "ensure_stream",
    "failures_of",
    "hold_clock",
    "is_ack_subject",
    "is_answer",
    "is_at_least",
    "is_no_responders",
    "jump_clock",
    "keeps_metadata",
    "mock_clock",
    "not_enabled",
    "one_or_group",
    "open_link",
    "parse_headers",
    "percent_problem",
    "prefixes_for",
    "pub",
    "stream_config",
    "stream_info",
    "stream_names",
    "takes_reason_of_term",
    "update_stream",
    "usual_acks",
    "version_of",
]
