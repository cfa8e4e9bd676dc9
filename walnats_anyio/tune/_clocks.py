"""What this process uses: CPU, memory, and how late its event loop is.

`benchmarks/workers` has clocks of its own: a worker that runs another library must not import this
one, whose memory would be counted as the other's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from walnats_anyio.tune._run import Sketch

TICK = 0.005
"""Seconds between two looks at the event loop."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class LoopLag:
    """A task that wishes to wake up every 5 milliseconds, and notes how late it was."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._due = 0.0

    async def run(self) -> None:
        """Tick until cancelled."""
        self._due = time.perf_counter() + TICK
        while True:
            await anyio.sleep(max(self._due - time.perf_counter(), 0))
            self._catch_up()

    def _catch_up(self) -> None:
        # A tick that could not happen is late as well: else one long pause would hide behind many
        # short ones.
        now = time.perf_counter()
        while self._due <= now:
            self._lags.append(now - self._due)
            self._due += TICK

    def reset(self) -> None:
        """Forget what was."""
        self._lags.clear()
        self._due = time.perf_counter() + TICK

    def sketch(self) -> Sketch:
        """How late the ticks were since then."""
        self._catch_up()
        return Sketch.of(self._lags)


class Usage:
    """CPU and memory of this process and of the child processes that it gets from now on."""

    def __init__(self) -> None:
        # A child that is there already, such as a server, has nothing to do with the handler.
        self._strangers = set(_children(os.getpid()))
        self.reset()

    def reset(self) -> None:
        """Start the clocks."""
        self._wall = time.perf_counter()
        self._thread = time.thread_time()
        self._cpu = self._cpu_seconds()
        self._delay = _seconds_without_core()

    def cpu(self) -> float:
        """Cores that were busy since then."""
        wall = time.perf_counter() - self._wall
        return max(0.0, self._cpu_seconds() - self._cpu) / wall

    def busy(self) -> float:
        """Share of the time since then in which this thread ran: 1.0 is all of it."""
        return (time.thread_time() - self._thread) / (time.perf_counter() - self._wall)

    def disturbed(self) -> float:
        """Share of the time since then in which this thread could have run and had no core."""
        wall = time.perf_counter() - self._wall
        return min(1.0, max(0.0, _seconds_without_core() - self._delay) / wall)

    def memory(self) -> int:
        """Resident bytes now."""
        return sum(_resident(pid) for pid in [os.getpid(), *self._family()])

    def _cpu_seconds(self) -> float:
        return time.process_time() + sum(_cpu_of(pid) for pid in self._family())

    def _family(self) -> Iterator[int]:
        waiting = [pid for pid in _children(os.getpid()) if pid not in self._strangers]
        while waiting:
            pid = waiting.pop()
            yield pid
            waiting += _children(pid)


# Linux tells all of it in /proc; elsewhere what is not known counts as 0.


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, _read(file).split())
    return found


def _cpu_of(pid: int) -> float:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND if fields else 0.0


def _resident(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * PAGE if fields else 0


def _seconds_without_core() -> float:
    fields = _read(Path("/proc/thread-self/schedstat")).split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # it ended meanwhile, or this is not Linux
        return ""
