"""Answers to what is published, as a stream would give them that is not on this server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from walnats_anyio._link import Link, Message, open_link, pub


def refusal(code: int) -> bytes:
    """What JetStream answers that does not take a message."""
    return b'{"error":{"code":503,"err_code":%d,"description":"not now"}}' % code


class Answering(list[Message]):
    """What has come."""

    def __init__(self, link: Link, answer: Callable[[int], bytes | None]) -> None:
        self._link = link
        self._answer = answer

    def take(self, message: Message) -> None:
        self.append(message)
        said = self._answer(len(self))
        if said is not None:
            self.say(message, said)

    def say(self, message: Message, data: bytes) -> None:
        """Answer a message."""
        self._link.post(pub(message.reply, data))


@asynccontextmanager
async def answering(
    url: str, subject: str, answer: Callable[[int], bytes | None]
) -> AsyncIterator[Answering]:
    """Answer what is published; gives what came.

    Args:
        url: the server.
        subject: what is answered.
        answer: what to say to a message, by its number from 1; None: nothing.
    """
    async with open_link(url) as other:
        came = Answering(other, answer)
        mailbox = other.subscribe_to(subject, came.take)
        await other.flush()
        yield came
        other.forget(mailbox)
        await other.flush()
