"""What a person sees: results on standard output, what is going on and errors on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

__all__ = ["escape", "fail", "note", "out"]


def out() -> Console:
    """Standard output, as it is now: tests and shells put other files in its place."""
    return Console(highlight=False)


def note(text: str) -> None:
    """Say what is going on. Standard output is left to what the handlers print."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def fail(text: str, hint: str | None = None) -> None:
    """Say what went wrong, and what to do about it."""
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)
    if hint is not None:
        console.print(f"[bold]hint:[/] {escape(hint)}", soft_wrap=True)
