"""The client side of the NATS protocol, without any I/O: bytes in, events out; commands to bytes.

Theory of operation. `Parser.receive` takes what came from the socket, cut anywhere, and gives the
events in it. The functions of `_commands` give the bytes of a command. Nothing here knows sockets,
clocks or tasks, so all of it is tested with bytes alone.

Sources: the page "Client Protocol" of the NATS documentation, ADR-4 (headers), ADR-15 (the reply
subject of a delivery).
"""

from __future__ import annotations

from walnats_anyio._link.protocol._commands import (
    PING,
    PONG,
    Publication,
    connect,
    payload_size,
    pub,
    read_publication,
    sub,
    unsub,
)
from walnats_anyio._link.protocol._events import (
    Err,
    Event,
    Message,
    Ok,
    Ping,
    Pong,
    ProtocolError,
    ServerInfo,
)
from walnats_anyio._link.protocol._headers import HeaderError, Status, header_block, parse_headers
from walnats_anyio._link.protocol._metadata import (
    Metadata,
    SequencePair,
    is_ack_subject,
    usual_acks,
)
from walnats_anyio._link.protocol._parser import Parser

__all__ = [
    "PING",
    "PONG",
    "Err",
    "Event",
    "HeaderError",
    "Message",
    "Metadata",
    "Ok",
    "Parser",
    "Ping",
    "Pong",
    "ProtocolError",
    "Publication",
    "SequencePair",
    "ServerInfo",
    "Status",
    "connect",
    "header_block",
    "is_ack_subject",
    "parse_headers",
    "payload_size",
    "pub",
    "read_publication",
    "sub",
    "unsub",
    "usual_acks",
]
