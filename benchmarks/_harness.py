"""Runs benchmarks: so many rounds, in each of them every candidate once, in a new order."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec
import nats
from nats.aio.client import Client

from benchmarks._benchmarks import Benchmark
from benchmarks._candidates import Candidate, before
from benchmarks._process import ROOT, RunError, other_root, run_worker
from benchmarks._results import BenchmarkResult, Run
from benchmarks._stream import (
    TASKIQ_CALL,
    USER,
    CheckError,
    check_handled,
    check_stored,
    fill,
    stream,
)
from benchmarks.workers._job import Job
from benchmarks.workers._measure import WARM_UP
from walnats_anyio.testing import NatsServer

REGISTERS_ITSELF = ("fanout", "priority")
"""Tasks with several actors, whose workers make the consumers."""

Progress = Callable[[str], None]
"""Told what happens next, in a few words."""


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    rounds: int = 5
    """Times each candidate runs."""

    events: int | None = None
    """Events of each run; None: what each benchmark says."""

    scale: float = 1.0
    """Factor on what each benchmark says of events, actors and sleeping jobs."""

    window: float | None = None
    """Seconds an idle process is watched for; None: what each benchmark says."""

    profile: Path | None = None
    """Folder for profiles of this library's runs; None: none are made."""

    against: Path | None = None
    """Another checkout of this project whose ``walnats_anyio`` runs as well."""

    def job_for(self, benchmark: Benchmark, candidate: Candidate) -> Job:
        """The candidate's job at this plan's size."""
        job = candidate.job
        events = self.events or max(int((job.events or benchmark.events) * self.scale), 1)
        window = job.window if self.window is None else min(self.window, job.window)
        profile = ""
        if self.profile and candidate.role == "ours":
            name = f"{benchmark.name}-{job.mode}-{job.backend}".replace("--", "-")
            profile = str(self.profile.resolve() / f"{name}.pstats")
        return msgspec.structs.replace(
            job,
            # Whole rounds of all emitters; the others have one.
            events=-(-events // job.at_once) * job.at_once,
            actors=max(int(job.actors * self.scale), 1),
            window=window,
            profile=profile,
        )


@dataclass(frozen=True)
class Server:
    """A nats-server and the harness's own connection to it."""

    url: str
    """Where workers find it."""

    nc: Client
    """For making, filling and checking streams."""

    @property
    def version(self) -> str:
        """Version of the server."""
        parts = self.nc.connected_server_version
        return f"{parts.major}.{parts.minor}.{parts.patch}"


@asynccontextmanager
async def server_at(url: str | None) -> AsyncIterator[Server]:
    """The server of that URL, or one started for the length of the block."""
    if url is None:
        async with NatsServer() as started, server_at(started.url) as server:
            yield server
        return
    nc = await nats.connect(url)
    try:
        yield Server(url, nc)
    finally:
        await nc.close()


async def measure(
    server: Server,
    benchmark: Benchmark,
    candidates: Iterable[Candidate],
    plan: Plan,
    tell: Progress,
) -> BenchmarkResult:
    """Run every candidate that is installed, ``plan.rounds`` times, the candidates interleaved.

    A machine that slows down for a while then slows all of them down alike, and ratios are taken
    within a round.
    """
    here, missing = split_by_presence(with_before(candidates) if plan.against else candidates)
    runs: list[Run] = []
    with other_root(plan.against) if plan.against else nullcontext(ROOT) as other:
        for number in range(1, min(plan.rounds, benchmark.max_rounds) + 1):
            order = here.copy()
            random.Random(number).shuffle(order)
            for candidate in order:
                tell(f"{benchmark.name}, round {number}: {candidate.name}")
                job = plan.job_for(benchmark, candidate)
                root = other if candidate.role == "before" else ROOT
                runs.append(await run_once(server, benchmark, candidate, job, number, root))
    return BenchmarkResult(
        name=benchmark.name,
        jobs={c.name: plan.job_for(benchmark, c) for c in here},
        runs=runs,
        not_installed=[c.name for c in missing],
    )


def with_before(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """The same candidates, each of this library followed by that of the other checkout."""
    for candidate in candidates:
        yield candidate
        if candidate.role == "ours":
            yield before(candidate)


def split_by_presence(
    candidates: Iterable[Candidate],
) -> tuple[list[Candidate], list[Candidate]]:
    """Candidates whose packages are all there, and the others."""
    here: list[Candidate] = []
    missing: list[Candidate] = []
    for candidate in candidates:
        present = all(find_spec(module) for module in candidate.needs)
        (here if present else missing).append(candidate)
    return here, missing


async def run_once(
    server: Server,
    benchmark: Benchmark,
    candidate: Candidate,
    job: Job,
    number: int,
    root: Path = ROOT,
) -> Run:
    """One run on a new stream, checked on the server before the worker may stop."""
    # A name of its own: the server removes the files of a stream after it has said that it is gone.
    name = f"bench-{benchmark.name}-{number}-{secrets.token_hex(3)}"
    job = msgspec.structs.replace(job, server=server.url, stream=name)
    payload = TASKIQ_CALL if candidate.worker == "taskiq_peer" else USER
    needs_consumer = job.task not in REGISTERS_ITSELF

    async def check() -> None:
        if benchmark.check == "handled":
            warm_up = WARM_UP if job.task == "latency" else 0
            events = warm_up + job.events
            await check_handled(server.nc, name, events, events * (1 + job.retries))
        elif benchmark.check == "stored":
            await check_stored(server.nc, name, job.events)

    pending = max(1000, job.max_jobs)
    async with stream(server.nc, name, consumer=needs_consumer, max_ack_pending=pending):
        if benchmark.backlog:
            await fill(server.nc, name, payload, job.events)
        try:
            # Slow peers handle 5,000 events a second; no run should come near a tenth of that.
            limit = 120 + job.window + job.events * (1 + job.retries) / 500
            figures = await run_worker(candidate.worker, job, limit, check, root)
        except (RunError, CheckError) as error:
            return Run(round=number, candidate=candidate.name, error=str(error))
    return Run(round=number, candidate=candidate.name, figures=figures)
