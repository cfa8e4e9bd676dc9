"""Acting on many letters: requeue them, discard them.

Theory of operation. One task reads letters in their order, at the pace that is wanted, and spawns a
task for each. A bounded number of them run at once, so their round trips to the server overlap.
Letters of one event and actor are published one after the other, each when the one before is
acknowledged: `Turns` has each wait for the one before. What may go wrong with one letter is
recorded, and the others go on; when the server does not answer, all ends with that error.

The first letter is acted on alone: a right that is missing then leaves one letter half done, and
not as many as run at once.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import anyio

from walnats_anyio._events import BaseEvent, decode_message
from walnats_anyio._letters import DeadLetter, subject_of
from walnats_anyio._link import Link
from walnats_anyio._link._failures import failures_of, one_or_group
from walnats_anyio.dead_letters._errors import LetterNotFoundError, RequeueError
from walnats_anyio.dead_letters._reading import (
    check_there,
    delete_letter,
    delete_unreadable,
    gone,
)
from walnats_anyio.dead_letters._requeue import prepare, send
from walnats_anyio.dead_letters._results import (
    BulkFailure,
    BulkResult,
    LetterOutcome,
    LetterResult,
    Progress,
)
from walnats_anyio.dead_letters._unreadable import UnreadableLetter
from walnats_anyio.serializers import DecodeError

AT_ONCE = 32
"""Letters that are acted on at the same time."""

MAX_FAILURES = 1_000
"""Failures that a result names."""

Stored: TypeAlias = DeadLetter | UnreadableLetter

Edit: TypeAlias = Callable[[DeadLetter], DeadLetter | Awaitable[DeadLetter | None] | None]
"""Gives the letter as it is to go back, or None to leave it; may be a coroutine function."""


class Pace:
    """So many letters a second, evenly.

    Args:
        rate: how many; None for as many as there are.
    """

    def __init__(self, rate: float | None) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._next = -math.inf

    async def wait(self) -> None:
        """Wait until the next letter may be acted on."""
        if not self._interval:
            return
        # What could not be kept up with is not caught up on.
        self._next = max(self._next, anyio.current_time())
        await anyio.sleep_until(self._next)
        self._next += self._interval


class Turn:
    """The place of one letter behind others of the same event and actor."""

    def __init__(self, before: anyio.Event | None) -> None:
        self._before = before
        self.over = anyio.Event()

    async def wait(self) -> None:
        """Wait until the letter before has gone back, or has failed to."""
        if self._before is not None:
            await self._before.wait()


class Turns:
    """The order of letters of one event and actor."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], anyio.Event] = {}

    def take(self, letter: DeadLetter) -> Turn:
        """The next turn for an event and actor."""
        key = letter.stream, letter.actor
        turn = Turn(self._last.get(key))
        self._last[key] = turn.over
        return turn

    def end(self, letter: DeadLetter, turn: Turn) -> None:
        """End a turn, whatever came of it."""
        turn.over.set()
        key = letter.stream, letter.actor
        if self._last.get(key) is turn.over:
            # Names of letters may be anybody's: what is kept is bounded by what runs at once.
            del self._last[key]


class Bulk:
    """One call that acts on many letters. Subclasses say what is done to one.

    Args:
        link: the connection.
        rate: letters a second; None for as fast as it goes.
        dry_run: see what would be done, and change nothing.
        progress: told of each letter.
    """

    def __init__(
        self, link: Link, *, rate: float | None, dry_run: bool, progress: Progress | None
    ) -> None:
        self._link = link
        # Nothing is done, so there is nothing to slow down.
        self._pace = Pace(None if dry_run else rate)
        self._dry_run = dry_run
        self._progress = progress
        self._counts: Counter[LetterOutcome] = Counter()
        self._failures: list[BulkFailure] = []
        self._free = anyio.Semaphore(AT_ONCE)
        self._begun = False

    async def run(self, letters: AsyncIterator[Stored | LetterNotFoundError]) -> BulkResult:
        """Act on letters; in the place of one that is not there is an error that says so.

        Raises:
            ServerError: the server does not answer, or this user may not act on letters.
            ConnectionLostError: the link is closed for good.
        """
        try:
            async with anyio.create_task_group() as tasks:
                async for letter in letters:
                    if isinstance(letter, LetterNotFoundError):
                        self._note_gone(letter.number, None, letter)
                        continue
                    await self._pace.wait()
                    act = await self._plan(letter)
                    if act is None:
                        continue
                    await self._free.acquire()
                    tasks.start_soon(act)
                    if not self._begun:
                        self._begun = True
                        await self._all_done()
        except BaseExceptionGroup as group:
            failures = failures_of(group)
            if not failures:
                raise
            raise one_or_group("acting on dead letters failed", failures) from None
        counts = {each.value: self._counts[each] for each in LetterOutcome}
        return BulkResult(**counts, failures=tuple(self._failures))

    async def _plan(self, letter: Stored) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """What to run for a letter; None: nothing more."""
        raise NotImplementedError

    async def _all_done(self) -> None:
        for _ in range(AT_ONCE):
            await self._free.acquire()
        for _ in range(AT_ONCE):
            self._free.release()

    def _note(self, letter: Stored, outcome: LetterOutcome, problem: str | None = None) -> None:
        if problem is not None and len(self._failures) < MAX_FAILURES:
            self._failures.append(BulkFailure(number=letter.number, problem=problem))
        self._tell(letter.number, letter, outcome, problem)

    def _note_gone(
        self, number: int, letter: Stored | None, why: LetterNotFoundError | None = None
    ) -> None:
        self._tell(number, letter, LetterOutcome.GONE, gone(number) if why is None else str(why))

    def _tell(
        self, number: int, letter: Stored | None, outcome: LetterOutcome, problem: str | None
    ) -> None:
        self._counts[outcome] += 1
        if self._progress is not None:
            told = LetterResult(number=number, letter=letter, outcome=outcome, problem=problem)
            self._progress(told)


