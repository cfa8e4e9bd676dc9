"""Publishing to a stream, until it has acknowledged."""

from __future__ import annotations

from time import monotonic

import anyio

from walnats_anyio._events._answers import RETRYABLE, read_answer
from walnats_anyio._link import (
    ConnectionLostError,
    Link,
    Message,
    PendingRequest,
    ServerError,
    is_no_responders,
    pub,
)

WITHIN = 5.0
"""Seconds in which the stream must acknowledge."""

NOBODY_WITHIN = 1.0
"""Seconds in which "no responders" may mean a server that stops or starts just now."""


class Deposit(PendingRequest):
    """One message on its way into a stream, which one task waits for."""

    __slots__ = ("_done", "_error", "_give_up_at", "_link")

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._give_up_at = monotonic() + NOBODY_WITHIN
        self._done = anyio.Event()
        self._error: Exception | None = None

    def answered(self, message: Message) -> None:
        link = self._link
        if is_no_responders(message):
            if link.settling or monotonic() < self._give_up_at:
                link.retry_later(self)
            else:
                self._finish(ServerError("there is no stream that takes it"))
            return
        answer = read_answer(message.data)
        error = answer.error
        if error is not None and error.err_code in RETRYABLE:
            link.retry_later(self)
        elif error is not None:
            self._finish(ServerError(error.description, error.err_code))
        elif answer.stream:
            self._finish(None)
        else:
            # Anybody may listen to the subject, and answer: only the stream's answer counts.
            link.keep_waiting(self)

    def failed(self, reason: Exception) -> None:
        kind = ServerError if isinstance(reason, PermissionError) else ConnectionLostError
        self._finish(kind(str(reason)))

    def _finish(self, error: Exception | None) -> None:
        self._error = error
        self._done.set()

    async def wait(self) -> None:
        await self._done.wait()
        if self._error is not None:
            raise self._error


async def publish(link: Link, subject: str, payload: bytes, headers: bytes) -> None:
    """Publish, and wait until the stream of the subject has it.

    Raises:
        ServerError: there is no such stream, it refuses it, or does not acknowledge it within 5
            seconds.
        ConnectionLostError: the link is closed for good.
    """
    deposit = Deposit(link)
    deposit.reply = link.new_reply()
    deposit.command = pub(subject, payload, deposit.reply, headers)
    link.send(deposit)
    try:
        with anyio.fail_after(WITHIN):
            await deposit.wait()
    except TimeoutError:
        raise ServerError(f"no acknowledgement within {WITHIN} s") from None
    finally:
        link.drop(deposit)
