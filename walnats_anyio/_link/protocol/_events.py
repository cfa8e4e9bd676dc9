"""What the server says: the events that a `Parser` gives."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from walnats_anyio._link.protocol._headers import Status, parse_headers, parse_status
from walnats_anyio._link.protocol._metadata import Metadata


class ProtocolError(Exception):
    """What came is not the NATS protocol: nothing that follows on the connection can be read."""


class Message(msgspec.Struct, gc=False):
    """A message: `MSG` or `HMSG`.

    All parts are as they came; what of them is looked at is read then. It holds nothing but bytes,
    so the garbage collector need not look at it (`gc=False`), and as a Struct it is made in 0.1 us.
    """

    sid: bytes
    """The number of the subscription."""

    subject: bytes
    """What it was published to."""

    reply: bytes
    """Where an answer or acknowledgement goes; empty for nowhere."""

    data: bytes
    """The payload."""

    header: bytes = b""
    """The header block; empty when there is none."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers, read at each call.

        Raises:
            HeaderError: the header block is malformed.
        """
        return parse_headers(self.header)

    @property
    def status(self) -> Status:
        """The status that the server gave it; empty for a message of a client.

        Raises:
            HeaderError: the header block is malformed.
        """
        return parse_status(self.header) if self.header else Status("", "")

    @property
    def metadata(self) -> Metadata:
        """What JetStream says about it, from the reply subject.

        Raises:
            ValueError: it is no delivery of JetStream.
        """
        return Metadata.of(self.reply)


class ServerInfo(msgspec.Struct, frozen=True):
    """`INFO`: what the server says about itself, at first and whenever that changes."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    max_payload: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1024 * 1024
    """The largest payload with headers, in bytes, that it takes."""
    nonce: str | None = None
    """What is to be signed by those who have a key."""
    auth_required: bool = False
    tls_required: bool = False
    tls_available: bool = False
    tls_verify: bool = False
    headers: bool = False
    jetstream: bool = False
    """Whether this server has JetStream itself."""
    ldm: bool = False
    """Whether it stops soon, and clients should move ("lame duck mode")."""
    connect_urls: list[str] = []
    """The servers of its cluster, as `host:port`; for who came by a websocket, their websockets."""
    domain: str | None = None
    client_ip: str = ""


class Ping(msgspec.Struct, frozen=True):
    """`PING`: to be answered with PONG."""


class Pong(msgspec.Struct, frozen=True):
    """`PONG`: the answer to our PING."""


class Ok(msgspec.Struct, frozen=True):
    """`+OK`: sent only to those who asked to be told (`verbose`)."""


class Err(msgspec.Struct, frozen=True):
    """`-ERR`: what the server does not accept; what it means is in `_refusals`."""

    text: str
    """What it says, without the quotes."""


Event: TypeAlias = Message | ServerInfo | Ping | Pong | Ok | Err | ProtocolError
