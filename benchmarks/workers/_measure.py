"""Clocks and scales, the same for every library measured."""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from benchmarks.workers._job import Figures, Job

WARM_UP = 50
"""Events of the latency benchmark that are not counted."""

MAX_OUTSTANDING = 4000
"""Acknowledgements outstanding at once, where that is counted by hand: nats-py's own default."""

TICK = 0.002
"""Seconds between two ticks of an embedding application."""

SETTLE = 2.0
"""Seconds between the start of many actors and the watch over their idleness."""


class Stopwatch:
    """Wall clock and CPU clock of this process, and the profiler if one is wanted."""

    def __init__(self, job: Job) -> None:
        self._profile = cProfile.Profile() if job.profile else None
        self._profile_path = Path(job.profile)
        self._wall = self._cpu = 0.0
        self.seconds = self.cpu_seconds = 0.0

    def start(self) -> None:
        """Start both clocks."""
        if self._profile:
            self._profile.enable()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Stop both clocks."""
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
        if self._profile:
            self._profile.disable()
            self._write_profile(self._profile)

    def figures(self, events: int) -> Figures:
        """Events a second, and microseconds of CPU an event cost."""
        return {
            "seconds": self.seconds,
            "rate": events / self.seconds,
            "cpu_us": self.cpu_seconds / events * 1e6,
        }

    def _write_profile(self, profile: cProfile.Profile) -> None:
        profile.dump_stats(self._profile_path)
        text = io.StringIO()
        stats = pstats.Stats(profile, stream=text).strip_dirs()
        stats.sort_stats("tottime").print_stats(40)
        stats.sort_stats("cumulative").print_stats(40)
        self._profile_path.with_suffix(".txt").write_text(text.getvalue())


class Tally:
    """Counts the runs of a handler and stops the stopwatch at the last one."""

    def __init__(self, job: Job, done: Callable[[], object]) -> None:
        self.watch = Stopwatch(job)
        self.handled = 0
        self._expected = job.events * (1 + job.retries)
        self._done = done

    def count(self) -> None:
        """Take note of one run; every handler calls this once."""
        self.handled += 1
        if self.handled == self._expected:
            self.watch.stop()
            self._done()

    def figures(self) -> Figures:
        """What the stopwatch says of all the runs."""
        return self.watch.figures(self._expected)


class MemoryTally(Tally):
    """A tally that also weighs the process at every hundredth of the way."""

    def __init__(self, job: Job, done: Callable[[], object]) -> None:
        super().__init__(job, done)
        self._step = max(job.events // 100, 1)
        self._weights: list[int] = []

    def count(self) -> None:
        """Take note of one handled event."""
        if self.handled % self._step == 0:
            self._weights.append(resident_bytes())
        super().count()

    def figures(self) -> Figures:
        """Growth is the highest weight of the last tenth over the lowest of the first.

        Of all ways to compare the two tenths this is the least flattering one.
        """
        tenth = max(len(self._weights) // 10, 1)
        first, last = min(self._weights[:tenth]), max(self._weights[-tenth:])
        memory = {"rss_mb": last / 1e6, "growth_mb": (last - first) / 1e6}
        return super().figures() | memory


class Probe:
    """Times one event after the other, from just before its emit to the start of its handler."""

    def __init__(self) -> None:
        self._sent = 0.0
        self._delays: list[float] = []

    def send(self) -> None:
        """Call right before the emit."""
        self._sent = time.perf_counter()

    def arrive(self) -> None:
        """Call first thing in the handler."""
        self._delays.append(time.perf_counter() - self._sent)

    def figures(self) -> Figures:
        """Median and 99th percentile, in microseconds."""
        percentiles = statistics.quantiles(self._delays[WARM_UP:], n=100)
        return {"p50_us": percentiles[49] * 1e6, "p99_us": percentiles[98] * 1e6}


class Embedder:
    """A task of an application that has something to do every 2 ms, beside whatever else runs."""

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
        # A tick that could not run is late as well. Counting only those that ran would hide a
        # long pause behind the many short ones.
        now = time.perf_counter()
        while self._due <= now:
            self._lags.append(now - self._due)
            self._due += TICK

    def figures(self) -> Figures:
        """How late the ticks were, in milliseconds; those that are overdue right now included."""
        self._catch_up()
        percentiles = statistics.quantiles(self._lags, n=100, method="inclusive")
        return {
            "p50_ms": percentiles[49] * 1e3,
            "p99_ms": percentiles[98] * 1e3,
            "max_ms": max(self._lags) * 1e3,
        }


class FanOut:
    """Times the start of many actors, watches them idle, times one event to all of them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._arrived = 0
        self._everywhere = anyio.Event()
        self._started = time.perf_counter()
        self._empty = resident_bytes()

    def arrive(self) -> None:
        """Call in the handler of each actor."""
        self._arrived += 1
        if self._arrived == self._job.actors:
            self._everywhere.set()

    async def measure(self, emit: Callable[[], Awaitable[object]]) -> Figures:
        """Call once the actors are started and the first event is on its way to them.

        Started means: that event has reached every actor. A library's own word for it is not taken.
        """
        await self._everywhere.wait()
        start_up = time.perf_counter() - self._started
        await anyio.sleep(SETTLE)
        watch = Stopwatch(self._job)
        watch.start()
        await anyio.sleep(self._job.window)
        watch.stop()
        weight = resident_bytes()
        self._arrived, self._everywhere = 0, anyio.Event()
        sent = time.perf_counter()
        await emit()
        await self._everywhere.wait()
        return {
            "start_up_s": start_up,
            "idle_percent": watch.cpu_seconds / watch.seconds * 100,
            "rss_mb": weight / 1e6,
            "kb_per_actor": (weight - self._empty) / self._job.actors / 1e3,
            "reach_all_ms": (time.perf_counter() - sent) * 1e3,
        }


def burn(seconds: float) -> None:
    """Use so much CPU without a break."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def resident_bytes() -> int:
    """Memory this process occupies right now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:  # no procfs outside Linux
        listing = subprocess.check_output(["ps", "-o", "rss=", "-p", str(os.getpid())])
        return int(listing) * 1024
