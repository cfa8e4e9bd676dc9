"""What a worker is told, and how it answers."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import msgspec

Figures = dict[str, float]
"""What one run measured, by name: ``rate``, ``cpu_us``, ``p50_us`` ..."""


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The work of one run."""

    task: str
    """Which of the worker's tasks to run: ``consume``, ``emit``, ``latency`` ..."""

    server: str = ""
    """URL of the nats-server. The harness fills it in."""

    stream: str = ""
    """Name of the stream and of its only subject. The harness fills it in."""

    consumer: str = "bench"
    """Name of the durable consumer the harness has made."""

    events: int = 0
    """Events to handle, to emit, or to time; 0 in a declaration: what the benchmark says."""

    backend: str = "asyncio"
    """Event loop to run on: ``asyncio`` or ``trio``."""

    max_jobs: int = 16
    """Handlers that may run at once."""

    batch: int = 1
    """Events asked for in one pull request, by libraries that have such a setting."""

    sleep: float = 0.0
    """Seconds the handler sleeps; 0 does not even yield to the event loop."""

    burn: float = 0.0
    """Seconds of CPU the handler takes without a break."""

    retries: int = 0
    """Runs that fail, for each event on average; the runs after them succeed."""

    mode: str = ""
    """Which way of doing the task is meant, where a library offers several."""

    at_once: int = 1
    """Emits under way at the same time."""

    actors: int = 1
    """Actors in the process."""

    window: float = 0.0
    """Seconds to watch the idle process for."""

    profile: str = ""
    """File to write a profile of the measured time to; empty for none."""


Task = Callable[[Job], Awaitable[None]]
"""A worker's task: measures, and answers through :func:`answer`."""


async def answer(figures: Figures) -> None:
    """Hand the figures over, and stay as one is until the harness has looked at the server.

    Acknowledgements of the last events are still on their way when the last handler returns.
    Nothing may be torn down before they arrive, whatever a library does when it is stopped.
    """
    print(msgspec.json.encode(figures).decode(), flush=True)
    await anyio.to_thread.run_sync(sys.stdin.readline)


def main(tasks: Mapping[str, Task]) -> None:
    """Run the task the command line names, on the event loop it names."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    run: Callable[..., Any] = partial(anyio.run, backend=job.backend)
    run(tasks[job.task], job)
