"""`walnats-anyio spec`: documents and diagrams of what services emit and handle."""

from __future__ import annotations

import enum
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events import BaseEvent, Events
from walnats_anyio.cli._choices import DebugOption, absolute
from walnats_anyio.cli._endings import explained
from walnats_anyio.cli._report import (
    STANDARD_OUTPUT,
    json_text,
    to_standard_output,
    write_report,
    write_text,
)
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._target import TargetProblem, Wanted, kind_of, load
from walnats_anyio.services import Services
from walnats_anyio.services._yaml import to_yaml


class Format(enum.StrEnum):
    """What can be written."""

    ASYNCAPI = "asyncapi"
    """An AsyncAPI 3.0 document: YAML in a file whose name ends so, else JSON."""

    D2 = "d2"
    """A diagram for D2."""

    MERMAID = "mermaid"
    """A diagram for Mermaid."""

    HTML = "html"
    """A page to read."""


SUFFIXES = {
    ".d2": Format.D2,
    ".mmd": Format.MERMAID,
    ".mermaid": Format.MERMAID,
    ".html": Format.HTML,
    ".htm": Format.HTML,
}
"""What is written to a file of such a name unless a format is given."""

YAML_SUFFIXES = {".yaml", ".yml"}

SERVICES = Wanted(
    "services",
    (Services, Actors, Actor, Events, BaseEvent),
    "services:SERVICES for SERVICES in services.py",
    "SERVICES = Services()",
)


@dataclass(frozen=True)
class Request:
    """All options of the command."""

    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="Where the services are: services:SERVICES is SERVICES in services.py of the "
            "current directory. A Services, or a function that returns one; an Actors, an Actor, "
            "an Events or an Event is taken as one service.",
        ),
    ]
    format: Annotated[
        Format | None,
        typer.Option(
            help="What to write.", show_default="what the name of the file says, else asyncapi"
        ),
    ] = None
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            callback=absolute,
            help="Where to write it; - is standard output.",
        ),
    ] = STANDARD_OUTPUT
    service: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this service, and others given so."),
    ] = None
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            dir_okay=False,
            callback=absolute,
            help="Also write the AsyncAPI document to this file, as JSON; - is standard output.",
        ),
    ] = None
    debug: DebugOption = False


def spec(request: Request) -> None:
    """Write what services emit and handle: an AsyncAPI document, a diagram, or a page.

    Nothing is connected, and no handler is run. --json writes the AsyncAPI document as JSON, beside
    what --format asks for; with --json - only that is on standard output.

    Exit codes: 0 it is written; 1 something broke; 2 the command, the module or a declaration is
    wrong.
    """
    with explained(request.debug):
        services = _load(request.target)
        if request.service:
            services = services.only(request.service)
        document = _document(services, alone=len(request.service or ()) == 1)
        if not (to_standard_output(request.json) and to_standard_output(request.output)):
            _write(request.output, _text(request, services, document))
        write_report(request.json, document)


def _load(target: str) -> Services:
    # What a module prints while it is imported must not get into the document.
    with redirect_stdout(sys.stderr):
        found, shown = load(target, SERVICES)
    if isinstance(found, Services):
        return found
    services = Services(title=target.partition(":")[0])
    name = services.title
    if isinstance(found, Actor | Actors):
        actors: Actors = found if isinstance(found, Actors) else Actors(_any(found))
        services.add(name, defines=actors)
    elif isinstance(found, BaseEvent | Events):
        services.add(name, emits=found if isinstance(found, Events) else Events(_any(found)))
    else:
        raise TargetProblem(
            f"{shown} holds no services, but {kind_of(found)}",
            "name a Services, an Actors, an Actor, an Events, an Event, or a function that "
            "returns one of them",
        )
    return services


def _any(value: Any) -> Any:
    """The value without a type: that of what a module holds is half unknown to a type checker."""
    return value


def _document(services: Services, *, alone: bool) -> dict[str, Any]:
    """The document of all, or that of the one service that was asked for."""
    return services.get_async_apis()[0] if alone else services.get_async_api()


def _text(request: Request, services: Services, document: dict[str, Any]) -> str:
    suffix = request.output.suffix.lower()
    match request.format or SUFFIXES.get(suffix, Format.ASYNCAPI):
        case Format.D2:
            return services.get_d2()
        case Format.MERMAID:
            return services.get_mermaid()
        case Format.HTML:
            return services.get_html()
        case Format.ASYNCAPI if suffix in YAML_SUFFIXES:
            return to_yaml(document)
        case Format.ASYNCAPI:
            return json_text(document)


def _write(file: Path, text: str) -> None:
    write_text(file, text)
    if not to_standard_output(file):
        note(f"written to {file}")
