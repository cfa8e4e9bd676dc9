"""`walnats-anyio status`: how the actors are, once; with `--check` for probes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from walnats_anyio._link import Link
from walnats_anyio.cli._durations import duration
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._watch._options import ActorsOption, Post
from walnats_anyio.cli._watch._survey import ActorState, Survey
from walnats_anyio.cli._watch._view import as_json, in_units, is_abandoned, show, table_of


@dataclass(frozen=True)
class Check:
    """What is to be so, or `--check` fails."""

    check: Annotated[
        bool, typer.Option("--check", help="End with 1 if an actor is not well, and say why.")
    ] = False
    max_waiting: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Not well with more events waiting.", show_default=""
        ),
    ] = None
    max_age: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Not well if an event is older, such as 5m.", show_default=""
        ),
    ] = None
    max_dead: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Not well with more dead letters.", show_default=""),
    ] = None

    def limits(self) -> Limits:
        """The limits, checked.

        Raises:
            Problem: there are some without `--check`, or a time is none.
        """
        given = [self.max_waiting, self.max_age, self.max_dead]
        if not self.check and any(each is not None for each in given):
            raise Problem(
                "--max-waiting, --max-age and --max-dead say what --check checks",
                hint="add --check",
                code=ExitCode.USAGE,
            )
        age = None
        if self.max_age is not None:
            try:
                found = duration(self.max_age)
            except OverflowError:
                found = None
            if found is None:
                raise Problem(
                    f"--max-age {self.max_age!r} is no time",
                    hint="give a number and a unit, such as 30s, 10m, 2h or 3d",
                    code=ExitCode.USAGE,
                )
            age = found.total_seconds()
        return Limits(self.max_waiting, age, self.max_dead)


@dataclass(frozen=True)
class Limits:
    """How much is too much; None: nothing is."""

    waiting: int | None = None
    age: float | None = None
    dead: int | None = None


def problems_of(actor: ActorState, limits: Limits) -> Iterator[str]:
    """Say what is not well with an actor."""
    if is_abandoned(actor):
        yield f"{actor.waiting:,} events wait, and no process listens"
    if limits.waiting is not None and actor.waiting > limits.waiting:
        yield f"{actor.waiting:,} events wait, more than {limits.waiting:,}"
    if limits.age is not None and actor.oldest is not None and actor.oldest > limits.age:
        yield f"an event is {in_units(actor.oldest)} old, more than {in_units(limits.age)}"
    if limits.dead is not None and actor.dead > limits.dead:
        yield f"{actor.dead:,} dead letters, more than {limits.dead:,}"


def status(*, actors: ActorsOption = None, check: Check, post: Post) -> None:
    """Show how the actors are, as the server sees them, over all processes.

    waiting: events that no process has got; held: those that processes run, or that wait for a
    retry; oldest: the age of the oldest that is not done with; dead: dead letters; requests: pull
    requests that wait, so somebody listens.

    With --check it ends with 1 if events wait for an actor that nobody runs, or a limit is
    exceeded: for probes and cron jobs. An actor that is paused is well.

    Exit codes: 0 done, or well; 1 not well, or something broke; 2 the command is wrong, or there is
    no such actor; 3 no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(post.debug):
        limits = check.limits()
        found: list[ActorState] = []

        async def body(link: Link) -> None:
            found.extend(await Survey(link).actors(actors))

        if (signal := post.run("status", body)) is not None:
            raise typer.Exit(code_of_signal(signal))
        _check_found(found, actors)
        screen = post.screen
        show(table_of(found, screen), screen)
        told = {
            f"{actor.actor} ({actor.event})": list(problems_of(actor, limits)) for actor in found
        }
        unwell = {name: problems for name, problems in told.items() if problems}
        write_report(post.json, {"well": not unwell, "actors": _reports(found, limits)})
        if check.check and unwell:
            for name, problems in unwell.items():
                note(f"not well: {name}: {'; '.join(problems)}")
            raise typer.Exit(ExitCode.BROKEN)


def _reports(found: list[ActorState], limits: Limits) -> list[dict[str, Any]]:
    return [as_json(actor) | {"problems": list(problems_of(actor, limits))} for actor in found]


def _check_found(found: list[ActorState], names: list[str] | None) -> None:
    missing = sorted(set(names or ()) - {actor.actor for actor in found})
    if missing:
        raise Problem(
            f"there is no actor {', '.join(map(repr, missing))} on the server",
            hint="the name is that of the declaration; --namespace and --domain count as well",
            code=ExitCode.USAGE,
        )
