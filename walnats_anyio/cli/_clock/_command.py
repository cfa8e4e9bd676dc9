"""The command `walnats-anyio clock`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Annotated, NoReturn

import anyio
import typer

from walnats_anyio._events import Clock, PlanEntry
from walnats_anyio._events._known_clocks import KnownClock, known_clocks
from walnats_anyio._link import Link
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._clock._keeping import Removal, register_clocks, unregister_clocks
from walnats_anyio.cli._clock._running import Running
from walnats_anyio.cli._clock._target import load_clocks
from walnats_anyio.cli._clock._view import listed_json, show_listed, show_removed
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
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import out
from walnats_anyio.cli._signals import Stop, stoppable


@dataclass(frozen=True)
class Request:
    """The arguments and options of the command."""

    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE:NAME...",
            help="The clocks: clocks:CLOCKS is CLOCKS in clocks.py of the current directory. A "
            "Clock, a list of them, or a function that returns one of these.",
            show_default=False,
        ),
    ] = None
    clocks: Annotated[
        list[str] | None,
        typer.Option("--clock", metavar="NAME", help="Only this clock, and others given so."),
    ] = None
    burst: Annotated[bool, typer.Option("--burst", help="End when each clock has ticked once.")] = (
        False
    )
    register: Annotated[
        bool,
        typer.Option("--register", help="Have nats-server (2.14 and later) keep them, and end."),
    ] = False
    unregister: Annotated[
        bool,
        typer.Option(
            "--unregister",
            help="Have nats-server forget them, and the last ticks that were emitted, and end.",
        ),
    ] = False
    listing: Annotated[
        bool,
        typer.Option(
            "--list", help="Show which clocks the server keeps, and which programs run, and end."
        ),
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            "-n",
            help="With --register or --unregister: show what would change, and change nothing.",
        ),
    ] = False
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            Problem: some do not.
        """
        modes = {
            "--register": self.register, "--unregister": self.unregister, "--list": self.listing,
        }  # fmt: skip
        given = [option for option, is_given in modes.items() if is_given]
        if len(given) > 1:
            _refuse(f"{' and '.join(given)} do different things", "give one of them")
        if self.dry_run and given not in (["--register"], ["--unregister"]):
            _refuse("--dry-run changes nothing", "give it with --register or --unregister")
        if self.burst and given:
            _refuse(f"--burst runs clocks, and {given[0]} does not", "leave one of them out")
        if self.listing and (self.targets or self.clocks):
            _refuse("--list shows all clocks on the server", "name none with it")
        if not self.listing and not self.targets:
            _refuse("no clocks are named", "give MODULE:NAME, such as clocks:CLOCKS, or --list")


def clock(request: Request) -> None:
    """Run clocks until told to stop; or have nats-server keep them.

    Any number of programs may run the same clocks: each tick is emitted by one of them. Each tick
    that this one emits is a line. With --register no program needs to run.

    Exit codes: 0 stopped by SIGINT or SIGTERM, or done; 1 something broke, or was refused; 2 the
    command, the module or a declaration is wrong; 3 no connection to NATS; 130 or 143 ended by a
    second signal, or by one where nothing runs.
    """
    with explained(request.debug):
        check_backend(request.backend)
        request.check()
        if request.listing:
            _list(request)
            return
        # What a module prints while it is imported is no tick.
        with redirect_stdout(sys.stderr):
            clocks = load_clocks(request.targets or (), request.clocks)
        if request.register:
            _register(request, clocks)
        elif request.unregister:
            _unregister(request, clocks)
        else:
            _run(request, clocks)


def _run(request: Request, clocks: list[Clock]) -> None:
    screen = out(for_program=to_standard_output(request.json))
    running = Running(clocks, request.connection, screen, burst=request.burst)
    stop = anyio.run(stoppable, running.run, backend=request.backend.value)
    write_report(request.json, running.report())
    if stop.second is not None:
        raise typer.Exit(code_of_signal(stop.second))


def _register(request: Request, clocks: list[Clock]) -> None:
    entries: tuple[PlanEntry, ...] = ()

    async def body(link: Link) -> None:
        nonlocal entries
        entries = await register_clocks(link, clocks, dry=request.dry_run)

    _over_link(request, body)
    screen = out(for_program=to_standard_output(request.json))
    show_plan(entries, screen, dry=request.dry_run)
    write_report(request.json, report_of(entries, dry=request.dry_run))
    raise typer.Exit(worst([code_of_error(each.error) for each in entries if each.error]))


def _unregister(request: Request, clocks: list[Clock]) -> None:
    removals: list[Removal] = []

    async def body(link: Link) -> None:
        removals.extend(await unregister_clocks(link, clocks, dry=request.dry_run))

    _over_link(request, body)
    show_removed(removals, out(for_program=to_standard_output(request.json)), dry=request.dry_run)
    found = [each.as_json() for each in removals]
    write_report(request.json, {"dry_run": request.dry_run, "clocks": found})


def _list(request: Request) -> None:
    found: list[KnownClock] = []

    async def body(link: Link) -> None:
        found.extend(await known_clocks(link))

    _over_link(request, body)
    show_listed(found, out(for_program=to_standard_output(request.json)))
    write_report(request.json, {"clocks": [listed_json(each) for each in found]})


def _over_link(request: Request, body: Callable[[Link], Awaitable[None]]) -> None:
    """Connect, and do something that a signal cancels."""

    async def connected(_stop: Stop) -> None:
        async with request.connection.open_link("walnats-anyio clock") as link:
            await body(link)

    stop = anyio.run(stoppable, connected, backend=request.backend.value)
    if stop.first is not None:
        raise typer.Exit(code_of_signal(stop.first))


def _refuse(problem: str, hint: str) -> NoReturn:
    raise Problem(problem, hint=hint, code=ExitCode.USAGE)
