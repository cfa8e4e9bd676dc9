"""A worker process that hangs, beside a healthy one of the same actor."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import walnats_anyio as walnats
from tests.actors._stage import Stage, letters_of, listening, stage
from tests.support.loops import in_turn
from tests.support.processes import state_of
from tests.support.waiting import until
from walnats_anyio.middlewares import Context, Middleware

pytestmark = pytest.mark.anyio

ACK_WAIT = 1.5
HANGS = 0
"""The message whose handler hangs, until it is told to go on."""

WORKER = """
import sys, time
from pathlib import Path
import anyio
import walnats_anyio as walnats

notes, how, backend, url, event, most = sys.argv[1:]
go_on = Path(notes).with_suffix(".go-on")

def note(word, message):
    with open(notes, "a") as file:
        file.write(f"{word} {message}\\n")

async def handle(message):
    note("started", message)
    while message == 0 and not go_on.exists():
        if how == "blocked":
            time.sleep(0.01)
        else:
            await anyio.sleep(0.01)
    note("done", message)

EVENT = walnats.Event(event, int, storage="memory")
ACTOR = walnats.Actor("a", EVENT, handle, max_attempts=int(most), ack_wait=1.5, max_jobs=4)

async def main():
    async with walnats.Actors(ACTOR).connect(url) as conn:
        await conn.listen()

anyio.run(main, backend=backend)
"""


class Healthy(Middleware):
    """The handler of the healthy worker; and how often all that it runs was delivered."""

    def __init__(self) -> None:
        self.runs: Counter[int] = Counter()
        self.delivered: dict[int, int] = {}

    def on_start(self, ctx: Context, /) -> None:
        self.delivered[ctx.message] = ctx.metadata.num_delivered

    async def __call__(self, message: int) -> None:
        self.runs[message] += 1


class Hung:
    """The process of the worker that hangs."""

    def __init__(self, process: subprocess.Popen[bytes], notes: Path, how: str) -> None:
        self.how = how
        self._process = process
        self._notes = notes

    def count(self, word: str, message: int) -> int:
        notes = self._notes.read_text().splitlines() if self._notes.exists() else []
        return notes.count(f"{word} {message}")

    def begun(self, messages: list[int]) -> list[int]:
        return [message for message in messages if self.count("started", message)]

    async def hang(self, on: Stage, actor: walnats.Actor[int, None]) -> list[int]:
        """Make it hang with one slot left for which it asks; gives what it holds unbegun."""

        async def asks() -> bool:
            return (await on.consumer(actor)).requested == 1

        await until(asks)
        if self.how == "blocked":
            await on.emit(HANGS, 1, 2)
            await until(lambda: self.count("started", HANGS) == 1)
            return [1, 2]
        await on.emit(HANGS)
        await until(lambda: self.count("started", HANGS) == 1)
        number = 1
        while True:
            held = [number, number + 1]
            self._process.send_signal(signal.SIGSTOP)
            await until(lambda: state_of(self._process.pid) == "T")
            await on.emit(*held)
            if (await on.consumer(actor)).taken == 3:
                return held
            # Its request expired at this very moment.
            self._process.send_signal(signal.SIGCONT)
            await until(lambda: all(self.count("done", each) for each in held))  # noqa: B023
            await on.until_left(actor, 1)
            await until(asks)
            number += len(held)

    def go_on(self) -> None:
        """It finishes what it holds."""
        self._notes.with_suffix(".go-on").touch()
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def worker(notes: Path, how: str, *arguments: str) -> Iterator[Hung]:
    """Run the worker that is to hang, as a process of its own."""
    command = [sys.executable, "-c", WORKER, str(notes), how, *arguments]
    with subprocess.Popen(command) as process:
        try:
            yield Hung(process, notes, how)
        finally:
            process.kill()


@in_turn("case", [("stopped", 3), ("blocked", 3), ("blocked", 1), ("stopped", 1)])
async def test_a_healthy_worker_gets_past_one_that_hangs(
    url: str,
    event: walnats.Event[int],
    anyio_backend_name: str,
    tmp_path: Path,
    case: tuple[str, int],
) -> None:
    """Nothing is lost, nothing runs too often, and no redelivery goes to what hangs.

    What the other one held comes again after `ack_wait`. With one attempt it is given up then: it
    may have run, and the letter says no more than that.
    """
    how, most = case
    healthy = Healthy()
    actor = walnats.Actor(
        "a", event, healthy, max_attempts=most, ack_wait=ACK_WAIT, middlewares=(healthy,)
    )
    arguments = (anyio_backend_name, url, event.name, str(most))
    async with stage(url, actor) as on:
        with worker(tmp_path / "notes", how, *arguments) as hung:
            held = await hung.hang(on, actor)
            later = [number + 100 for number in range(20)]
            async with listening(on.actors):
                # As soon as `ack_wait` is over, while the other one goes on hanging.
                await on.until_done(actor)
                await on.emit(*later)
                await until(lambda: all(healthy.runs[number] for number in later))
                await on.until_done(actor)
                assert hung.begun([*held, *later]) == []
                letters = await letters_of(url, event)
                if most == 1:
                    assert {letter.payload for letter in letters} == {
                        str(number).encode() for number in (HANGS, *held)
                    }
                    for letter in letters:
                        assert (letter.reason, letter.attempts) == ("died", 1)
                        assert "delivered 1 times, run at most 1 times" in letter.error
                else:
                    assert letters == []
                    # A request that outlives `ack_wait` would have got one of them.
                    again = [healthy.delivered[number] for number in (HANGS, *held)]
                    assert again == [2] * len(again)
                assert [healthy.delivered[number] for number in later] == [1] * len(later)
                assert set(healthy.runs.values()) == {1}
                hung.go_on()
                await until(lambda: hung.count("done", HANGS) == 1)
            # It has read all that came meanwhile, and takes events again.
            await on.emit(1000)
            await until(lambda: hung.count("done", 1000) == 1)
            await on.until_done(actor)
        assert hung.begun(later) == []
        everything = [HANGS, *held, *later, 1000]
        runs = [healthy.runs[each] + hung.count("started", each) for each in everything]
        assert min(runs) >= 1
        assert max(runs) <= most
        assert len(await letters_of(url, event)) == len(letters)
