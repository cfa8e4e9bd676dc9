"""Amounts of memory: as a person writes them, and as the system counts them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import typer

UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
"""Bytes in each unit. A bare K, M or G is left out: it means one thing to Kubernetes and another to
systemd."""

SIZE = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[A-Za-z]*)")

PAGE = os.sysconf("SC_PAGE_SIZE")

PROC = Path("/proc")


def parse_size(text: str | int) -> int:
    """Read an amount of memory, such as `512MiB`, in bytes.

    Raises:
        typer.BadParameter: it is none, or it is 0.
    """
    if isinstance(text, int):  # the default
        return text
    found = SIZE.fullmatch(text.strip())
    unit = UNITS.get(found["unit"].lower()) if found else None
    size = 0 if found is None or unit is None else int(Fraction(found["number"]) * unit)
    if size < 1:
        raise typer.BadParameter(
            f"{text!r} is no amount of memory: give a number with a unit, such as 512MiB, 1.5GiB "
            "or 800MB."
        )
    return size


def size_in_words(size: int) -> str:
    """An amount of memory, for a person."""
    return f"{size / 2**20:.0f} MiB"


def can_measure_memory() -> bool:
    """Whether this system tells how much memory a process has: Linux does."""
    return (PROC / "self" / "statm").exists()


def memory_of(pid: int) -> int:
    """The resident memory of a process and of those that it started, in bytes; 0 when it is gone.

    Memory that two of them share counts twice.
    """
    total = 0
    # Processes come and go while they are looked at.
    for each in _family(pid):
        with suppress(OSError, IndexError):
            total += int((PROC / str(each) / "statm").read_text().split()[1]) * PAGE
    return total


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for children in (PROC / str(pid) / "task").glob("*/children"):
            for child in children.read_text().split():
                yield from _family(int(child))
