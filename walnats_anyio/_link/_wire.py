"""What goes over the wire: a command to publish, a subscription to receive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from walnats_anyio._link._asks import Message

Deliver = Callable[[Message], None]


def pub(subject: str, payload: bytes, reply: str = "", headers: bytes = b"") -> bytes:
    """The protocol command that publishes; `headers` is a whole header block or empty."""
    target = f"{subject} {reply}".encode() if reply else subject.encode()
    if headers:
        size = len(headers)
        return b"HPUB %b %d %d\r\n%b%b\r\n" % (target, size, size + len(payload), headers, payload)
    return b"PUB %b %d\r\n%b\r\n" % (target, len(payload), payload)


class Mailbox:
    """A subscription. To nats-py it is a future, and the result it sets is the next message.

    nats-py hands a message to a future's `set_result` straight from its read loop, without the
    queue and the task that it gives to a coroutine callback.
    """

    __slots__ = ("_broken", "_deliver", "subject", "subscription")

    def __init__(self, subject: str, deliver: Deliver, broken: Callable[[Exception], None]) -> None:
        self.subject = subject
        self._deliver = deliver
        self._broken = broken
        self.subscription: Any = None

    def cancelled(self) -> bool:
        return False

    def set_result(self, message: Message) -> None:
        try:
            self._deliver(message)
        except Exception as exc:  # noqa: BLE001 - nats-py would end its read loop and hang; see Link._fail
            self._broken(exc)
