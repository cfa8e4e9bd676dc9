"""What `requeue` and `discard` do to letters, and how that is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from walnats_anyio.cli._dead._options import Filters
from walnats_anyio.cli._dead._view import in_words, visible
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, worst
from walnats_anyio.cli._screen import fail, note
from walnats_anyio.dead_letters import LetterOutcome, LetterResult, UnreadableLetter

MANY = 20
"""Letters from which on a terminal shows a bar in place of a line for each."""


@dataclass
class Outcome:
    """What became of the letters."""

    verb: str
    """What was done to them, such as "requeued"."""

    screen: Console
    """Where each one is told."""

    all_of_them: bool
    """Whether all letters are meant: one that somebody else took meanwhile is no failure then."""

    dry_run: bool = False
    """Whether nothing is done."""

    done: list[int] = field(default_factory=list[int])
    """Numbers of letters to which it was done."""

    skipped: list[int] = field(default_factory=list[int])
    """Numbers of letters that were left as they are, as their editor did not change them."""

    failed: dict[int, str] = field(default_factory=dict[int, str])
    """Why it was not, by number."""

    codes: list[int] = field(default_factory=list[int])
    """An exit code for each failure."""

    _bar: Progress | None = None

    @property
    def begun(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.done or self.failed or self.skipped)

    @property
    def exit_code(self) -> int:
        """What the shell is told."""
        return worst(self.codes)

    def report(self) -> dict[str, Any]:
        """All of it, for a program."""
        failed = [{"number": number, "error": error} for number, error in self.failed.items()]
        report: dict[str, Any] = {self.verb: self.done, "failed": failed}
        if self.skipped:
            report["skipped"] = self.skipped
        return report | {"dry_run": True} if self.dry_run else report

    def in_words(self) -> str:
        """All of it, for a person, in one line."""
        verb = f"would be {self.verb}" if self.dry_run else self.verb
        skipped = f", {len(self.skipped)} left as {_they(self.skipped)}" if self.skipped else ""
        failed = f", {len(self.failed)} not" if self.failed else ""
        return f"{in_words(len(self.done))} {verb}{skipped}{failed}"

    @contextmanager
    def shown(self, total: int | None) -> Iterator[None]:
        """Show how far it is on a terminal, where there are many letters.

        Args:
            total: how many there are; None: it is not known.
        """
        if not self.screen.is_terminal or (total is not None and total < MANY):
            yield
            return
        columns = (TextColumn(self.verb), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.screen, transient=True) as self._bar:
            self._bar.add_task(self.verb, total=total)
            yield
        self._bar = None

    def tell(self, result: LetterResult) -> None:
        """Say what became of a letter."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
        match result.outcome:
            case LetterOutcome.DONE:
                self.done.append(result.number)
                self._print(self.verb, result)
            case LetterOutcome.SKIPPED:
                self.skipped.append(result.number)
                self._print("left as it is", result)
            case LetterOutcome.GONE if not self.all_of_them:
                self._add_failure(result, ExitCode.USAGE)
            case LetterOutcome.FAILED:
                # Registering what is missing helps, and a letter that is not there stays so.
                self._add_failure(result, ExitCode.BROKEN)
            case LetterOutcome.GONE:
                pass

    def _print(self, what: str, result: LetterResult) -> None:
        if self._bar is not None:
            return
        letter = result.letter
        if isinstance(letter, UnreadableLetter):
            which = f"{letter.subject}, which could not be read"
        else:
            which = "" if letter is None else f"{letter.event} for {letter.actor}"
        would = "would be " if self.dry_run else ""
        line = visible(f"{would}{what} {result.number}: {which}")
        self.screen.print(line, markup=False, soft_wrap=True)

    def _add_failure(self, result: LetterResult, code: ExitCode) -> None:
        problem = result.problem or ""
        self.codes.append(code)
        self.failed[result.number] = problem
        fail(visible(problem))


def _they(many: list[int]) -> str:
    return "it is" if len(many) == 1 else "they are"


def ask(question: str, would: str, refused: str) -> None:
    """Ask whether to go on.

    Args:
        question: the question.
        would: what would happen, for whom nobody is there to ask.
        refused: what to say when it is not to go on.

    Raises:
        typer.Exit: not to go on.
        Problem: there is nobody to ask.
    """
    try:
        if typer.confirm(question, err=True):
            return
    except typer.Abort:
        if sys.stdin.isatty():
            raise typer.Exit(code_of_signal(Signals.SIGINT)) from None
        raise Problem(
            f"{would}, and there is nobody to ask", hint="add --yes", code=ExitCode.USAGE
        ) from None
    note(refused)
    raise typer.Exit(ExitCode.BROKEN)


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
