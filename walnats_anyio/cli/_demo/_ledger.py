"""Ledgers: one file for each process, one line for each thing it did to an event.

A line is one `write` of the operating system to a file opened for appending. Once that returned,
the line outlives the process, whatever becomes of it.
"""

from __future__ import annotations

import enum
import os
from collections import Counter
from pathlib import Path


class Did(enum.StrEnum):
    """What a process did to an event."""

    ACKNOWLEDGED = "a"
    """The publisher emitted it and its stream acknowledged it."""

    STARTED = "s"
    """A worker's handler was called with it."""

    HANDLED = "h"
    """That handler is about to return."""


class Pen:
    """Writes a ledger."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, did: Did, *numbers: int) -> None:
        """Append a line for each event; they are safe when this returns."""
        os.write(self._file, "".join(f"{did} {number}\n" for number in numbers).encode())


class Ledger:
    """Reads a ledger, also while it is being written."""

    def __init__(self, file: Path) -> None:
        file.touch()
        self._file = file
        self._read_to = 0
        self._counts = {did: Counter[int]() for did in Did}

    def read(self) -> None:
        """Take in what was written since the last time; half a line is left for the next."""
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            whole_lines = file.read().rpartition(b"\n")[0]
        self._read_to += len(whole_lines) + (1 if whole_lines else 0)
        for line in whole_lines.decode().splitlines():
            did, number = line.split()
            self._counts[Did(did)][int(number)] += 1

    def times(self, did: Did) -> Counter[int]:
        """How often it was done to each event."""
        return self._counts[did]

    def in_flight(self) -> set[int]:
        """Events that a handler was called with and did not return from."""
        return self._counts[Did.STARTED].keys() - self._counts[Did.HANDLED].keys()
