"""The command `walnats-anyio cancel`: one event, wherever it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import anyio
import typer

from walnats_anyio._events import CancelResult, ConnectedEvents, Event, Events
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import out
from walnats_anyio.cli._signals import Stop, stoppable

SAID = {
    CancelResult.DELAYED: "it was not due yet, and is removed",
    CancelResult.WAITING: "it was waiting, and is deleted from its stream",
    CancelResult.RUNNING: "its handler was running, and has ended",
}
"""What is said of each result."""


@dataclass(frozen=True)
class Request:
    """The arguments and options of the command."""

    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="The name of the event, as it is declared.")
    ]
    uid: Annotated[
        str | None, typer.Argument(metavar="[UID]", help="The uid that it was emitted with.")
    ] = None
    sequence: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Its number in its stream, in place of a uid."),
    ] = None
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False


def cancel(request: Request) -> None:
    """Cancel one event, wherever it is.

    What is not due yet is removed, what waits is deleted from its stream, for all actors, and a
    handler that runs is cancelled. The command ends when that has cleaned up.

    Exit codes: 0 cancelled; 1 something broke; 2 the command is wrong, or there is no such event
    any more; 3 no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(request.debug):
        check_backend(request.backend)
        event = _event_of(request)
        result = CancelResult.NOT_FOUND

        async def connected(stop: Stop) -> None:
            nonlocal result
            async with request.connection.open_link("walnats-anyio cancel") as link:
                conn = ConnectedEvents(Events(event), link)
                result = await conn.cancel(request.uid, event=event, sequence=request.sequence)

        stop = anyio.run(stoppable, connected, backend=request.backend.value)
        if stop.first is not None:
            raise typer.Exit(code_of_signal(stop.first))
        _tell(request, result)


def _event_of(request: Request) -> Event[bytes]:
    if (request.uid is None) is (request.sequence is None):
        raise Problem(
            "which event is meant is not clear",
            hint="give its UID, or --sequence N",
            code=ExitCode.USAGE,
        )
    try:
        return Event(request.event, bytes)
    except ValueError as error:
        raise Problem(str(error), code=ExitCode.USAGE) from error


def _tell(request: Request, result: CancelResult) -> None:
    which = f"uid {request.uid!r}" if request.uid is not None else f"number {request.sequence}"
    write_report(
        request.json,
        {
            "event": request.event,
            "uid": request.uid,
            "sequence": request.sequence,
            "was": result.value,
        },
    )
    if result is CancelResult.NOT_FOUND:
        raise Problem(
            f"there is no event {request.event!r} with {which}",
            hint="it is done with, or was never emitted; --namespace and --domain count as well",
            code=ExitCode.USAGE,
        )
    said = f"cancelled: event {request.event!r}, {which}: {SAID[result]}"
    out(for_program=to_standard_output(request.json)).print(said, markup=False, soft_wrap=True)
