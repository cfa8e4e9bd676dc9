"""Decorated handlers that a worker process can import."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from walnats_anyio.decorators import filter_time, require, suppress


def note(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{line}\n")


def has_flag() -> bool:
    return not Path("/no/such/file").exists()


@suppress(KeyError)
@require(has_flag)
def fail_for(path: str) -> None:
    note(path, "ran")
    raise KeyError(path)


@filter_time(minute=0)
def on_the_hour(time: datetime) -> None:
    raise AssertionError("it is not called at any other minute")


def plain(message: int) -> None:
    """Not decorated."""
