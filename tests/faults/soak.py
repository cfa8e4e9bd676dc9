"""Minutes of mixed load with random faults: `python -m tests.faults.soak`, or `nox -s soak`."""

from __future__ import annotations

import argparse
import logging
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table

from tests.actors._stage import consumer_of
from tests.faults._ledger import Noted
from tests.faults._memory import Memory
from tests.faults._proxy import Proxy
from tests.faults._soak_worker import EVENTS, FRAIL, PLAIN, SLOW, actors_in, is_hopeless
from tests.faults._worker import ready_file
from tests.support.waiting import until
from walnats_anyio import Actor, Event
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedActors, ConnectedEvents

ROOT = Path(__file__).parent.parent.parent

GROWTH = 2.0
"""MiB a minute that the memory of a worker may grow: ten times what was measured."""

SETTLED_WITHIN = 180.0
"""Seconds from the last fault until every event is done with."""


@dataclass
class Soak:
    """Everything of one run."""

    server: NatsServer

    front: Proxy
    """The emitter's way to the server."""

    back: Proxy
    """The way of the workers."""

    directory: Path
    backend: str
    dice: random.Random
    console: Console
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """The first one is never ended, so that its memory can be watched."""

    emitted: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults._soak_worker"]
        return subprocess.Popen(
            [*command, self.back.url, str(self.directory), self.backend],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,  # thousands of failures are logged, as they should be
        )

    async def add_worker(self) -> None:
        worker = self.launch()
        self.workers.append(worker)
        await until(ready_file(self.directory / "worker", worker.pid).exists, 120)


# faults


async def restart_server(soak: Soak) -> None:
    await soak.server.restart()


async def kill_server(soak: Soak) -> None:
    soak.server.kill()
    await anyio.sleep(soak.dice.uniform(0, 3))
    await soak.server.start()


async def pause_server(soak: Soak) -> None:
    soak.server.pause()
    await anyio.sleep(soak.dice.uniform(0.5, 5))
    soak.server.resume()


async def cut(soak: Soak) -> None:
    for proxy in (soak.front, soak.back):
        proxy.cut(refuse=soak.dice.random() < 0.5)
    await anyio.sleep(soak.dice.uniform(0, 3))


async def slow_down(soak: Soak) -> None:
    for proxy in (soak.front, soak.back):
        proxy.slow(latency=soak.dice.uniform(0, 0.1), rate=soak.dice.uniform(1e5, 1e6))
    await anyio.sleep(5)


async def part(soak: Soak) -> None:
    for proxy in (soak.front, soak.back):
        proxy.stall()
    await anyio.sleep(soak.dice.uniform(1, 10))


async def half_open(soak: Soak) -> None:
    soak.dice.choice([soak.front, soak.back]).half_open()
    await anyio.sleep(25)


async def replace_worker(soak: Soak, how: signal.Signals) -> None:
    worker = soak.workers.pop()
    worker.send_signal(how)
    await until(lambda: worker.poll() is not None, 120)
    await soak.add_worker()


FAULTS: dict[str, tuple[int, Callable[[Soak], Awaitable[None]]]] = {
    "server restarted": (3, restart_server),
    "server killed": (3, kill_server),
    "server paused": (3, pause_server),
    "connections cut": (4, cut),
    "slow line": (2, slow_down),
    "parted": (2, part),
    "half-open": (1, half_open),
    "worker killed": (3, lambda soak: replace_worker(soak, signal.SIGKILL)),
    "worker restarted": (3, lambda soak: replace_worker(soak, signal.SIGTERM)),
}
"""What may happen, and how often in comparison."""


async def break_things(soak: Soak, until_when: float) -> None:
    while time.monotonic() < until_when:
        await anyio.sleep(soak.dice.uniform(1, 4))
        weights = [weight for weight, _ in FAULTS.values()]
        (name,) = soak.dice.choices(list(FAULTS), weights)
        soak.faults[name] += 1
        await FAULTS[name][1](soak)
        soak.front.heal()
        soak.back.heal()


# load


