"""`walnats-anyio top`: how the actors are, again and again."""

from __future__ import annotations

from signal import Signals
from typing import Annotated

import anyio
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from walnats_anyio._link import Link, ServerError
from walnats_anyio.cli._endings import code_of_signal, explained
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._watch._layout import in_short
from walnats_anyio.cli._watch._options import ActorsOption, Post
from walnats_anyio.cli._watch._survey import ActorState, Survey
from walnats_anyio.cli._watch._view import as_json, most_urgent_first, show, table_of

Key = tuple[str, str]


class Rates:
    """Jobs a second, from one look to the next."""

    def __init__(self) -> None:
        self._done: dict[Key, int] = {}
        self._at = 0.0

    def between(self, actors: list[ActorState], now: float) -> dict[Key, float]:
        """The rates since the last look; an actor that is new has none."""
        done = {(actor.stream, actor.consumer): actor.done for actor in actors}
        passed = now - self._at
        # What is redelivered may lower the number for a moment.
        rates = {
            key: max(0, count - self._done[key]) / passed
            for key, count in done.items()
            if key in self._done and passed > 0
        }
        self._done, self._at = done, now
        return rates


def top(
    *,
    actors: ActorsOption = None,
    interval: Annotated[
        float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="Between two looks.")
    ] = 2.0,
    looks: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Looks until it ends.", show_default="until Ctrl-C"),
    ] = None,
    post: Post,
) -> None:
    """Show how the actors are, over all processes, again and again until Ctrl-C.

    jobs/s: deliveries that ended since the last look. The other columns are those of `status`. All
    of it comes from the server; without a terminal each look is printed below the last one. --json
    writes each look in place of the last one. On a terminal it goes on while the server is away.

    Exit codes: 0 ended by Ctrl-C, or after --looks; 1 something broke; 2 the command is wrong; 3 no
    connection to NATS; 143 ended by SIGTERM.
    """
    with explained(post.debug):
        screen = post.screen

        async def body(link: Link) -> None:
            with Live(
                console=screen, auto_refresh=False, screen=screen.is_terminal and looks is None
            ) as live:
                await _look(Survey(link), live if screen.is_terminal else None)

        async def _look(survey: Survey, live: Live | None) -> None:
            rates, left = Rates(), looks
            found: list[ActorState] | None = None
            while True:
                found, before = await _look_once(survey, actors, found, live), found
                if found is None:
                    found = before
                    await anyio.sleep(interval)
                    continue
                known = rates.between(found, anyio.current_time())
                left = None if left is None else left - 1
                _show(found, known, screen, live)
                report = {
                    "actors": [as_json(each, known.get((each.stream, each.consumer), 0.0))
                               for each in found]
                }  # fmt: skip
                write_report(post.json, report, last=left == 0)
                if left == 0:
                    return
                await anyio.sleep(interval)

        signal = post.run("top", body)
        if signal is not None and signal is not Signals.SIGINT:
            raise typer.Exit(code_of_signal(signal))


async def _look_once(
    survey: Survey, names: list[str] | None, before: list[ActorState] | None, live: Live | None
) -> list[ActorState] | None:
    """Ask the server; None: it does not answer just now, and the terminal says so."""
    try:
        return await survey.actors(names)
    except ServerError as error:
        # It may be back soon, so a terminal goes on to show what was so far.
        if before is None or live is None or error.code is not None:
            raise
        _show(before, {}, live.console, live, f"as it was before: {error}")
        return None


def _show(
    found: list[ActorState],
    rates: dict[Key, float],
    screen: Console,
    live: Live | None,
    problem: str | None = None,
) -> None:
    waiting, held = sum(each.waiting for each in found), sum(each.held for each in found)
    rate = sum(rates.values())
    count = "1 actor" if len(found) == 1 else f"{len(found):,} actors"
    words = f"{count}, {in_short(waiting)} waiting, {in_short(held)} held, {rate:,.0f} jobs/s"
    total = Text(problem or words, "red" if problem else "dim", no_wrap=True, overflow="ellipsis")
    if live is None:
        show([total, *table_of(found, screen, rates)], screen)
    else:
        # One line is left to the cursor, or the terminal scrolls.
        rows = screen.height - 2
        table = table_of(most_urgent_first(found), screen, rates, rows)
        live.update(Group(total, *table), refresh=True)