class Requeueing(Bulk):
    """Puts letters back.

    Args:
        edit: gives each letter as it is to go back.
        event: what an edited payload must fit; None: it is not known.
    """

    def __init__(
        self, link: Link, *, edit: Edit | None, event: BaseEvent[Any] | None, **options: Any
    ) -> None:
        super().__init__(link, **options)
        self._edit = edit
        self._event = event
        self._turns = Turns()

    async def _plan(self, letter: Stored) -> Callable[[], Coroutine[Any, Any, None]] | None:
        if isinstance(letter, UnreadableLetter):
            problem = (
                f"dead letter {letter.number} cannot be requeued and is kept: it cannot be read: "
                f"{letter.problem}"
            )
            self._note(letter, LetterOutcome.FAILED, problem)
            return None
        try:
            edited = letter if self._edit is None else await self._edited(letter, self._edit)
        except RequeueError as error:
            self._note(letter, LetterOutcome.FAILED, str(error))
            return None
        if edited is None:
            self._note(letter, LetterOutcome.SKIPPED)
            return None
        turn = self._turns.take(edited)
        ready: DeadLetter = edited

        async def act() -> None:
            try:
                await self._requeue(ready, turn)
            except LetterNotFoundError as error:
                self._note_gone(ready.number, ready, error)
            except RequeueError as error:
                self._note(ready, LetterOutcome.FAILED, str(error))
            else:
                self._note(ready, LetterOutcome.DONE)
            finally:
                self._turns.end(ready, turn)
                self._free.release()

        return act

    async def _requeue(self, letter: DeadLetter, turn: Turn) -> None:
        await check_there(self._link, letter)
        ready = await prepare(self._link, letter)
        await turn.wait()
        if self._dry_run:
            return
        # Once an event is sent, its letter is deleted also when this is cancelled: it would go back
        # twice otherwise. Each of the two requests ends within 5 seconds.
        with anyio.CancelScope(shield=True):
            await send(self._link, ready)
            self._turns.end(letter, turn)
            await delete_letter(self._link, letter)

    async def _edited(self, letter: DeadLetter, edit: Edit) -> DeadLetter | None:
        """The letter as `edit` gives it.

        Raises:
            TypeError: it gives something else.
            RequeueError: it is another letter, or its payload does not fit the event.
        """
        given = edit(letter)
        edited = await given if inspect.isawaitable(given) else given
        if edited is None:
            return None
        _check_edited(edited, getattr(edited, "payload", None))
        kept = f"dead letter {letter.number} cannot be requeued and is kept: "
        prefixes = self._link.prefixes
        if subject_of(edited, prefixes) != subject_of(letter, prefixes):
            raise RequeueError(
                f"{kept}edit made it another letter: change payload and headers only"
            )
        if self._event is not None and edited.payload != letter.payload:
            try:
                decode_message(self._event, edited.payload, edited.headers)
            except DecodeError as error:
                raise RequeueError(
                    f"{kept}its edited payload cannot be decoded: {error}"
                ) from error
        return edited


class Discarding(Bulk):
    """Deletes letters, and what cannot be read among them."""

    async def _plan(self, letter: Stored) -> Callable[[], Coroutine[Any, Any, None]] | None:
        if self._dry_run:
            self._note(letter, LetterOutcome.DONE)
            return None

        async def act() -> None:
            try:
                if await self._discard(letter):
                    self._note(letter, LetterOutcome.DONE)
                else:
                    self._note_gone(letter.number, letter)
            finally:
                self._free.release()

        return act

    async def _discard(self, letter: Stored) -> bool:
        if isinstance(letter, UnreadableLetter):
            return await delete_unreadable(self._link, letter)
        return await delete_letter(self._link, letter)


def _check_edited(edited: object, payload: object) -> None:
    if not isinstance(edited, DeadLetter) or not isinstance(payload, bytes):
        raise TypeError(
            "edit must give a DeadLetter with a payload of bytes, or None to leave the letter, "
            f"not {edited!r}"
        )


def check_options(rate: object, dry_run: object, edit: object, progress: object) -> None:
    """Refuse what cannot be meant.

    Raises:
        TypeError: one of them is of a wrong type.
        ValueError: the rate is no number of letters a second.
    """
    if rate is not None:
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(f"rate must be a number of letters a second or None, not {rate!r}")
        if not 0 < rate < math.inf:
            raise ValueError(
                f"rate must be above 0 letters a second, not {rate!r}: None is as fast as it goes"
            )
    if not isinstance(dry_run, bool):
        raise TypeError(f"dry_run must be a bool, not {dry_run!r}")
    for name, value in (("edit", edit), ("progress", progress)):
        if value is not None and not callable(value):
            raise TypeError(f"{name} must be callable or None, not {value!r}")
