"""`walnats-anyio emit`: emit an event by hand, or one for each line of a file."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from time import time
from typing import Annotated, Any, NoReturn

import anyio
import msgspec
import typer

from walnats_anyio._events import BaseEvent, ConnectedEvents, Events, timing_of
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._event_target import load_event
from walnats_anyio.cli._pipes import read, read_lines
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.serializers import DecodeError
from walnats_anyio.serializers._schema import describe

STANDARD_INPUT = "-"
"""What stands for standard input in the place of a message."""

LONGEST = 64 * 1024 * 1024
"""Bytes of a message at most: no server takes more."""

SHOWN = 60
"""Characters that an error shows of a message."""


@dataclass(frozen=True)
class Headers:
    """The options for what goes with a message."""

    uid: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What identifies the message: the stream drops a second one with the same.",
        ),
    ] = None
    trace_id: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The trace that it belongs to.")
    ] = None
    delay: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="When it is due, in seconds from now."),
    ] = None
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The moment when it is due, such as 2030-01-02T03:04:05+01:00.",
        ),
    ] = None
    ttl: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="When it is gone, in seconds from when it is due."),
    ] = None
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A further header, and others given so."),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `emit`.

        Raises:
            Problem: a header that is none, or one that is given twice.
        """
        meta: dict[str, str] = {}
        for text in self.meta or ():
            name, found, value = text.partition("=")
            if not found or not name:
                _refuse(f"--meta {text!r} is no header", "give NAME=VALUE, such as Source=backfill")
            if name in meta:
                _refuse(f"--meta {name} is given twice", "give it once")
            meta[name] = value
        return {
            "uid": self.uid,
            "trace_id": self.trace_id,
            "delay": self.delay,
            "at": self._moment(),
            "ttl": self.ttl,
            "meta": meta or None,
        }

    def _moment(self) -> datetime | None:
        try:
            at = None if self.at is None else datetime.fromisoformat(self.at)
            timing_of(self.delay, at, self.ttl, time())
        except ValueError as error:
            options = ", ".join(
                f"--{name} {value}"
                for name, value in (("delay", self.delay), ("at", self.at), ("ttl", self.ttl))
                if value is not None
            )
            times = "--delay and --ttl take seconds, --at a time such as 2030-01-02T03:04:05+01:00"
            _refuse(f"{options}: {error}", times)
        return at


@dataclass(frozen=True)
class Request:
    """All options of the command."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Where the event is: events:ORDER_PLACED is ORDER_PLACED in events.py of the "
            "current directory. An Event, an Events, or a function that returns one of them.",
        ),
    ]
    message: Annotated[
        str,
        typer.Argument(
            metavar="MESSAGE",
            help="The message, as JSON or as the event's serializer writes it; - reads it from "
            "standard input.",
        ),
    ]
    event: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which event, where MODULE:NAME has several."),
    ] = None
    lines: Annotated[
        bool,
        typer.Option("--lines", help="Each line of standard input is a message; empty ones not."),
    ] = False
    headers: Headers = field(default=Headers())
    sync: Annotated[
        bool,
        typer.Option("--sync", help="Wait after each message until the stream has it."),
    ] = False
    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False


def emit(request: Request) -> None:
    """Emit an event: every actor of it gets the message.

    It ends when the stream of the event has stored the message. A message that does not fit the
    event is refused, with the path of what is wrong in it; of several lines those before it are
    emitted.

    Exit codes: 0 emitted; 1 something broke, or the stream did not take it; 2 the command, the
    module or a message is wrong; 3 no connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(request.debug):
        check_backend(request.backend)
        _check(request)
        with redirect_stdout(sys.stderr):
            event = load_event(request.target, request.event)
        session = _Session(request, event)
        try:
            stop = anyio.run(stoppable, session.run, backend=request.backend.value)
        finally:
            # Also when it ended in the middle: what is emitted is emitted.
            if session.emitted or request.lines:
                note(f"{session.emitted} emitted to {event.name}")
                write_report(request.json, {"event": event.name, "emitted": session.emitted})
        if stop.first is not None:
            raise typer.Exit(code_of_signal(stop.first))


class _Session:
    """One run of the command, once it is known what to do."""

    def __init__(self, request: Request, event: BaseEvent[Any]) -> None:
        self._request = request
        self._event = event
        self.emitted = 0
        """Messages that were handed over."""

    async def run(self, stop: Stop) -> None:
        """Connect, and emit what there is."""
        request = self._request
        arguments = request.headers.arguments()
        server, options = request.connection.arguments("walnats-anyio emit")
        if not request.lines:
            text = await _whole() if request.message == STANDARD_INPUT else request.message.encode()
            message = read_message(self._event, text, "the message")
            async with Events(self._event).connect(server, **options) as connected:
                await connected.emit(self._event, message, sync=request.sync, **arguments)
                self.emitted = 1
            return
        async with (
            Events(self._event).connect(server, **options) as connected,
            aclosing(_numbered()) as lines,
        ):
            async for number, text in lines:
                await self._emit_line(connected, number, text, arguments)

    async def _emit_line(
        self, connected: ConnectedEvents, number: int, text: bytes, arguments: dict[str, Any]
    ) -> None:
        message = read_message(self._event, text, f"line {number}")
        await connected.emit(self._event, message, sync=self._request.sync, **arguments)
        self.emitted += 1


def read_message(event: BaseEvent[Any], text: bytes, what: str) -> Any:
    """Read a message: as the serializer of the event writes it, or as JSON.

    Args:
        event: the event.
        text: the message.
        what: begins the error.

    Raises:
        Problem: it does not fit the schema of the event.
    """
    try:
        return event.decode(text)
    except DecodeError as error:
        if getattr(event.codec, "content_type", None) != "application/json":
            try:
                return msgspec.json.decode(text, type=event.schema)
            except (msgspec.MsgspecError, NameError, TypeError, RecursionError):
                pass
        why = error.__cause__ or error
        shown = text.decode(errors="replace")
        if len(shown) > SHOWN:
            shown = f"{shown[:SHOWN]}..."
        raise Problem(
            f"{what} does not fit event {event.name!r}, which takes {describe(event.schema)}: "
            f"{why}",
            hint=f"it is {shown}",
            code=ExitCode.USAGE,
        ) from error


async def _whole() -> bytes:
    parts: list[bytes] = []
    async with aclosing(read(sys.stdin.fileno())) as pieces:
        async for piece in pieces:
            parts.append(piece)
            if sum(map(len, parts)) > LONGEST:
                _refuse(f"standard input has over {LONGEST} bytes", "use --lines for many messages")
    return b"".join(parts)


async def _numbered() -> AsyncGenerator[tuple[int, bytes], None]:
    number = 0
    async with aclosing(read_lines(sys.stdin.fileno(), LONGEST)) as lines:
        async for line in lines:
            number += 1
            if line.strip():
                yield number, line


def _check(request: Request) -> None:
    if request.lines and request.message != STANDARD_INPUT:
        _refuse("--lines reads messages from standard input", "give - in place of the message")
    if request.lines and request.headers.uid is not None:
        _refuse(
            "--lines and --uid would give all messages one uid, and the stream would keep only one",
            "leave --uid out",
        )


def _refuse(problem: str, hint: str) -> NoReturn:
    raise Problem(problem, hint=hint, code=ExitCode.USAGE)
