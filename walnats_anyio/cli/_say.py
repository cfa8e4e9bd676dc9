"""What a process that runs actors says, whether or not anybody reads it."""

from __future__ import annotations

from contextlib import suppress

from walnats_anyio.cli._screen import note


def say(text: str) -> None:
    """Say what is going on, and go on even if the other end of standard error is gone.

    A service manager that died has closed it, and then of all times jobs are to finish in peace.
    """
    # rich takes a closed pipe for a wish to end the process.
    with suppress(OSError, SystemExit):
        note(text)
