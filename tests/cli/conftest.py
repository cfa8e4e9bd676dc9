"""What the tests of the command line share: a module with actors, and events for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import pytest

import walnats_anyio as walnats
from tests.cli._command import until

SHOP = '''
"""Actors that note what they do in a file, and wait until another file is there."""

import os
import time
from pathlib import Path

import anyio
import walnats_anyio as walnats

PLACED = walnats.Event("shop.placed", int)
HERE = Path(__file__).parent


def note(what, number):
    with (HERE / "notes").open("a") as notes:
        notes.write(f"{what} {number} {os.getpid()}\\n")


async def pack(number):
    note("start", number)
    while not (HERE / "go").exists():
        await anyio.sleep(0.02)
    note("done", number)


def blocks(number):
    note("start", number)
    while not (HERE / "go").exists():
        time.sleep(0.02)
    note("done", number)


ACTORS = walnats.Actors(walnats.Actor("pack", PLACED, pack, ack_wait=30))
ACTOR = walnats.Actor("pack", PLACED, pack)
BLOCKING = walnats.Actor("block", PLACED, blocks)
THREAD = walnats.Actor("thread", PLACED, blocks, execute_in=walnats.ExecuteIn.THREAD)
PROCESS = walnats.Actor("process", PLACED, blocks, execute_in=walnats.ExecuteIn.PROCESS)


class Nested:
    ACTORS = ACTORS


def make():
    return ACTORS


async def make_async():
    return ACTORS


def fail():
    raise RuntimeError("no configuration")
'''


class Shop:
    """A directory with `shop.py`, whose actors do not finish before `let_go`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "shop.py").write_text(SHOP)

    def let_go(self) -> None:
        """Let all handlers return."""
        (self.directory / "go").touch()

    def noted(self, what: str) -> list[int]:
        """The events to which this was done, in order."""
        return [int(line.split()[1]) for line in self._lines() if line.split()[0] == what]

    def pids(self) -> set[int]:
        """The processes that handled events."""
        return {int(line.split()[2]) for line in self._lines() if line.split()[0] == "start"}

    def until_started(self, count: int) -> None:
        """Wait until so many jobs have started."""
        until(lambda: len(self.noted("start")) >= count, self._lines)

    def _lines(self) -> list[str]:
        notes = self.directory / "notes"
        return notes.read_text().splitlines() if notes.exists() else []


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Where the commands run."""
    return Shop(tmp_path)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop that the command runs on."""
    return str(request.param)


MORE = "WALNATS_RUN_OPTIONS"


def once(cheap: str) -> pytest.MarkDecorator:
    """Run a test on one event loop; with WALNATS_RUN_OPTIONS=1 in the environment on both.

    For what starts many processes, which takes seconds, and depends little on the event loop.
    """
    other = "trio" if cheap == "asyncio" else "asyncio"
    skipped = pytest.mark.skipif(not os.environ.get(MORE), reason=f"{MORE}=1 runs it")
    return pytest.mark.parametrize(
        "backend", [cheap, pytest.param(other, marks=skipped)], ids=[cheap, other]
    )


def on_one_loop(cheap: str) -> pytest.MarkDecorator:
    """Run a test on one event loop on Python 3.11, on both on later versions.

    For what starts several processes and depends little on the event loop. `.ci/run` has 3.12 run
    what is on trio and 3.13 what is on asyncio, so together they run it on both.
    """
    loops = [cheap] if sys.version_info < (3, 12) else ["asyncio", "trio"]
    return pytest.mark.parametrize("backend", loops)


async def _emit(url: str, numbers: range) -> None:
    placed = walnats.Event("shop.placed", int)
    async with walnats.Events(placed).connect(url) as events:
        await events.register()
        await events.emit_many(placed, numbers)


@pytest.fixture
def emit(nats_url: str) -> Callable[[range], None]:
    """Emit numbers to the shop of this test; they are acknowledged when this returns."""
    return lambda numbers: anyio.run(partial(_emit, nats_url, numbers))
