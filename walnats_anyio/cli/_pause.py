"""The commands `walnats-anyio pause` and `resume`: an actor in all processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
import typer

from walnats_anyio._actors._pausing import Pause, pause_consumer, resume_consumer
from walnats_anyio._link import Link, consumer_config, stream_names
from walnats_anyio._link._names import check_name
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._durations import duration
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import out
from walnats_anyio.cli._signals import Stop, stoppable

AT_ONCE = 16
"""Streams that are looked into at the same time."""

ActorArgument = Annotated[
    str, typer.Argument(metavar="ACTOR", help="The name of the actor, as it is declared.")
]


SHOWN = 5
"""Streams that an error names, at most."""


@dataclass(frozen=True)
class Switch:
    """The options that both commands have."""

    event: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The actor's event, where actors of several events have the name."
        ),
    ] = None
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False

    def run(self, actor: str, act: Callable[[Link, str, str], Awaitable[Pause]]) -> None:
        """Find the actor's consumer on the server, and act on it; signals cancel that.

        Raises:
            Problem: there is no such actor, or there are several.
            typer.Exit: a signal ended it.
        """
        check_backend(self.backend)
        _check_names(actor, self.event)

        async def connected(stop: Stop) -> None:
            async with self.connection.open_link("walnats-anyio pause") as link:
                stream = await find_stream(link, actor, self.event)
                pause = await act(link, stream, link.prefixes.consumer(actor))
            self._tell(actor, stream, pause)

        stop = anyio.run(stoppable, connected, backend=self.backend.value)
        if stop.first is not None:
            raise typer.Exit(code_of_signal(stop.first))

    def _tell(self, actor: str, stream: str, pause: Pause) -> None:
        until = pause.until
        if pause.paused:
            end = "it is resumed" if until is None else f"{until.astimezone():%Y-%m-%d %X %Z}"
            said = f"paused: actor {actor!r} of stream {stream!r}, in all processes, until {end}"
        else:
            said = f"resumed: actor {actor!r} of stream {stream!r}"
        out(for_program=to_standard_output(self.json)).print(said, markup=False, soft_wrap=True)
        report: dict[str, Any] = {"actor": actor, "stream": stream, "paused": pause.paused}
        report["until"] = None if until is None else until.isoformat()
        write_report(self.json, report)


def pause(
    actor: ActorArgument,
    *,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            help="How long, such as 30s, 10m, 2h or 3d.",
            show_default="until it is resumed",
        ),
    ] = None,
    switch: Switch,
) -> None:
    """Pause an actor in all processes: it gets no events.

    Jobs that run go on, and so do events that a process holds already. The server keeps the pause
    (nats-server 2.11 and later): it survives restarts of the server and of the workers, and with
    --for it ends by itself.

    Exit codes: 0 done; 1 something broke; 2 the command is wrong, or there is no such actor; 3 no
    connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(switch.debug):
        seconds = None if for_ is None else _seconds(for_)

        def act(link: Link, stream: str, consumer: str) -> Awaitable[Pause]:
            return pause_consumer(link, stream, consumer, seconds)

        switch.run(actor, act)


def resume(actor: ActorArgument, *, switch: Switch) -> None:
    """End the pause of an actor in all processes, within a moment.

    An actor that is not paused stays as it is.

    Exit codes: 0 done; 1 something broke; 2 the command is wrong, or there is no such actor; 3 no
    connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(switch.debug):
        switch.run(actor, resume_consumer)


async def find_stream(link: Link, actor: str, event: str | None) -> str:
    """Find the stream of an actor's event.

    Args:
        link: the connection.
        actor: the name of the actor.
        event: the name of its event; None: whichever it is.

    Raises:
        Problem: there is no such actor, or several events have one.
    """
    prefixes = link.prefixes
    if event is None:
        streams = await stream_names(link)
    else:
        streams = [prefixes.stream(event.replace(".", "-"))]
    found: list[str] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def look(stream: str) -> None:
        async with limiter:
            if await consumer_config(link, stream, prefixes.consumer(actor)) is not None:
                found.append(stream)

    async with anyio.create_task_group() as tasks:
        for stream in streams:
            tasks.start_soon(look, stream)
    if not found:
        of_event = "" if event is None else f" of event {event!r}"
        raise Problem(
            f"there is no actor {actor!r}{of_event} on the server",
            hint="the name is that of the declaration; --namespace and --domain count as well",
            code=ExitCode.USAGE,
        )
    if len(found) > 1:
        some = sorted(found)[:SHOWN]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise Problem(
            f"several streams have an actor {actor!r}: {', '.join(some)}{more}",
            hint="say which event is meant: --event NAME",
            code=ExitCode.USAGE,
        )
    return found[0]


def _check_names(actor: str, event: str | None) -> None:
    """Refuse what no actor or event can be called, and what would break the protocol.

    Raises:
        Problem: it is such a name.
    """
    try:
        check_name("actor", actor)
        if event is not None:
            check_name("event", event)
    except ValueError as error:
        raise Problem(str(error), code=ExitCode.USAGE) from error


def _seconds(text: str) -> float:
    try:
        found = duration(text)
    except OverflowError:
        found = None
    if found is None or found.total_seconds() <= 0:
        raise Problem(
            f"--for {text!r} is no time",
            hint="give a number and a unit, such as 30s, 10m, 2h or 3d",
            code=ExitCode.USAGE,
        )
    return found.total_seconds()
