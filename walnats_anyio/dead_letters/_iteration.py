"""Going through the letters of a selection."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable

from walnats_anyio._letters import STREAM, DeadLetter
from walnats_anyio._link import Link
from walnats_anyio.dead_letters._errors import LetterNotFoundError, UnreadableLetterError
from walnats_anyio.dead_letters._reading import get_letter, last_number, letter_in, next_message
from walnats_anyio.dead_letters._selection import Selection
from walnats_anyio.dead_letters._unreadable import UnreadableLetter

logger = logging.getLogger("walnats_anyio.dead_letters")


class _Stored:
    """Everything under the subjects of a selection, up to what is the newest at the start.

    Args:
        link: the connection.
        subjects: the subjects.
        after: the number behind which it begins.
        last: the number at which it ends, if that is before the newest.
    """

    __slots__ = ("_last", "_link", "_number", "_subjects")

    def __init__(self, link: Link, subjects: str, after: int = 0, last: int | None = None) -> None:
        self._link = link
        self._subjects = subjects
        self._number = after
        self._last = last

    async def next(self) -> DeadLetter | UnreadableLetter | None:
        """The next one, the oldest first; None at the end."""
        if self._last is None:
            self._last = await last_number(self._link)
        if self._number >= self._last:
            return None
        message = await next_message(self._link, self._subjects, self._number + 1)
        self._number = self._last if message is None else message.number
        if message is None or self._number > self._last:
            return None
        return await letter_in(self._link, message)


class Letters(AsyncIterator[DeadLetter]):
    """The letters of a selection; what cannot be read is left out with a warning.

    No generator, so that a loop may be left in the middle without closing anything.
    """

    __slots__ = ("_selection", "_stored")

    def __init__(
        self, link: Link, selection: Selection, after: int = 0, last: int | None = None
    ) -> None:
        self._selection = selection
        self._stored = _Stored(link, selection.subjects, after, last)

    async def __anext__(self) -> DeadLetter:
        while (letter := await self._stored.next()) is not None:
            if isinstance(letter, UnreadableLetter):
                logger.warning(
                    "message %d of stream %r, subject %r, is no dead letter that can be read, and "
                    "is left out: %s", letter.number, STREAM, letter.subject, letter.problem,
                )  # fmt: skip
            elif self._selection.has(letter):
                return letter
        raise StopAsyncIteration


class StoredLetters(AsyncIterator[DeadLetter | UnreadableLetter]):
    """What a selection has, what cannot be read included."""

    __slots__ = ("_selection", "_stored")

    def __init__(
        self, link: Link, selection: Selection, after: int = 0, last: int | None = None
    ) -> None:
        self._selection = selection
        self._stored = _Stored(link, selection.subjects, after, last)

    async def __anext__(self) -> DeadLetter | UnreadableLetter:
        while (letter := await self._stored.next()) is not None:
            if self._selection.has(letter):
                return letter
        raise StopAsyncIteration


class NumberedLetters(AsyncIterator[DeadLetter | UnreadableLetter | LetterNotFoundError]):
    """Letters of numbers that a selection has, and an error for each that is not there."""

    __slots__ = ("_link", "_numbers", "_selection")

    def __init__(self, link: Link, selection: Selection, numbers: Iterable[int]) -> None:
        self._link = link
        self._selection = selection
        self._numbers = iter(numbers)

    async def __anext__(self) -> DeadLetter | UnreadableLetter | LetterNotFoundError:
        for number in self._numbers:
            letter: DeadLetter | UnreadableLetter
            try:
                letter = await get_letter(self._link, number)
            except UnreadableLetterError as error:
                letter = error.letter
            except LetterNotFoundError as error:
                error.number = number
                return error
            if self._selection.covers(letter, self._link.prefixes):
                return letter
        raise StopAsyncIteration


class UnreadableLetters(AsyncIterator[UnreadableLetter]):
    """What cannot be read under the subjects of a selection."""

    __slots__ = ("_stored",)

    def __init__(self, link: Link, selection: Selection) -> None:
        self._stored = _Stored(link, selection.subjects)

    async def __anext__(self) -> UnreadableLetter:
        while (letter := await self._stored.next()) is not None:
            if isinstance(letter, UnreadableLetter):
                return letter
        raise StopAsyncIteration
