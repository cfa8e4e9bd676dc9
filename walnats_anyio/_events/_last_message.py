"""The last message of a subject: read it, and replace it if nobody else has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from walnats_anyio._events._answers import Refusal
from walnats_anyio._events._headers import header_block
from walnats_anyio._link import HeaderError, Link, Message, ServerError, is_no_responders

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
"""The header of compare and set: the number of the message that is to be replaced, 0 for none."""

WRONG_SEQUENCE = frozenset({10071, 10164})
"""JetStream's error codes: somebody else has written since that was read."""


class ChangedError(Exception):
    """Somebody else has replaced the message."""


class NoStreamError(ServerError):
    """There is no such stream, or it has no leader just now."""


@dataclass(frozen=True, slots=True)
class LastMessage:
    """A message as it was read."""

    sequence: int = 0
    """Its number in the stream; 0 where there is none."""

    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Also those that the server adds, such as `Nats-Time-Stamp`."""


class _Answer(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    domain: str = ""
    error: Refusal | None = None


_decoder = msgspec.json.Decoder(_Answer)


class LastMessages:
    """The last messages of the subjects of one stream, which has `allow_direct`."""

    def __init__(self, link: Link, stream: str) -> None:
        self._link = link
        self._stream = stream
        self._get = link.prefixes.api_subject(f"DIRECT.GET.{stream}")

    async def read(self, subject: str) -> LastMessage:
        """Read the last message of a subject (ADR-31).

        Raises:
            NoStreamError: there is no such stream.
            ServerError: the server does not answer, or this user may not read it.
            ConnectionLostError: the link is closed for good.
        """
        message = await self._link.request(f"{self._get}.{subject}", accepts=_is_stored)
        if is_no_responders(message):
            raise NoStreamError(f"nobody answers for stream {self._stream!r}")
        if (code := message.status.code) == "404":
            return LastMessage()
        if code:
            raise ServerError(
                f"{self._stream!r} cannot be read: {code} {message.status.description}"
            )
        headers = message.headers
        return LastMessage(int(headers["Nats-Sequence"]), message.data, headers)

    async def replace(
        self, subject: str, payload: bytes, known: int, headers: Mapping[str, str] | None = None
    ) -> int:
        """Replace the last message of a subject, if it is still the one with this number.

        Returns:
            The number of the new one.

        Raises:
            ChangedError: it is not. If an answer was lost, what it is now may be our own.
            ServerError: the stream does not take it, or the server does not answer.
            ConnectionLostError: the link is closed for good.
        """
        block = header_block(None, None, {**(headers or {}), EXPECTED: str(known)})
        message = await self._link.request(subject, payload, headers=block, accepts=self._is_answer)
        if is_no_responders(message):
            raise NoStreamError(f"nobody answers for stream {self._stream!r}")
        answer = _decoder.decode(message.data)
        if answer.error is None:
            return answer.seq
        if answer.error.err_code in WRONG_SEQUENCE:
            raise ChangedError(subject)
        raise ServerError(answer.error.description, answer.error.err_code)

    def _is_answer(self, message: Message) -> bool:
        """Whether it is an answer of the stream: anybody may listen to the subject, and answer."""
        if is_no_responders(message):
            return True
        try:
            answer = _decoder.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        domain = self._link.prefixes.domain
        ours = domain is None or answer.domain == domain
        if answer.error is not None:
            return ours or not answer.domain
        return ours and answer.stream == self._stream and answer.seq > 0


def _is_stored(message: Message) -> bool:
    """Whether it is an answer of a direct get."""
    try:
        if message.status.code:
            return True
        return message.headers.get("Nats-Sequence", "").isdecimal()
    except HeaderError:
        return False
