"""The commands `walnats-anyio dead list`, `show`, `requeue` and `discard`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from walnats_anyio.cli._dead._acting import Outcome, ask, check_choice
from walnats_anyio.cli._dead._editing import Editing
from walnats_anyio.cli._dead._options import Bulk, Desk, Filters
from walnats_anyio.cli._dead._unreadable import raw_json, show_raw
from walnats_anyio.cli._dead._view import as_json, in_words, show_letter, show_table
from walnats_anyio.cli._endings import ExitCode, Problem, explained
from walnats_anyio.cli._groups import grouped
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.dead_letters import (
    DeadLetter,
    DeadLetters,
    LetterNotFoundError,
    UnreadableLetter,
    UnreadableLetterError,
)

SHOWN = 100
"""Letters that `list` shows unless told otherwise."""

NumbersArgument = Annotated[
    list[int] | None,
    typer.Argument(metavar="NUMBER", min=1, help="The letters, as `list` numbers them."),
]

AllOption = Annotated[
    bool,
    typer.Option("--all", help="All letters, or all that --event, --actor, ... let through."),
]

dead = typer.Typer(
    help="Dead letters: events that actors gave up. Look at them, put them back, throw them away.",
    epilog="Exit codes: 0 done; 1 something broke, or a letter could not be put back; 2 the command"
    " is wrong, or there is no such letter; 3 no connection to NATS; 130 or 143 ended by SIGINT or"
    " SIGTERM.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@dead.command("list")
@grouped
def list_letters(
    *,
    filters: Filters,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Letters shown at most.")] = SHOWN,
    desk: Desk,
) -> None:
    """Show a table of dead letters, the oldest first.

    What is stored among them and cannot be read is there too, as unreadable.

    Exit codes: 0 done, also when there are none; 1 something broke; 2 the command is wrong; 3 no
    connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        chosen = filters.arguments()
        shown: list[DeadLetter | UnreadableLetter] = []
        found = 0

        async def body(dead: DeadLetters) -> None:
            nonlocal found
            async for letter in dead.stored(**chosen):
                shown.append(letter)
                if len(shown) == limit:
                    break
            found = len(shown) if len(shown) < limit else await dead.count(**chosen)

        desk.run(body)
        if shown:
            show_table(shown, desk.screen)
        rest = f", the oldest {limit} shown: --limit shows more" if found > limit else ""
        note(f"{in_words(found)}{rest}")
        letters = [as_json(each) for each in shown if isinstance(each, DeadLetter)]
        unreadable = [raw_json(each) for each in shown if isinstance(each, UnreadableLetter)]
        report = {"count": found, "letters": letters, "unreadable": unreadable}
        write_report(desk.json, report)


@dead.command("show")
@grouped
def show(
    *,
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", min=1, help="The letter, as `list` numbers it.")
    ],
    desk: Desk,
) -> None:
    """Show all there is to know of one dead letter: headers, payload, traceback.

    Of one that cannot be read it shows what is stored, and why it cannot be read.

    Exit codes: 0 done; 1 something broke; 2 the command is wrong, or there is no such letter; 3 no
    connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):

        async def body(dead: DeadLetters) -> None:
            try:
                letter = await dead.get(number)
            except UnreadableLetterError as error:
                show_raw(error.letter, desk.screen)
                write_report(desk.json, raw_json(error.letter))
                return
            except LetterNotFoundError as error:
                raise Problem(str(error), code=ExitCode.USAGE) from error
            show_letter(letter, desk.screen)
            write_report(desk.json, as_json(letter))

        desk.run(body)


@dead.command("requeue")
@grouped
def requeue(
    *,
    numbers: NumbersArgument = None,
    everything: AllOption = False,
    filters: Filters,
    bulk: Bulk,
    editing: Editing,
    desk: Desk,
) -> None:
    """Put events back, each for the one actor that gave it up.

    The event's other actors pass over it. For the actor its attempts count from 1 again. What fails
    again meanwhile is not put back a second time. A letter that cannot be read is kept, too. Before
    all letters there are go back, without any filter, it asks.

    It may be interrupted, and repeated to go on. The letters of one event and actor go back in
    their order.

    With --edit the payload of each letter is opened in $VISUAL or $EDITOR, as indented JSON, one
    after the other. What is saved goes back. A letter whose file is not changed is left as it is;
    an empty file, or an editor that fails, ends the command.

    Exit codes: 0 done; 1 something broke, a letter could not be put back and is kept, or you said
    no or left the file empty; 2 the command is wrong, or there is no such letter; 3 no connection
    to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        check_choice(numbers or [], everything, filters)
        edit = editing.editor(dry_run=bulk.dry_run)
        task = _Task("requeued", numbers, filters, bulk, desk)
        if everything and not filters.given and not (bulk.yes or bulk.dry_run):
            task.ask("Requeue {}?", task.find())
        outcome = task.outcome()

        async def body(dead: DeadLetters) -> None:
            total = 0 if edit is not None else await task.total(dead)
            with outcome.shown(total):
                await dead.requeue_all(**task.arguments(outcome), edit=edit)

        _finish(desk, outcome, body)


