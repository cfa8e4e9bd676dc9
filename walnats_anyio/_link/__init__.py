"""NATS as any event loop sees it: only this room imports `asyncio`, `nats` and `trio_asyncio`."""

from __future__ import annotations

from walnats_anyio._link._asks import Ask, Message, Metadata
from walnats_anyio._link._backend import cancelled_from_outside
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
from walnats_anyio._link._jetstream import (
    CONSUMER_NOT_FOUND,
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    api,
    consumer_config,
    differences,
    ensure_helper_stream,
    ensure_stream,
    status_of,
    stream_config,
    update_stream,
)
from walnats_anyio._link._link import Link, open_link
from walnats_anyio._link._names import check_header, check_name
from walnats_anyio._link._options import Server, check_connect
from walnats_anyio._link._spot import Spot
from walnats_anyio._link._wire import Mailbox, pub

__all__ = [
    "CONSUMER_NOT_FOUND",
    "STREAM_NAME_IN_USE",
    "STREAM_NOT_FOUND",
    "ActorError",
    "Ask",
    "ConnectError",
    "ConnectionLostError",
    "ConsumerConfigError",
    "EmitError",
    "Link",
    "Mailbox",
    "Message",
    "MessageTooLargeError",
    "Metadata",
    "Server",
    "ServerError",
    "Spot",
    "StreamConfigError",
    "StreamExistsError",
    "WalnatsError",
    "api",
    "cancelled_from_outside",
    "check_connect",
    "check_header",
    "check_name",
    "consumer_config",
    "differences",
    "ensure_helper_stream",
    "ensure_stream",
    "open_link",
    "pub",
    "status_of",
    "stream_config",
    "update_stream",
]
