"""What a person sees: results on standard output, what is going on and errors on standard error."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# The functions import rich when they print: a worker process of `run` logs, and never does.


def out(*, for_program: bool = False) -> Console:
    """Where results go: standard output, as it is now, unless that is a program's to read."""
    from rich.console import Console

    if for_program:
        from walnats_anyio.cli._standard_error import StandardError

        return StandardError()
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        # What a terminal without Unicode cannot show is no reason to fail.
        stream.reconfigure(errors="backslashreplace")
    return Console(highlight=False)


def note(text: str) -> None:
    """Say what is going on. Standard output is left to what the handlers print."""
    from walnats_anyio.cli._standard_error import StandardError

    # A terminal that is gone is no reason to stop working either.
    with suppress(OSError):
        StandardError().print(text, markup=False, soft_wrap=True)


Failure = Callable[[str, str | None, BaseException | None], None]
"""Is told what went wrong, what to do about it, and the exception if that is to be shown."""

_tell: Failure | None = None


def tell_failures_to(tell: Failure) -> None:
    """Have `fail` call this, where a program reads what goes wrong."""
    global _tell  # noqa: PLW0603 - it is so for the whole process, from then on
    _tell = tell


def fail(text: str, hint: str | None = None, shown: BaseException | None = None) -> None:
    """Say what went wrong, and what to do about it; with its traceback, if that is to be shown."""
    if _tell is not None:
        _tell(text, hint, shown)
        return
    from rich.markup import escape

    from walnats_anyio.cli._standard_error import StandardError

    with suppress(OSError, ValueError):  # closed, also by an actor's program
        if shown is not None:
            traceback.print_exception(shown)
        console = StandardError()
        console.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)
        if hint is not None:
            console.print(f"[bold]hint:[/] {escape(hint)}", soft_wrap=True)


def print_whole_lines() -> None:
    """Have `print` write each line at once, so that those of several processes are not mixed.

    With PYTHONUNBUFFERED it writes the text and the end of the line one after the other.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)


def have_standard_streams() -> None:
    """Open the null device in the place of each standard stream that is closed.

    Otherwise the next file or socket that is opened takes its number, and a program that prints,
    such as a handler's, writes into that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)
            if getattr(sys, name) is None:
                mode = "r" if number == 0 else "w"
                setattr(sys, name, io.open(number, mode, closefd=False))  # noqa: SIM115, UP020
