"""Options that several commands have."""

from __future__ import annotations

import enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.cli._report import STANDARD_OUTPUT


class Backend(enum.StrEnum):
    """An event loop that anyio runs on."""

    ASYNCIO = "asyncio"
    """The one that comes with Python."""

    TRIO = "trio"
    """trio's, from the extra `trio`."""


def absolute(path: Path | None) -> Path | None:
    """The path as it is meant now: what a handler changes must not change it later."""
    return path if path is None or path == STANDARD_OUTPUT else path.absolute()


BackendOption = Annotated[Backend, typer.Option("--backend", help="The event loop to run on.")]

JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        dir_okay=False,
        callback=absolute,
        help="Also write what happened to this file, as JSON for a program; - is standard output.",
    ),
]

DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")
]


def check_backend(backend: Backend) -> None:
    """See whether the backend is installed.

    Raises:
        Problem: it is not.
    """
    if backend is not Backend.TRIO:
        return
    if find_spec("trio") is None:
        raise Problem(
            "--backend trio needs trio, which is not installed",
            hint="pip install 'walnats-anyio[trio]'",
            code=ExitCode.USAGE,
        )
