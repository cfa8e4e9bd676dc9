"""Who takes part: each library with the settings that serve it best, and why these.

The settings of the peers were picked by trying what their documentation offers on the same backlog.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.workers._job import Job

Role = Literal["ours", "before", "peer", "floor"]
"""``floor`` is not in the race, as it does less: nats-py by hand, without any framework, and a
socket without any client. ``before`` is this project as it stands in another checkout."""


@dataclass(frozen=True)
class Candidate:
    """One library, set up in one way, doing one task."""

    name: str
    """What tables and charts call it; unique within a benchmark."""

    role: Role
    """What the figures of this candidate are compared with."""

    worker: str
    """Module of ``benchmarks.workers`` that does the work."""

    needs: tuple[str, ...]
    """Modules that must be importable; else it is reported as not installed."""

    job: Job
    """The work, but for what the harness fills in."""


def ours(task: str, label: str = "", **settings: Any) -> tuple[Candidate, ...]:
    """walnats-anyio, once on asyncio and once on trio."""

    def on(backend: str, *needs: str) -> Candidate:
        job = Job(task=task, backend=backend, **settings)
        name = f"walnats-anyio{label}, {backend}"
        return Candidate(name, "ours", "ours", ("walnats_anyio", *needs), job)

    return on("asyncio"), on("trio", "trio")


def before(candidate: Candidate) -> Candidate:
    """The same work done by another checkout of this project."""
    return replace(candidate, name=before_name(candidate.name), role="before")


def before_name(name: str) -> str:
    """What the candidate of another checkout is called: ``before, trio``."""
    return name.replace("walnats-anyio", "before", 1)


def walnats(task: str, label: str = "", role: Role = "peer", **settings: Any) -> Candidate:
    """walnats 1.2; the default settings if none are given."""
    job = Job(task=task, **({"batch": 1, "max_jobs": 16} | settings))
    return Candidate(f"walnats{label}", role, "walnats_peer", ("walnats",), job)


def walnats_at_best(task: str, size: int, **settings: Any) -> Candidate:
    """walnats 1.2 with large batches; which size is best depends on the machine more than on it."""
    label = f" batch={size} max_jobs={size}"
    return walnats(task, label, batch=size, max_jobs=size, **settings)


def faststream(task: str, label: str = " pull batch=100", **settings: Any) -> Candidate:
    """FastStream with a pull subscription that runs each batch at once."""
    job = Job(task=task, **({"batch": 100} | settings))
    return Candidate(f"FastStream{label}", "peer", "faststream_peer", ("faststream", "nats"), job)


def taskiq(task: str, label: str = " pull batch=100", **settings: Any) -> Candidate:
    """taskiq with a pull broker, and its worker's default of 100 tasks at once."""
    job = Job(task=task, **({"batch": 100, "max_jobs": 100} | settings))
    return Candidate(f"taskiq{label}", "peer", "taskiq_peer", ("taskiq", "taskiq_nats"), job)


def by_hand(task: str, label: str, role: Role = "floor", **settings: Any) -> Candidate:
    """nats-py without any framework."""
    return Candidate(f"nats-py {label}", role, "nats_py", ("nats",), Job(task=task, **settings))


def natsio(task: str, label: str = "", **settings: Any) -> Candidate:
    """natsio, a client for Python 3.13, without any framework; the client to beat."""
    job = Job(task=task, **settings)
    return Candidate(f"natsio{label}", "peer", "natsio_peer", ("natsio",), job)


def raw_socket(task: str, **settings: Any) -> Candidate:
    """A blocking socket and JSON, without any client."""
    return Candidate("raw socket", "floor", "raw_socket", (), Job(task=task, **settings))
