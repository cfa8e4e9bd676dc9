"""Restarting the workers when a file of the program changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from walnats_anyio.cli._choices import absolute
from walnats_anyio.cli._endings import ExitCode, Problem

SHUTDOWN_TIMEOUT = 5.0
"""Seconds that running jobs have at a reload, unless `--shutdown-timeout` says otherwise.

Who has changed a file wants to see what it does.
"""

NAMED_AT_MOST = 3


def _absolute(paths: list[Path] | None) -> list[Path] | None:
    return None if paths is None else [path.absolute() for path in paths]


@dataclass(frozen=True)
class Reloading:
    """The options about the program's files."""

    app_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            callback=absolute,
            help="Where the module is looked for first.",
            show_default="the current directory",
        ),
    ] = None
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="For development: load the program anew, in new workers, when one of its Python "
            "files changes.",
        ),
    ] = False
    reload_dirs: Annotated[
        list[Path] | None,
        typer.Option(
            "--reload-dir",
            metavar="DIR",
            exists=True,
            file_okay=False,
            callback=_absolute,
            help="Watch the files in this directory; may be given several times.",
            show_default="that of --app-dir",
        ),
    ] = None

    def check(self, *, burst: bool) -> None:
        """See whether the options fit together, and whether what they need is installed.

        Raises:
            Problem: they do not, or it is not.
        """
        if self.reload_dirs and not self.reload:
            raise Problem(
                "--reload-dir is given without --reload",
                hint="add --reload, or leave --reload-dir out",
                code=ExitCode.USAGE,
            )
        if not self.reload:
            return
        if burst:
            raise Problem(
                "--reload and --burst contradict each other: a burst ends by itself",
                hint="give one of them",
                code=ExitCode.USAGE,
            )
        if find_spec("watchfiles") is None:
            raise Problem(
                "--reload needs watchfiles, which is not installed",
                hint="pip install 'walnats-anyio[reload]'",
                code=ExitCode.USAGE,
            )


async def watch(
    directories: list[Path], changed: Callable[[list[Path]], Coroutine[Any, Any, None]]
) -> None:
    """Call a function with the Python files that change below these directories, until cancelled.

    It is called for further changes also while it runs.
    """
    from watchfiles import PythonFilter, awatch  # an extra

    stopped = anyio.Event()  # looked at in that thread, and never waited for
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set_when_cancelled, stopped)
        changes = awatch(*directories, watch_filter=PythonFilter(), stop_event=stopped)
        async for each in changes:
            tasks.start_soon(changed, sorted({Path(path) for _, path in each}))


async def _set_when_cancelled(event: anyio.Event) -> None:
    # watchfiles waits in a thread that a cancellation does not reach.
    try:
        await anyio.sleep_forever()
    finally:
        event.set()


def files_in_words(files: list[Path], directories: list[Path]) -> str:
    """Which files, for a person."""
    names = [_name(file, directories) for file in files]
    if len(names) > NAMED_AT_MOST:
        names[NAMED_AT_MOST:] = [f"{len(names) - NAMED_AT_MOST} more"]
    return ", ".join(names)


def _name(file: Path, directories: list[Path]) -> str:
    for directory in directories:
        if file.is_relative_to(directory):
            return str(file.relative_to(directory))
    return str(file)
