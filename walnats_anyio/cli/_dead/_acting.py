"""What `requeue` and `discard` do to letters, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from walnats_anyio.cli._dead._options import Filters
from walnats_anyio.cli._dead._view import in_words, visible
from walnats_anyio.cli._endings import ExitCode, Problem, worst
from walnats_anyio.cli._screen import fail
from walnats_anyio.dead_letters import (
    DeadLetter,
    DeadLetters,
    LetterNotFoundError,
    RequeueError,
    UnreadableLetter,
    UnreadableLetterError,
)

Act = Callable[[DeadLetter | UnreadableLetter], Awaitable[None]]


@dataclass
class Outcome:
    """What became of the letters."""

    verb: str
    """What was done to them, such as "requeued"."""

    screen: Console
    """Where each one is told."""

    all_of_them: bool
    """Whether all letters are meant: one that somebody else took meanwhile is no failure then."""

    done: list[int] = field(default_factory=list[int])
    """Numbers of letters to which it was done."""

    failed: dict[int, str] = field(default_factory=dict[int, str])
    """Why it was not, by number."""

    codes: list[int] = field(default_factory=list[int])
    """An exit code for each failure."""

    @property
    def begun(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.done or self.failed)

    @property
    def exit_code(self) -> int:
        """What the shell is told."""
        return worst(self.codes)

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        failed = [{"number": number, "error": error} for number, error in self.failed.items()]
        return {self.verb: self.done, "failed": failed}

    def in_words(self) -> str:
        """All of it, for a person, in one line."""
        failed = f", {len(self.failed)} not" if self.failed else ""
        return f"{in_words(len(self.done))} {self.verb}{failed}"

    async def act_on(self, act: Act, letter: DeadLetter | UnreadableLetter) -> None:
        """Act on a letter, and say what became of it."""
        try:
            await act(letter)
        except (LetterNotFoundError, RequeueError) as error:
            self._add_failure(letter.number, error)
            return
        self.done.append(letter.number)
        if isinstance(letter, UnreadableLetter):
            what = f"{letter.subject}, which could not be read"
        else:
            what = f"{letter.event} for {letter.actor}"
        line = visible(f"{self.verb} {letter.number}: {what}")
        self.screen.print(line, markup=False, soft_wrap=True)

    async def act_on_number(self, act: Act, dead: DeadLetters, number: int) -> None:
        """Act on the letter of a number."""
        letter: DeadLetter | UnreadableLetter
        try:
            letter = await dead.get(number)
        except UnreadableLetterError as error:
            letter = error.letter
        except LetterNotFoundError as error:
            self._add_failure(number, error)
            return
        await self.act_on(act, letter)

    def _add_failure(self, number: int, error: Exception) -> None:
        # Registering what is missing helps against the one, and nothing helps against the other.
        gone = isinstance(error, LetterNotFoundError)
        if gone and self.all_of_them:
            return
        self.codes.append(ExitCode.USAGE if gone else ExitCode.BROKEN)
        self.failed[number] = str(error)
        fail(visible(str(error)))


def check_choice(numbers: list[int], everything: bool, filters: Filters) -> None:
    """Refuse words that do not say clearly which letters are meant.

    Raises:
        Problem: no number and no --all, or both; a filter without --all.
    """
    problem, hint = "", "give numbers, which `walnats-anyio dead list` shows, or --all"
    if numbers and everything:
        problem = "numbers and --all are given, and only one of them can be meant"
    elif filters.given and not everything:
        problem, hint = (
            f"{filters.given[0]} chooses among all letters",
            "add --all, or leave it out",
        )
    elif not numbers and not everything:
        problem = "it is not said which dead letters are meant"
    if problem:
        raise Problem(problem, hint=hint, code=ExitCode.USAGE)
