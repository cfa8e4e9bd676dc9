"""Metrics in the text format of Prometheus: of the workers, of the consumers, of the program.

The program's own are those that it keeps with prometheus-client, if it does. Each worker process
has them for itself, so its multiprocess mode adds them up: files in a directory, one for each
process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakSet

from walnats_anyio.cli._health._backlog import Backlog
from walnats_anyio.cli._worker_process import WorkerProcess
from walnats_anyio.cli._workers import Workers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client keeps its metrics for several processes."""


@dataclass(frozen=True)
class Family:
    """A metric, with a value for each set of labels."""

    name: str
    kind: str
    about: str
    samples: list[tuple[dict[str, str], float]]

    def lines(self) -> Iterator[str]:
        """The lines of the text format."""
        if not self.samples:
            return
        yield f"# HELP {self.name} {self.about}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            shown = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            yield f"{self.name}{f'{{{shown}}}' if shown else ''} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def in_text(families: Iterable[Family]) -> str:
    """Metrics in the text format."""
    return "".join(f"{line}\n" for family in families for line in family.lines())


COUNTERS = {
    "handled": "Jobs whose handler returned.",
    "failed": "Jobs that failed, and whose events come again.",
    "dead_lettered": "Events given up.",
    "handed_back": "Events given back to the server.",
    "redelivered": "Deliveries of events that had been delivered before.",
    "retried": "Jobs that were a second or later attempt of their event.",
}
"""What only grows, over all processes there have been."""

GAUGES = {
    "slots": "Jobs that may run at once.",
    "running": "Jobs that are running.",
    "waiting": "Events that are held by a process and wait for a worker.",
    "requested": "Events that the server has been asked for, and that have not come.",
    "parked": "Events that were given back with a delay, and wait at the server to be retried.",
}
"""What is so now, over all processes there are."""


