"""Standard error of a command, where it says what is going on."""

from __future__ import annotations

from rich.console import Console


class StandardError(Console):
    """Where a process says what is going on, whether or not anybody reads it.

    A service manager that died has closed the other end. rich would take that for a wish to end the
    process, when of all times jobs are to finish in peace.
    """

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False)

    def on_broken_pipe(self) -> None:
        """Go on."""
