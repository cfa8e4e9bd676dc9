"""What a person sees: results on standard output, what is going on and errors on standard error."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console
from rich.markup import escape

__all__ = ["escape", "fail", "note", "out"]


class StandardError(Console):
    """Where a process says what is going on, whether or not anybody reads it.

    A service manager that died has closed the other end. rich would take that for a wish to end the
    process, when of all times jobs are to finish in peace.
    """

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        """Go on."""


def out() -> Console:
    """Standard output, as it is now: tests and shells put other files in its place."""
    return Console(highlight=False)


def note(text: str) -> None:
    """Say what is going on. Standard output is left to what the handlers print."""
    # A terminal that is gone is no reason to stop working either.
    with suppress(OSError):
        StandardError().print(text, markup=False, soft_wrap=True)


def fail(text: str, hint: str | None = None) -> None:
    """Say what went wrong, and what to do about it."""
    console = StandardError()
    console.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)
    if hint is not None:
        console.print(f"[bold]hint:[/] {escape(hint)}", soft_wrap=True)
