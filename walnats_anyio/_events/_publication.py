"""Publishing one message into a stream, until the stream has acknowledged it.

Theory of operation. A publication is a pending request of the link, which repeats it after a lost
connection. What comes back is one of four: the stream's acknowledgement, an error of the stream,
"no responders" (nobody takes the subject), or something that another subscriber of the subject
sent. An error with one of the retryable codes, and "no responders" while the server starts, mean
"later"; what another subscriber sent is ignored.
"""

from __future__ import annotations

import anyio
import msgspec

from walnats_anyio._events._answers import RETRYABLE_CODES, Answer, read_answer
from walnats_anyio._link import (
    ConnectionLostError,
    Link,
    Message,
    PayloadTooLargeError,
    PendingRequest,
    ServerError,
    is_no_responders,
)

ACKNOWLEDGED_WITHIN = 5.0
"""Seconds in which the stream must acknowledge a message that a task waits for."""

NOBODY_WITHIN = 1.0
"""Seconds in which "no responders" may mean a server that stops or starts just now."""


class Publication(PendingRequest):
    """One message on its way into a stream.

    What the end of it means is the subclass's affair.

    Args:
        link: what it is sent over.
        stream: the stream that must acknowledge it. Another one may take its subject as well, such
            as one that keeps everything for an audit; its acknowledgement does not count.
        acknowledgement: what the acknowledgement begins with, nearly always; see `begins`.
    """

    link: Link
    _stream: str
    _acknowledgement: bytes

    def finish(self, reason: str | None, code: int | None = None) -> None:
        """Called once, when the stream has the message, or does not take it.

        Args:
            reason: why it does not take it; None: it has it.
            code: JetStream's error code for that, where there is one.
        """
        raise NotImplementedError

    def nobody(self) -> None:
        """Called instead, as often as it happens, when nobody takes the subject.

        It ends the publication, or has the link send it again.
        """
        raise NotImplementedError

    def stranger(self, answer: Answer) -> None:
        """Called when something came that is not of its stream; it is waited for on."""

    def answered(self, message: Message) -> None:
        data = message.data
        # Nearly every answer is {"stream":"...","seq":1}: it is not worth decoding.
        if data.startswith(self._acknowledgement) and b'"error":{' not in data:
            self.finish(None)
        elif is_no_responders(message):
            self.nobody()
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        answer = read_answer(data)
        error, domain = answer.error, self.link.prefixes.domain
        # Over a leafnode connection a subject reaches the streams of other domains as well.
        ours = domain is None or answer.domain == domain
        if error is None and ours and answer.stream == self._stream:
            self.finish(None)
        elif error is None or not (ours or not answer.domain):
            # Anybody may listen to the subject, and answer: only the stream's answer counts.
            self.link.keep_waiting(self)
            self.stranger(answer)
        elif error.err_code in RETRYABLE_CODES:
            self.link.retry_later(self)
        else:
            self.finish(error.description, error.err_code)


class _Awaited(Publication):
    """A publication that one task waits for."""

    _give_up_at: float
    _done: anyio.Event = msgspec.field(default_factory=anyio.Event)
    _error: Exception | None = None
    _answer: bytes = b""

    def answered(self, message: Message) -> None:
        self._answer = message.data
        super().answered(message)

    def finish(self, reason: str | None, code: int | None = None) -> None:
        self._end(None if reason is None else ServerError(reason, code))

    def nobody(self) -> None:
        if self.link.settling or self.link.now() < self._give_up_at:
            self.link.retry_later(self)
        else:
            self.finish("there is no stream that takes it")

    def failed(self, reason: Exception) -> None:
        passing = isinstance(reason, PermissionError | PayloadTooLargeError)
        kind = ServerError if passing else ConnectionLostError
        error = kind(str(reason))
        error.__cause__ = reason
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        self._error = error
        self._done.set()

    async def wait(self) -> int:
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return read_answer(self._answer).seq


def begins(stream: str, domain: str | None) -> bytes:
    """What the acknowledgement of a stream begins with (ADR-22), unless its name is escaped.

    Args:
        stream: its name.
        domain: its JetStream domain; None: any, or none.
    """
    start = b'{"stream":"%b",' % stream.encode()
    return start if domain is None else b'%b"domain":"%b",' % (start, domain.encode())


async def publish(link: Link, stream: str, subject: str, payload: bytes, headers: bytes) -> int:
    """Publish, and wait until the stream has the message.

    Returns:
        Its number in the stream.

    Raises:
        ServerError: there is no such stream, it refuses the message, the user may not publish
            there, or it does not acknowledge within 5 seconds. What is not acknowledged in time is
            not sent again; a server that read it before may have stored it.
        ConnectionLostError: the link is closed for good.
    """
    acknowledgement = begins(stream, link.prefixes.domain)
    publication = _Awaited(link, stream, acknowledgement, link.now() + NOBODY_WITHIN)
    link.publish(publication, subject.encode(), payload, headers)
    try:
        with anyio.fail_after(ACKNOWLEDGED_WITHIN):
            return await publication.wait()
    except TimeoutError as error:
        raise ServerError(f"no acknowledgement within {ACKNOWLEDGED_WITHIN} s") from error
    finally:
        link.drop(publication)
