"""Going through the letters of a selection."""

from __future__ import annotations

from collections.abc import AsyncIterator

from walnats_anyio._link import Link
from walnats_anyio.dead_letters._letter import DeadLetter
from walnats_anyio.dead_letters._reading import last_number, letter_or_none, next_message
from walnats_anyio.dead_letters._selection import Selection


class Letters(AsyncIterator[DeadLetter]):
    """The letters of a selection, the oldest first, up to the one that is the newest at the start.

    No generator, so that a loop may be left in the middle without closing anything.
    """

    __slots__ = ("_last", "_link", "_number", "_selection")

    def __init__(self, link: Link, selection: Selection) -> None:
        self._link = link
        self._selection = selection
        self._number = 0
        self._last: int | None = None

    async def __anext__(self) -> DeadLetter:
        if self._last is None:
            self._last = await last_number(self._link)
        while self._number < self._last:
            message = await next_message(self._link, self._selection.subjects, self._number + 1)
            self._number = self._last if message is None else int(message["seq"])
            if message is None or self._number > self._last:
                break
            letter = letter_or_none(message)
            if letter is not None and self._selection.has(letter):
                return letter
        raise StopAsyncIteration