@dead.command("discard")
@grouped
def discard(
    *,
    numbers: NumbersArgument = None,
    everything: AllOption = False,
    filters: Filters,
    bulk: Bulk,
    desk: Desk,
) -> None:
    """Delete dead letters for good.

    Before several are deleted it asks. With --all those are deleted that were there when it asked.

    Exit codes: 0 done; 1 something broke, or you said no; 2 the command is wrong, or there is no
    such letter; 3 no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        check_choice(numbers or [], everything, filters)
        task = _Task("discarded", numbers, filters, bulk, desk)
        if not (bulk.yes or bulk.dry_run):
            task.ask("Discard {} for good?", task.find())
        outcome = task.outcome()

        async def body(dead: DeadLetters) -> None:
            with outcome.shown(await task.total(dead)):
                await dead.discard_all(**task.arguments(outcome))

        _finish(desk, outcome, body)


class _Task:
    """What is to be done to which letters."""

    def __init__(
        self, verb: str, numbers: list[int] | None, filters: Filters, bulk: Bulk, desk: Desk
    ) -> None:
        self._verb = verb
        self._everything = not numbers
        self._numbers = list(dict.fromkeys(numbers)) if numbers else None
        self._filters = filters
        self._chosen = filters.arguments()
        self._bulk = bulk
        self._desk = desk

    def find(self) -> int:
        """Fix which letters are meant, as those that there are now; gives how many."""
        if self._numbers is None:
            found: list[int] = []

            async def body(dead: DeadLetters) -> None:
                found.extend([letter.number async for letter in dead.stored(**self._chosen)])

            self._desk.run(body)
            self._numbers = found
        return len(self._numbers)

    def ask(self, question: str, count: int) -> None:
        """Ask whether it may be done to so many letters, unless it is one or none.

        Raises:
            typer.Exit: it may not.
            Problem: there is nobody to ask.
        """
        if count > 1:
            words = in_words(count)
            ask(
                question.format(words), f"{words} would be {self._verb}", f"nothing is {self._verb}"
            )

    def outcome(self) -> Outcome:
        """Where to keep what became of the letters."""
        screen, dry_run = self._desk.screen, self._bulk.dry_run
        return Outcome(self._verb, screen, all_of_them=self._everything, dry_run=dry_run)

    async def total(self, dead: DeadLetters) -> int | None:
        """How many letters there are, for a bar; None where it takes long to find out."""
        if self._numbers is not None:
            return len(self._numbers)
        if not self._desk.screen.is_terminal or not self._filters.by_name_only:
            return None
        return await dead.count(**self._chosen)

    def arguments(self, outcome: Outcome) -> dict[str, Any]:
        """The arguments of `requeue_all` and `discard_all`."""
        return self._chosen | {
            "numbers": self._numbers,
            "rate": self._bulk.rate,
            "dry_run": self._bulk.dry_run,
            "progress": outcome.tell,
        }


def _finish(
    desk: Desk,
    outcome: Outcome,
    body: Callable[[DeadLetters], Awaitable[None]],
) -> None:
    complete = False
    try:
        desk.run(body)
        complete = True
    finally:
        # Also when it ended in the middle: what is done is done.
        if complete or outcome.begun:
            note(outcome.in_words())
            write_report(desk.json, outcome.report())
    raise typer.Exit(outcome.exit_code)
