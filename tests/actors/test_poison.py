"""An event that kills its process, beside innocent ones: real processes, started anew each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE
from walnats_anyio.dead_letters import DeadLetter, DeadLetters

pytestmark = pytest.mark.anyio

EVENT: walnats.Event[int] = walnats.Event("poisoned", int)
POISON = 3
EVENTS = 6

WORKER = """
import ctypes, os, sys
import anyio
import walnats_anyio as walnats

backend, url, notes, how, most = sys.argv[1:]

def note(word, message):
    with open(notes, "a") as file:
        file.write(f"{word} {message}\\n")

async def handle(message):
    note("started", message)
    await anyio.sleep(0.1)
    if message == 3:
        os._exit(9) if how == "exit" else ctypes.string_at(0)
    await anyio.sleep(0.1)
    note("done", message)

EVENT = walnats.Event("poisoned", int)
ACTOR = walnats.Actor("a", EVENT, handle, max_attempts=int(most), ack_wait=1, max_jobs=8)

async def main():
    async with walnats.Actors(ACTOR).connect(url) as conn:
        await conn.listen()

anyio.run(main, backend=backend)
"""


def noted(notes: Path) -> Counter[str]:
    return Counter(notes.read_text().splitlines()) if notes.exists() else Counter()


async def letters(url: str) -> list[DeadLetter]:
    async with DeadLetters.connect(url) as dead:
        return [letter async for letter in dead.letters(event=EVENT)]


@pytest.mark.parametrize(
    ("anyio_backend", "how", "most"),
    [
        ("asyncio", "exit", 2),
        ("trio", "exit", 3),
        ("trio", "segmentation fault", 2),
    ],
)
async def test_innocent_events_are_handled_and_the_poison_is_given_up(
    nats_url: str, anyio_backend_name: str, tmp_path: Path, how: str, most: int
) -> None:
    notes = tmp_path / "notes"

    async def handle(message: int) -> None:
        raise AssertionError("only the processes run it")

    actor = walnats.Actor("a", EVENT, handle, max_attempts=most, ack_wait=1, max_jobs=8)
    async with (
        walnats.Events(EVENT).connect(nats_url) as events,
        walnats.Actors(actor).connect(nats_url) as actors,
    ):
        await events.register()
        await actors.register()
        await events.emit_many(EVENT, range(EVENTS))
    command = [sys.executable, "-c", WORKER, anyio_backend_name, nats_url, str(notes), how]
    innocent = [number for number in range(EVENTS) if number != POISON]
    with anyio.fail_after(2 * DEADLINE):
        while not (
            all(noted(notes)[f"done {number}"] for number in innocent) and await letters(nats_url)
        ):
            worker = subprocess.Popen(  # noqa: ASYNC220 - it starts in a moment
                [*command, str(most)], stderr=subprocess.DEVNULL, env=os.environ
            )
            try:
                while worker.poll() is None and not await letters(nats_url):
                    await anyio.sleep(0.05)
                # What is left runs alone, one after another.
                while worker.poll() is None and not all(
                    noted(notes)[f"done {number}"] for number in innocent
                ):
                    await anyio.sleep(0.05)
            finally:
                worker.kill()
                worker.wait()
    (letter,) = await letters(nats_url)
    assert (letter.payload, letter.reason, letter.attempts) == (b"3", "died", most)
    assert "run at most" in letter.error
    counts = noted(notes)
    assert counts[f"started {POISON}"] == most
    assert [counts[f"done {number}"] for number in innocent] == [1] * len(innocent)
    assert max(counts.values()) <= most
