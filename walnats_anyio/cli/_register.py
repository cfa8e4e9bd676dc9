"""`walnats-anyio register`: make streams and consumers what is declared, or show the plan."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
import typer

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events import BaseEvent, Events, PlanEntry, RegisterOptions
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import (
    ExitCode,
    Problem,
    code_of_error,
    code_of_signal,
    explained,
    worst,
)
from walnats_anyio.cli._register_view import report_of, show_plan
from walnats_anyio.cli._registering import Declared, plan_all, register_all
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import out
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.cli._target import TargetProblem, Wanted, chosen, kind_of, load

DECLARATIONS = Wanted(
    "events or actors",
    (Events, BaseEvent, Actors, Actor),
    "shop.events:EVENTS for EVENTS in shop/events.py",
    "EVENTS = Events(...)",
)


@dataclass(frozen=True)
class Request:
    """All options of the command."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="What is registered: shop:EVENTS is EVENTS in shop.py of the current directory. "
            "An Events or an Event: their streams. An Actors or an Actor: the streams of their "
            "events, and their consumers. Or a function that returns one of them.",
        ),
    ]
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Show what would change, and change nothing."),
    ] = False
    check: Annotated[
        bool,
        typer.Option("--check", help="As --dry-run, and end with 1 if something would change."),
    ] = False
    create: Annotated[
        bool, typer.Option("--create/--no-create", help="Create what is missing.")
    ] = True
    update: Annotated[
        bool, typer.Option("--update/--no-update", help="Update what is not as declared.")
    ] = True
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also take subjects, retention and discard policy from streams that somebody made "
            "for something else, and lower limits although events are dropped for it.",
        ),
    ] = False
    actors: Annotated[
        list[str] | None,
        typer.Option("--actor", metavar="NAME", help="Only this actor, and others given so."),
    ] = None
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False

    @property
    def dry(self) -> bool:
        """Whether nothing is to be changed."""
        return self.dry_run or self.check


def register(request: Request) -> None:
    """Make the streams and consumers on the server what events and actors declare.

    One line for each says what was done, and below it field by field what changed and what was left
    as the server has it. With --dry-run nothing is changed; a user who may only read can run that.

    Exit codes: 0 done, or shown; 1 something was refused, or would be, or with --check something
    would change; 2 the command, the module or a declaration is wrong; 3 no connection to NATS; 130
    or 143 ended by SIGINT or SIGTERM.
    """
    with explained(request.debug):
        check_backend(request.backend)
        if request.force and not request.update:
            raise Problem(
                "--force changes streams, and --no-update forbids it",
                hint="leave one of them out",
                code=ExitCode.USAGE,
            )
        declared = _load(request)
        entries = _run(request, declared)
        screen = out(for_program=to_standard_output(request.json))
        show_plan(entries, screen, dry=request.dry)
        write_report(request.json, report_of(entries, dry=request.dry))
        raise typer.Exit(_exit_code(request, entries))


def _load(request: Request) -> Declared:
    found, shown = load(request.target, DECLARATIONS)
    if isinstance(found, Actor | Actors):
        actors: Actors = found if isinstance(found, Actors) else Actors(_any(found))
        actors = chosen(actors, request.actors)
        return Declared(Events(*(actor.event for actor in actors)), actors)
    if not isinstance(found, BaseEvent | Events):
        raise TargetProblem(
            f"{shown} holds neither events nor actors, but {kind_of(found)}",
            "name an Events, an Event, an Actors, an Actor, or a function that returns one of them",
        )
    if request.actors:
        raise TargetProblem(
            f"--actor chooses among actors, and {shown} holds events",
            "name an Actors, or leave --actor out",
        )
    return Declared(found if isinstance(found, Events) else Events(_any(found)))


def _any(value: Any) -> Any:
    """The value without a type: that of what a module holds is half unknown to a type checker."""
    return value


def _run(request: Request, declared: Declared) -> tuple[PlanEntry, ...]:
    entries: tuple[PlanEntry, ...] = ()
    options = RegisterOptions(request.create, request.update, request.force)
    act = plan_all if request.dry else register_all

    # What is logged is shown as well, and for the person who reads that.
    logging.getLogger("walnats_anyio").addHandler(logging.NullHandler())

    async def body(_stop: Stop) -> None:
        nonlocal entries
        async with request.connection.open_link("walnats-anyio register") as link:
            entries = await act(link, declared, options)

    stop = anyio.run(stoppable, body, backend=request.backend.value)
    if stop.first is not None:
        raise typer.Exit(code_of_signal(stop.first))
    return entries


def _exit_code(request: Request, entries: tuple[PlanEntry, ...]) -> int:
    codes: list[int] = [code_of_error(entry.error) for entry in entries if entry.error is not None]
    if request.check and any(entry.changes_something for entry in entries):
        codes.append(ExitCode.BROKEN)
    return worst(codes)
