"""`walnats-anyio server`: a NATS server for development, in the foreground."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from walnats_anyio.cli._choices import DebugOption, JsonOption
from walnats_anyio.cli._endings import Problem, explained
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import note, out
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.testing import NatsServer, NatsServerError

DEFAULT_PORT = 4222
"""Where NATS clients look when they are told nothing."""

LOOK_EVERY = 0.2
"""Seconds between two looks whether the server still runs."""

LINES_OF_LOG = 20
"""How much of the log is shown when it does not."""


def server(
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Where clients connect; 0 for any free port."
        ),
    ] = DEFAULT_PORT,
    store_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="DIR",
            help="Keep streams here from one run to the next.",
            show_default="a temporary folder, removed at the end",
        ),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Serve NATS's monitoring pages here; 0 for any free port.",
            show_default="none",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE", help="A configuration of nats-server."
        ),
    ] = None,
    json: JsonOption = None,
    debug: DebugOption = False,
) -> None:
    """Run a NATS server with JetStream for development, until Ctrl-C.

    It is the real nats-server, reachable from this machine only (127.0.0.1).

    Exit codes: 0 stopped by SIGINT or SIGTERM; 1 it did not start, or ended by itself; 2 the
    command is wrong.
    """
    with explained(debug):
        nats = NatsServer(
            port=port,
            http_port=http_port,
            store_dir=store_dir,
            config=None if config is None else config.read_text(encoding="utf-8"),
        )

        async def body(stop: Stop) -> None:
            screen = out(for_program=to_standard_output(json))
            await _serve(nats, store_dir, lambda report: write_report(json, report), screen)

        stop = anyio.run(stoppable, body)
        if stop.first is not None:
            note(f"{stop.first.name}: the server is stopped")


async def _serve(
    nats: NatsServer,
    store_dir: Path | None,
    write: Callable[[dict[str, Any]], None],
    screen: Console,
) -> None:
    try:
        async with nats:
            write(
                {
                    "url": nats.url,
                    "port": nats.port,
                    "http_port": nats.http_port,
                    "pid": nats.pid,
                    "store_dir": str(nats.store_dir),
                }
            )
            _introduce(nats, store_dir, screen)
            while nats.running:  # noqa: ASYNC110 - a process cannot set an event
                await anyio.sleep(LOOK_EVERY)
    except NatsServerError as error:
        raise Problem(str(error), hint=_hint(str(error))) from error
    log = "\n".join(nats.logs.splitlines()[-LINES_OF_LOG:])
    raise Problem(f"nats-server ended by itself. The end of its log:\n{log}")


def _introduce(nats: NatsServer, store_dir: Path | None, screen: Console) -> None:
    screen.print(f"NATS server with JetStream: {nats.url}", soft_wrap=True)
    kept = "" if store_dir else " (temporary: removed at the end; keep it with --store-dir)"
    screen.print(f"storage: {nats.store_dir}{kept}", markup=False, soft_wrap=True)
    if nats.http_port is not None:
        screen.print(f"monitoring: http://127.0.0.1:{nats.http_port}", soft_wrap=True)
    if nats.port != DEFAULT_PORT:
        screen.print(f"let programs find it: export NATS_SERVER={nats.url}", soft_wrap=True)
    screen.print("stop it with Ctrl-C", soft_wrap=True)


def _hint(error: str) -> str | None:
    if "in use" not in error:
        return None
    return "a server may be running there already; choose another port: --port 0 takes a free one"
