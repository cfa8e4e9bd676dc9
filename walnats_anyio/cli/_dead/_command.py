"""The commands `walnats-anyio dead list`, `show`, `requeue` and `discard`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from signal import Signals
from typing import Annotated

import typer

from walnats_anyio.cli._dead._acting import Outcome, check_choice
from walnats_anyio.cli._dead._options import Desk, Filters
from walnats_anyio.cli._dead._unreadable import raw_json, show_raw
from walnats_anyio.cli._dead._view import as_json, in_words, show_letter, show_table
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
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
    desk: Desk,
) -> None:
    """Put events back, each for the one actor that gave it up.

    The event's other actors pass over it. For the actor its attempts count from 1 again. What fails
    again meanwhile is not put back a second time. A letter that cannot be read is kept, too.

    Exit codes: 0 done; 1 something broke, or a letter could not be put back and is kept; 2 the
    command is wrong, or there is no such letter; 3 no connection to NATS; 130 or 143 ended by
    SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        check_choice(numbers or [], everything, filters)
        chosen = filters.arguments()
        outcome = Outcome("requeued", desk.screen, all_of_them=everything)

        async def body(dead: DeadLetters) -> None:
            for number in dict.fromkeys(numbers or []):
                await outcome.act_on_number(dead.requeue, dead, number)
            if everything:
                async for letter in dead.stored(**chosen):
                    await outcome.act_on(dead.requeue, letter)

        _finish(desk, outcome, body)


@dead.command("discard")
@grouped
def discard(
    *,
    numbers: NumbersArgument = None,
    everything: AllOption = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before several are discarded.")
    ] = False,
    filters: Filters,
    desk: Desk,
) -> None:
    """Delete dead letters for good.

    Before several are deleted it asks. With --all those are deleted that were there when it asked.

    Exit codes: 0 done; 1 something broke, or you said no; 2 the command is wrong, or there is no
    such letter; 3 no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        check_choice(numbers or [], everything, filters)
        wanted = list(dict.fromkeys(numbers or []))
        if everything:
            wanted = _numbers_of(desk, filters)
        if len(wanted) > 1 and not yes:
            _ask(len(wanted))
        outcome = Outcome("discarded", desk.screen, all_of_them=everything)

        async def body(dead: DeadLetters) -> None:
            for number in wanted:
                await outcome.act_on_number(dead.discard, dead, number)

        _finish(desk, outcome, body)


def _numbers_of(desk: Desk, filters: Filters) -> list[int]:
    chosen = filters.arguments()
    numbers: list[int] = []

    async def body(dead: DeadLetters) -> None:
        numbers.extend([letter.number async for letter in dead.stored(**chosen)])

    desk.run(body)
    return numbers


def _ask(count: int) -> None:
    """Ask whether so many letters may be discarded.

    Raises:
        typer.Exit: they may not.
        Problem: there is nobody to ask.
    """
    question = f"Discard {in_words(count)} for good?"
    try:
        if typer.confirm(question, err=True):
            return
    except typer.Abort:
        if sys.stdin.isatty():
            raise typer.Exit(code_of_signal(Signals.SIGINT)) from None
        raise Problem(
            f"{in_words(count)} would be discarded, and there is nobody to ask",
            hint="add --yes",
            code=ExitCode.USAGE,
        ) from None
    note("nothing is discarded")
    raise typer.Exit(ExitCode.BROKEN)


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