class Totals:
    """What the processes did that have ended."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], Counter[str]] = {}
        self._added: WeakSet[WorkerProcess] = WeakSet()

    def add(self, worker: WorkerProcess) -> None:
        """Add what a process told last; what it did after that is lost if it was killed."""
        self._added.add(worker)
        for labels, counts in _counted(worker):
            self._sums.setdefault(labels, Counter()).update(counts)

    def with_those(self, workers: Iterable[WorkerProcess]) -> dict[tuple[str, str], Counter[str]]:
        """The sums, with what these processes did so far."""
        sums = {labels: Counter(counts) for labels, counts in self._sums.items()}
        # Once, also while one that has ended is still in its place.
        for worker in {*workers} - {*self._added}:
            for labels, counts in _counted(worker):
                sums.setdefault(labels, Counter()).update(counts)
        return sums


def _counted(worker: WorkerProcess) -> Iterator[tuple[tuple[str, str], dict[str, int]]]:
    """What a process has counted of each actor: in its summary, else as it told last."""
    summary = {(each["actor"], each["event"]): each for each in worker.actors or ()}
    for each in _actors_of(worker):
        labels = (each["actor"], each["event"])
        newest: dict[str, Any] = {**each, **summary.get(labels, {})}
        yield labels, {name: int(newest[name]) for name in COUNTERS}


def _actors_of(worker: WorkerProcess) -> list[dict[str, Any]]:
    actors: list[dict[str, Any]] = worker.statistics.get("actors", [])
    return actors


def of_workers(workers: Workers, totals: Totals) -> Iterator[Family]:
    """What the worker processes do and did."""
    sums = totals.with_those(workers.all)
    for name, about in COUNTERS.items():
        samples = [(_labels(*key), float(counts[name])) for key, counts in sorted(sums.items())]
        yield Family(f"walnats_run_{name}_total", "counter", about, samples)
    now: dict[tuple[str, str], Counter[str]] = {}
    for worker in workers.all:
        for each in _actors_of(worker):
            counts = now.setdefault((each["actor"], each["event"]), Counter())
            counts.update({name: int(each[name]) for name in GAUGES})
    for name, about in GAUGES.items():
        samples = [(_labels(*key), float(counts[name])) for key, counts in sorted(now.items())]
        yield Family(f"walnats_run_{name}", "gauge", about, samples)
    yield from _of_processes(workers)


def _of_processes(workers: Workers) -> Iterator[Family]:
    running = sorted(workers.running.items())

    def gauge(name: str, about: str, values: dict[int, float]) -> Family:
        samples = [({"worker": str(number)}, value) for number, value in values.items()]
        return Family(f"walnats_run_worker_{name}", "gauge", about, samples)

    yield gauge(
        "ready", "1 if the worker receives events.", {n: float(w.ready) for n, w in running}
    )
    yield gauge(
        "connected",
        "1 if the worker is connected to NATS.",
        {n: float(w.connected) for n, w in running},
    )
    yield gauge(
        "slots",
        "Jobs that may run at once in the worker.",
        {n: float(w.statistics.get("slots", 0)) for n, w in running},
    )
    yield gauge(
        "loop_lag_seconds",
        "Seconds by which the event loop of the worker was late.",
        {n: float(w.statistics.get("loop_lag", 0.0)) for n, w in running},
    )
    yield gauge(
        "resident_memory_bytes",
        "Resident memory of the worker, with the processes that it started.",
        {number: float(size) for number, size in sorted(workers.memory.items())},
    )
    for name, about, value in (
        ("restarted", "Workers that ended unasked and were replaced.", workers.restarted),
        ("recycled", "Workers that were replaced as they had done enough.", workers.recycled),
        ("reloaded", "Times that the program was loaded anew.", workers.reloaded),
    ):
        yield Family(f"walnats_run_{name}_total", "counter", about, [({}, float(value))])


def of_consumers(backlogs: Iterable[Backlog]) -> Iterator[Family]:
    """What waits for the actors in NATS, over all processes everywhere."""
    all_of_them = list(backlogs)
    figures = {
        "waiting": "Events that no process has been given yet.",
        "running": "Events that a process has, or that wait for their next attempt.",
        "oldest_seconds": "Seconds since the oldest event that is not settled was emitted.",
    }
    for name, about in figures.items():
        values = [
            (_labels(each.actor, each.event), getattr(each, name.removesuffix("_seconds")))
            for each in all_of_them
        ]
        samples = [(labels, float(value)) for labels, value in values if value is not None]
        yield Family(f"walnats_consumer_{name}", "gauge", about, samples)


def _labels(actor: str, event: str) -> dict[str, str]:
    return {"actor": actor, "event": event}


class ProgramMetrics:
    """What the program keeps with prometheus-client, added up over its processes."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    @property
    def env(self) -> dict[str, str]:
        """The variables that worker processes need for it."""
        return {} if self._directory is None else {DIRECTORY: str(self._directory)}

    def text(self) -> str:
        """The metrics in the text format. Reads some files."""
        if self._directory is None:
            return ""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        registry = CollectorRegistry()
        untyped: Any = multiprocess
        untyped.MultiProcessCollector(registry, path=str(self._directory))
        return generate_latest(registry).decode()

    def ended(self, worker: WorkerProcess) -> None:
        """Forget what was so only while a process lived."""
        if self._directory is None:
            return
        from prometheus_client import multiprocess

        untyped: Any = multiprocess
        with suppress(OSError):
            untyped.mark_process_dead(worker.pid, path=str(self._directory))


@contextmanager
def program_metrics() -> Iterator[ProgramMetrics]:
    """The program's metrics, if prometheus-client is installed; their files are removed at the end.

    Where the variable of prometheus-client names a directory it is that one, and is left there.
    """
    if find_spec("prometheus_client") is None:
        yield ProgramMetrics(None)
        return
    if given := os.environ.get(DIRECTORY):
        yield ProgramMetrics(Path(given))
        return
    directory = Path(tempfile.mkdtemp(prefix="walnats-anyio-metrics-"))
    try:
        yield ProgramMetrics(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
