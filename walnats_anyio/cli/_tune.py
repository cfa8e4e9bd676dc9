"""`walnats-anyio tune`: find the `max_jobs` that suits a handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import typer

from walnats_anyio._actors import Actors
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    absolute,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import note, out
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.cli._target import load_actors
from walnats_anyio.cli._tune_view import Bar, show
from walnats_anyio.tune import TuneError, Tuning, draw
from walnats_anyio.tune._chart import check_chart
from walnats_anyio.tune._entry import BUDGET, TOP
from walnats_anyio.tune._messages import read_messages
from walnats_anyio.tune._plan import Plan, check_levels, settings_of
from walnats_anyio.tune._target import choose
from walnats_anyio.tune._tune import check, messages_for, run

LAST_RESORT = 20.0
"""Seconds until the end of the process after a second signal, come what may."""


@dataclass(frozen=True)
class Choices:
    """What is swept."""

    max_jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="The highest level; those below are chosen.")
    ] = TOP
    level: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Exactly this level, and others given so."),
    ] = None
    workers: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="Processes; give several to compare them."),
    ] = None
    batch: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Events that one request asks for at most; give several to compare them.",
            show_default="as many as there are free places for jobs",
        ),
    ] = None
    both_backends: Annotated[
        bool, typer.Option("--both-backends", help="Compare asyncio and trio.")
    ] = False
    uvloop: Annotated[
        bool, typer.Option("--uvloop", help="Compare asyncio with asyncio on uvloop.")
    ] = False
    max_threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads for ExecuteIn.THREAD in one process.",
            show_default="cores + 4",
        ),
    ] = None
    max_processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes for ExecuteIn.PROCESS in one process.",
            show_default="cores",
        ),
    ] = None

    def levels(self) -> tuple[tuple[int, ...], bool]:
        """The levels of the first round, and whether others may be added."""
        return check_levels(self.level or self.max_jobs)

    def listen_options(self) -> dict[str, Any]:
        """Further arguments of `listen`."""
        return {"max_threads": self.max_threads, "max_processes": self.max_processes}


@dataclass(frozen=True)
class Request:
    """All options of the command."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Where the actor is: subscribe:SEND is SEND in subscribe.py of the current "
            "directory. An Actor, an Actors, or a function that returns one of them.",
        ),
    ]
    actor: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which actor, where MODULE:NAME has several."),
    ] = None
    messages: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Messages for the handler, one in each line, as JSON.",
            show_default="made from the event's schema",
        ),
    ] = None
    choices: Choices = field(default=Choices())
    budget: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="About how long it may take.")
    ] = BUDGET
    chart: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            callback=absolute,
            help="Draw what was measured: a file that ends in .png, .svg or .pdf.",
        ),
    ] = None
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False


def tune(request: Request) -> None:
    """Find the max_jobs that suits a handler, by running it.

    The handler is really run, thousands of times: see to it that it may, with the messages that it
    is given. It is run in a process of its own, on a NATS server of its own unless --server names
    one; there it gets streams of its own, which are deleted at the end.

    Ctrl-C (SIGINT) or SIGTERM ends the measuring, and shows what follows from what was measured. A
    second one ends the command at once.

    Exit codes: 0 there is a result, also after Ctrl-C; 1 something broke; 2 the command, the module
    or the messages are wrong; 3 no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM before
    there was a result, or by a second one.
    """
    with explained(request.debug):
        plan = _plan(request)
        note(
            f"tuning {plan.actor.name} for up to {plan.budget:g} s; Ctrl-C concludes from what was "
            "measured until then"
        )
        tuning = _measured(request, plan)
        report = msgspec.to_builtins(tuning)
        screen = out(for_program=to_standard_output(request.json))
        show(tuning, screen)
        if request.chart is not None:
            draw(tuning, request.chart)
            note(f"the chart is in {request.chart}")
        write_report(request.json, report)


def _plan(request: Request) -> Plan:
    """Check everything before anything is run.

    Raises:
        Problem: something is wrong with it.
    """
    check_backend(request.backend)
    try:
        if request.chart is not None:
            check_chart(request.chart)
        actors = load_actors(request.target)
        plan = _checked(request, actors)
        check(plan)
    except ModuleNotFoundError as error:
        raise Problem(str(error), code=ExitCode.USAGE) from error
    except (OSError, ValueError) as error:
        raise Problem(str(error), code=ExitCode.USAGE) from error
    return plan


def _checked(request: Request, actors: Actors) -> Plan:
    actor = choose(actors, request.actor)
    given = None if request.messages is None else read_messages(actor.event, request.messages)
    choices = request.choices
    levels, refine = choices.levels()
    backends = list(Backend) if choices.both_backends else [request.backend]
    connect, tls = _connection(request.connection)
    return Plan(
        actors=actors,
        actor=actor,
        target=request.target,
        messages=messages_for(actor, given),
        levels=levels,
        refine=refine,
        settings=settings_of(
            [backend.value for backend in backends],
            (False, True) if choices.uvloop else (False,),
            choices.workers or (1,),
            choices.batch or (None,),
        ),
        budget=request.budget,
        connect=connect,
        tls=tls,
        listen=choices.listen_options(),
    )


def _connection(connection: Connection) -> tuple[dict[str, Any], dict[str, str]]:
    """The arguments of `connect`, and the files of the TLS context, as worker processes get both.

    A server that is only in `NATS_SERVER` does not count: tuning loads a server, so it has to be
    named.
    """
    server, options = connection.arguments("walnats-anyio tune")
    options.pop("tls", None)
    files = {"ca": connection.tls_ca, "cert": connection.tls_cert, "key": connection.tls_key}
    named = server if connection.server is not None else None
    return {"server": named, **options}, {
        name: str(file) for name, file in files.items() if file is not None
    }


def _measured(request: Request, plan: Plan) -> Tuning:
    """Measure until all is known, or until a signal comes.

    Raises:
        typer.Exit: a signal came before there was anything.
    """
    results: list[Tuning] = []
    bar = Bar(out(for_program=True))

    async def body(stop: Stop) -> None:
        scope = anyio.CancelScope()

        def conclude_now() -> None:
            note("ending: concluding from what was measured")
            scope.cancel()

        stop.graceful = conclude_now
        try:
            with bar:
                results.append(await run(plan, bar.tell, scope))
        except TuneError:
            if not scope.cancel_called:
                raise
            note("nothing was measured before the signal came")

    stop = anyio.run(stoppable, body, LAST_RESORT, backend=request.backend.value)
    if not results:
        assert stop.first is not None  # else there is a result, or an error was raised
        raise typer.Exit(code_of_signal(stop.second or stop.first))
    return results[0]
