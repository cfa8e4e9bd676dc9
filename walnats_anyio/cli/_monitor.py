"""`walnats-anyio monitor`: what is emitted, as it happens."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from walnats_anyio._events import BaseEvent, Events, Feed, FeedMessage, FeedStatistics
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    absolute,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._event_target import chosen, load_events
from walnats_anyio.cli._monitor_view import View, as_json, in_words
from walnats_anyio.cli._pipes import write
from walnats_anyio.cli._report import to_standard_output
from walnats_anyio.cli._screen import note, out
from walnats_anyio.cli._signals import Stop, stoppable

BUFFER_SIZE = 10_000
"""Messages that wait while nobody reads what is written, unless told otherwise."""


@dataclass(frozen=True)
class Request:
    """All options of the command."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Where the events are: events:EVENTS is EVENTS in events.py of the current "
            "directory. An Events, an Event, an Actors, an Actor, or a function that returns one "
            "of them.",
        ),
    ]
    event: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this event, and others given so."),
    ] = None
    max_messages: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="End after so many messages.", show_default="no limit"
        ),
    ] = None
    buffer: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Messages that wait where they are read slowly, before the oldest are dropped.",
        ),
    ] = BUFFER_SIZE
    requests: Annotated[
        bool, typer.Option("--requests", help="Show events that wait for a response, too.")
    ] = False
    stored: Annotated[
        bool,
        typer.Option(
            "--stored",
            help="Show what the streams store, in place of what is sent: each event once, and a "
            "delayed one when it is due. Needs registered events, and leave to create consumers.",
        ),
    ] = False
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            dir_okay=False,
            callback=absolute,
            help="Write each message to this file, as a line of JSON; - is standard output, in "
            "place of what people read.",
        ),
    ] = None
    debug: DebugOption = False


def monitor(request: Request) -> None:
    """Show the messages of events as they are emitted, until Ctrl-C.

    What was emitted before is not shown. Without --stored it has what programs send, and the server
    keeps nothing for it. A message that cannot be decoded is shown with the reason.

    Exit codes: 0 ended by SIGINT or SIGTERM, by --max-messages, or as nobody reads any more; 1
    something broke; 2 the command or the module is wrong; 3 no connection to NATS; 130 or 143 ended
    by a second signal.
    """
    with explained(request.debug):
        check_backend(request.backend)
        # What a module prints while it is imported is no message.
        with redirect_stdout(sys.stderr):
            events = load_events(request.target)
        wanted = chosen(events, request.event)
        with ExitStack() as stack:
            file = stack.enter_context(_opened(request.json))
            shown = None if to_standard_output(request.json) else out()
            view = None if shown is None else View(shown, limited=shown.is_terminal)
            session = _Session(request, events, wanted, view, file)
            stop = anyio.run(stoppable, session.run, backend=request.backend.value)
        note(session.in_words())
        if stop.second is not None:
            raise typer.Exit(code_of_signal(stop.second))


class _Session:
    """One run of the command, once it is known what to do."""

    def __init__(
        self,
        request: Request,
        events: Events,
        wanted: list[BaseEvent[Any]],
        view: View | None,
        file: int | None,
    ) -> None:
        self._request = request
        self._events = events
        self._wanted = wanted
        self._view = view
        self._file = file
        self._shown = 0
        self._last: FeedStatistics | None = None

    async def run(self, stop: Stop) -> None:
        """Connect, and show what comes until it is enough."""
        request = self._request
        server, options = request.connection.arguments("walnats-anyio monitor")
        async with (
            self._events.connect(server, **options) as connected,
            connected.monitor(
                events=self._wanted,
                max_buffer_size=request.buffer,
                requests=request.requests,
                stored=request.stored,
            ) as feed,
        ):
            names = ", ".join(event.name for event in self._wanted)
            note(f"monitoring {names}; Ctrl-C ends it")
            try:
                # The reader of a pipe has had enough, as `head` has.
                with suppress(BrokenPipeError):
                    await self._show(feed)
            finally:
                self._last = feed.statistics()

    async def _show(self, feed: Feed) -> None:
        async for message in feed:
            if self._view is not None:
                await write(sys.stdout.fileno(), self._view.message(message).encode())
            if self._file is not None:
                await write(self._file, _line(message))
            self._shown += 1
            if self._shown == self._request.max_messages:
                return

    def in_words(self) -> str:
        """What was shown, and what was not."""
        text = f"{in_words(self._shown)} shown"
        if self._last is not None and self._last.dropped:
            text += f", {self._last.dropped} dropped: they came faster than they were read"
        if self._last is not None and self._last.reconnects:
            text += f"; the connection was lost {self._last.reconnects} times"
        return text


def _line(message: FeedMessage[Any]) -> bytes:
    return json.dumps(as_json(message)).encode() + b"\n"


@contextmanager
def _opened(file: Path | None) -> Iterator[int | None]:
    """The file that lines of JSON are written to; None: there is none.

    Raises:
        Problem: it cannot be written.
    """
    if file is None:
        yield None
        return
    if to_standard_output(file):
        yield sys.stdout.fileno()
        return
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise Problem(
            f"{file} cannot be written: {error.strerror or error}", code=ExitCode.USAGE
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)