async def emit(soak: Soak, conn: ConnectedEvents, event: Event[int], until_when: float) -> None:
    """Emit with `uid`, as the ledger counts letters, some of it in bunches."""
    while time.monotonic() < until_when:
        for _ in range(soak.dice.choice([1, 1, 5, 50])):
            number = soak.emitted[event.name]
            soak.emitted[event.name] += 1
            await conn.emit(event, number, uid=str(number), sync=number % 50 == 0)
        await anyio.sleep(soak.dice.uniform(0, 0.15))


async def watch(soak: Soak, memory: Memory, begun: float, until_when: float) -> None:
    while time.monotonic() < until_when:
        await anyio.sleep(1)
        memory.look(time.monotonic() - begun)
        if len(memory.samples) % 15 == 0:
            soak.console.print(
                f"{time.monotonic() - begun:5.0f} s: {soak.emitted.total():,} emitted, "
                f"{soak.faults.total()} faults, {memory.now:.1f} MiB"
            )


async def settle(conn: ConnectedActors, actors: list[Actor[Any, Any]]) -> None:
    async def all_done() -> bool:
        return not sum([(await consumer_of(conn._link, actor)).left for actor in actors])

    await until(all_done, SETTLED_WITHIN)


# the verdict


def report(soak: Soak, actors: list[Actor[Any, Any]], letters: int, memory: Memory) -> bool:
    """Print what it came to; whether that is as it must be."""
    table = Table(title="Soak")
    for column in ("actor", "emitted", "handled", "dead letters", "runs", "lost"):
        table.add_column(column, justify="left" if column == "actor" else "right")
    clean = True
    for actor in actors:
        emitted = set(range(soak.emitted[actor.event.name]))
        noted = Noted(soak.directory / actor.name).read_on()
        buried = {n for n in emitted if actor.name == "gives-up" and is_hopeless(n)}
        lost = len(emitted - noted.done - buried)
        there = letters if actor.name == "gives-up" else 0
        clean = clean and not lost and there == len(buried) and not noted.done & buried
        table.add_row(
            actor.name, f"{len(emitted):,}", f"{len(noted.done):,}",
            f"{there:,} of {len(buried):,}", f"{len(noted.runs):,}", f"{lost:,}",
        )  # fmt: skip
    soak.console.print(table)
    soak.console.print(f"faults: {dict(soak.faults)}")
    soak.console.print(
        f"memory: {memory.now:.1f} MiB, grew {memory.slope:.2f} MiB a minute (≤ {GROWTH:g})"
    )
    return clean and memory.slope <= GROWTH


async def run(wanted: argparse.Namespace) -> bool:
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(f"seed {wanted.seed}, {wanted.backend}, {wanted.minutes:g} minutes")
    with TemporaryDirectory() as name:
        async with NatsServer() as server:
            with Proxy(server.port) as front, Proxy(server.port) as back:
                soak = Soak(
                    server, front, back, Path(name), wanted.backend, random.Random(wanted.seed),
                    console,
                )  # fmt: skip
                try:
                    return await _run(soak, wanted.minutes * 60)
                finally:
                    for worker in soak.workers:
                        worker.kill()
                        worker.wait()


async def _run(soak: Soak, seconds: float) -> bool:
    actors = actors_in(soak.directory)
    async with (
        EVENTS.connect(soak.front.url) as events,
        actors.connect(soak.server.url) as conn,
        DeadLetters.connect(soak.server.url) as dead,
    ):
        await events.register()
        await conn.register()
        for _ in range(2):
            await soak.add_worker()
        memory = Memory(soak.workers[0].pid)
        begun = time.monotonic()
        end = begun + seconds
        async with anyio.create_task_group() as tasks:
            for event in (PLAIN, SLOW, FRAIL):
                tasks.start_soon(emit, soak, events, event, end)
            tasks.start_soon(watch, soak, memory, begun, end)
            tasks.start_soon(break_things, soak, end)
        await events.flush()
        await settle(conn, list(actors))
        letters = await dead.count(actor="gives-up")
    return report(soak, list(actors), letters, memory)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    wanted = parser.parse_args(arguments)
    # Connections are lost here on purpose.
    logging.getLogger("walnats_anyio").setLevel(logging.CRITICAL)
    return 0 if anyio.run(run, wanted, backend=wanted.backend) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
