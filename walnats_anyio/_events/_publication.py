"""Publishing one message into a stream, until the stream has acknowledged it.

Theory of operation. A publication is a pending request of the link, which repeats it after a lost
connection. What comes back is one of four: the stream's acknowledgement, an error of the stream,
"no responders" (nobody takes the subject), or something that another subscriber of the subject
sent. An error with one of the retryable codes, and "no responders" while the server starts, mean
"later"; what another subscriber sent is ignored.
"""

from __future__ import annotations

import anyio

from walnats_anyio._events._answers import RETRYABLE_CODES, read_answer
from walnats_anyio._link import (
    Ask,
    ConnectionLostError,
    Link,
    Message,
    ServerError,
    pub,
    status_of,
)

ACKNOWLEDGED_WITHIN = 5.0
"""Seconds in which the stream must acknowledge a message that a task waits for."""

NOBODY_WITHIN = 1.0
"""Seconds in which "no responders" may mean a server that stops or starts just now."""


class Publication(Ask):
    """One message on its way into a stream.

    What the end of it means is the subclass's affair.
    """

    __slots__ = ("link",)

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link

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

    def answered(self, message: Message) -> None:
        data = message.data
        # Nearly every answer is {"stream":"...","seq":1}: it is not worth decoding.
        if data.startswith(b'{"stream":') and b'"error":{' not in data:
            self.finish(None)
        elif status_of(message.headers) == "503":
            self.nobody()
        else:
            answer = read_answer(data)
            if answer.error is None:
                # Anybody may listen to the subject, and answer: only the stream's answer counts.
                self.link.wait_on(self)
            elif answer.error.err_code in RETRYABLE_CODES:
                self.link.again(self)
            else:
                self.finish(answer.error.description, answer.error.err_code)


class _Awaited(Publication):
    """A publication that one task waits for."""

    __slots__ = ("_done", "_error", "_give_up_at")

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._give_up_at = link.now() + NOBODY_WITHIN
        self._done = anyio.Event()
        self._error: Exception | None = None

    def finish(self, reason: str | None, code: int | None = None) -> None:
        self._end(None if reason is None else ServerError(reason, code))

    def nobody(self) -> None:
        if self.link.settling or self.link.now() < self._give_up_at:
            self.link.again(self)
        else:
            self.finish("there is no stream that takes it")

    def gave_up(self, reason: Exception) -> None:
        kind = ServerError if isinstance(reason, PermissionError) else ConnectionLostError
        self._end(kind(str(reason)))

    def _end(self, error: Exception | None) -> None:
        self._error = error
        self._done.set()

    async def wait(self) -> None:
        await self._done.wait()
        if self._error is not None:
            raise self._error


async def publish(link: Link, subject: str, payload: bytes, headers: bytes) -> None:
    """Publish, and wait until the stream of the subject has the message.

    Raises:
        ServerError: there is no such stream, it refuses the message, the user may not publish
            there, or it does not acknowledge within 5 seconds. What is not acknowledged in time is
            not sent again; a server that read it before may have stored it.
        ConnectionLostError: the link is closed for good.
    """
    publication = _Awaited(link)
    publication.reply = link.new_reply()
    publication.command = pub(subject, payload, publication.reply, headers)
    link.ask(publication)
    try:
        with anyio.fail_after(ACKNOWLEDGED_WITHIN):
            await publication.wait()
    except TimeoutError:
        raise ServerError(f"no acknowledgement within {ACKNOWLEDGED_WITHIN} s") from None
    finally:
        link.drop(publication)
