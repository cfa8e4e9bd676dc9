"""What Python's development mode says of a program."""

from __future__ import annotations


def complaints(stderr: str) -> list[str]:
    """The lines of standard error, but for those which say that the machine is busy.

    In this mode asyncio logs each step that took more than a tenth of a second.
    """
    return [line for line in stderr.splitlines() if not line.startswith("Executing <")]
