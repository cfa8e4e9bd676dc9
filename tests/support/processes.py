"""What a program may have left behind: processes and directories."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.waiting import until_blocking


def children() -> set[int]:
    """The processes that this one started and that are not reaped, be they dead or alive."""
    mine = set[int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended while we looked
            continue
        if int(text.rpartition(")")[2].split()[1]) == os.getpid():
            mine.add(int(stat.parent.name))
    return mine


def state_of(pid: int) -> str | None:
    """The state of a process as one letter: T is stopped, Z is dead and not reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def wait_gone(pid: int, *paths: Path) -> None:
    """Return once the process and the paths are no more."""
    until_blocking(
        lambda: state_of(pid) in (None, "Z") and not any(path.exists() for path in paths),
        lambda: f"{pid} is {state_of(pid)}, {[p for p in paths if p.exists()]} exist",
    )
