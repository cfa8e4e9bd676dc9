"""`Actors.run`: listening as the whole of a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE, until_blocking
from walnats_anyio.testing import NatsServer

PROGRAM = """
import logging, sys
import anyio
import walnats_anyio as walnats

EVENT = walnats.Event("numbers", int)

async def handle(message):
    print("started", message, flush=True)
    await anyio.sleep(float(sys.argv[2]))
    print("done", message, flush=True)

ACTORS = walnats.Actors(walnats.Actor("a", EVENT, handle))

if __name__ == "__main__":
    async def prepare():
        async with walnats.Events(EVENT).connect() as events:
            await events.register()
            async with ACTORS.connect() as actors:
                await actors.register()
            await events.emit(EVENT, 1)
    anyio.run(prepare)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    summary = ACTORS.run(backend=sys.argv[1])
    print("ended:", summary.ended.value, summary.handled, flush=True)
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_gracefully(
    nats_url: str, tmp_path: Path, backend: str, number: signal.Signals
) -> None:
    output = tmp_path / "output"
    with output.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, backend, "0.5"],
            env={**os.environ, "NATS_SERVER": nats_url, "PYTHONPATH": str(Path.cwd())},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        until_blocking(lambda: "started 1" in output.read_text())
        program.send_signal(number)
        assert program.wait(DEADLINE) == 0
    finally:
        program.kill()
        program.wait()
    lines = [line for line in output.read_text().splitlines() if not line.startswith("INFO")]
    assert lines == ["started 1", "done 1", "ended: shutdown 1"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_signal_cancels_what_runs(nats_url: str, tmp_path: Path, backend: str) -> None:
    output = tmp_path / "output"
    with output.open("wb") as file:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, backend, "3600"],
            env={**os.environ, "NATS_SERVER": nats_url, "PYTHONPATH": str(Path.cwd())},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        until_blocking(lambda: "started 1" in output.read_text())
        program.send_signal(signal.SIGTERM)
        until_blocking(lambda: "SIGTERM: finishing the running jobs" in output.read_text())
        program.send_signal(signal.SIGTERM)
        assert program.wait(DEADLINE) == 128 + signal.SIGTERM
    finally:
        program.kill()
        program.wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_burst(nats_server: NatsServer, backend: str) -> None:
    event: walnats.Event[int] = walnats.Event("numbers", int)
    actors = walnats.Actors(walnats.Actor("a", event, print))
    summary = actors.run(nats_server.url, backend=backend, burst=True, poll_delay=0)
    assert (summary.ended.value, summary.handled) == ("burst", 0)


def test_a_backend_that_there_is_not() -> None:
    actors = walnats.Actors(walnats.Actor("a", walnats.Event("numbers", int), print))
    with pytest.raises(ValueError, match="backend must be 'asyncio' or 'trio', not 'curio'"):
        actors.run(backend="curio")
