"""The command `walnats-anyio demo`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import anyio
import typer

from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._demo._outcome import Outcome
from walnats_anyio.cli._demo._play import play
from walnats_anyio.cli._endings import ExitCode, code_of_signal, explained
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import fail, note, out
from walnats_anyio.cli._signals import Stop, stoppable

FEWEST = 20
"""With fewer events there is no middle to kill a worker in."""


def demo(
    *,
    events: Annotated[
        int, typer.Option(min=FEWEST, metavar="N", help="How many events to emit.")
    ] = 1000,
    connection: Connection,
    backend: BackendOption = Backend.ASYNCIO,
    json: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """See it work: kill a worker, lose nothing.

    Starts a NATS server of its own, unless --server names one, emits events, has two worker
    processes handle them, kills one of the two in the middle of its work, and counts. Takes about
    12 seconds; nothing is left behind.

    Exit codes: 0 every event was handled; 1 something was lost or broke; 2 the command is wrong; 3
    no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(debug):
        check_backend(backend)
        write_report(json, {"state": "running"}, last=False)
        screen = out(for_program=to_standard_output(json))
        outcomes: list[Outcome] = []

        async def body(stop: Stop) -> None:
            with TemporaryDirectory(prefix="walnats-demo-", ignore_cleanup_errors=True) as folder:
                outcomes.append(await play(events, backend, connection, Path(folder), screen))

        stop = anyio.run(stoppable, body, backend=backend.value)
        if not outcomes:
            assert stop.first is not None
            note(f"{stop.first.name}: the demo is cancelled, and everything it made is removed")
            raise typer.Exit(code_of_signal(stop.first))
        [outcome] = outcomes
        screen.print(outcome.table())
        write_report(json, {"state": "ended", "backend": backend.value, **outcome.report()})
        if not outcome.complete:
            fail(outcome.verdict())
            raise typer.Exit(ExitCode.BROKEN)
        screen.print(f"[bold green]{outcome.verdict()}[/]")
