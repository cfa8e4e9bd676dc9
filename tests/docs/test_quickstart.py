"""The quickstart: what README and docs show is what runs, on both backends."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from tests.docs._blocks import ALL_BLOCKS, EXAMPLES, Block
from tests.support.waiting import DEADLINE
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

QUICKSTART = EXAMPLES / "quickstart"
SHOWN = [block for block in ALL_BLOCKS if block.title is not None]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: f"{block.place} {block.title}")
def test_a_page_shows_the_file_that_is_tested(block: Block) -> None:
    assert block.title is not None
    [file] = EXAMPLES.glob(f"*/{block.title}")
    assert block.text == file.read_text()


def test_readme_and_docs_both_show_the_whole_quickstart() -> None:
    files = {file.name for file in QUICKSTART.glob("*.py")}
    for page in ("README.md", "quickstart.md"):
        assert {block.title for block in SHOWN if block.page.name == page} == files


RUN = re.compile(r"^    (?P<asyncio>.+\))  # or: (?P<trio>.+\))$", re.MULTILINE)
"""The line with which a script runs itself, and says how on the other backend."""

READY = "listening: Actors('send-receipt')"


def on_backend(script: str, backend: str) -> list[str]:
    """Run a script as its last line says that it is run on a backend."""
    source, lines = RUN.subn(rf"    \g<{backend}>", Path(QUICKSTART, script).read_text())
    assert lines == 1
    return [sys.executable, "-u", "-c", source]


def by_command_line(backend: str, *options: str) -> list[str]:
    """Run the actors the way the last section of the quickstart does."""
    command = [sys.executable, "-m", "walnats_anyio", "run", "subscribe:ACTORS"]
    return [*command, "--backend", backend, *options]


@asynccontextmanager
async def started(command: list[str], server: NatsServer) -> AsyncIterator[Process]:
    """Run a command beside the quickstart; end it by force when the block is left."""
    process = await anyio.open_process(
        command,
        cwd=QUICKSTART,
        env={**os.environ, "NATS_SERVER": server.url},
        stdout=PIPE,
        stderr=STDOUT,
    )
    async with process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def output_until(process: Process, wanted: str) -> str:
    """Read what a process prints until the text wanted is there."""
    assert process.stdout is not None
    shown = ""
    with anyio.move_on_after(DEADLINE):
        async for chunk in TextReceiveStream(process.stdout):
            shown += chunk
            if wanted in shown:
                return shown
    pytest.fail(f"no {wanted!r} in what was printed:\n{shown}")


async def output_until_the_end(process: Process) -> str:
    """Read all that a process prints until it ends."""
    assert process.stdout is not None
    with anyio.fail_after(DEADLINE):
        return "".join([chunk async for chunk in TextReceiveStream(process.stdout)])


async def publish(backend: str, server: NatsServer) -> None:
    async with started(on_backend("publish.py", backend), server) as publisher:
        with anyio.fail_after(DEADLINE):
            assert await publisher.wait() == 0


async def test_subscribe_and_publish(anyio_backend_name: str) -> None:
    async with (
        NatsServer() as server,
        started(on_backend("subscribe.py", anyio_backend_name), server) as subscriber,
    ):
        await output_until(subscriber, READY)
        await publish(anyio_backend_name, server)
        shown = await output_until(subscriber, "order 3")
    assert [f"receipt for order {n} " in shown for n in (1, 2, 3)] == [True] * 3


async def test_ctrl_c_stops_a_subscriber_without_a_traceback(anyio_backend_name: str) -> None:
    async with (
        NatsServer() as server,
        started(on_backend("subscribe.py", anyio_backend_name), server) as subscriber,
    ):
        await output_until(subscriber, READY)
        subscriber.send_signal(signal.SIGINT)
        shown = await output_until_the_end(subscriber)
        assert await subscriber.wait() == 0
    stopping, listened = shown.splitlines()
    assert stopping.endswith("SIGINT: finishing the running jobs")
    assert "listened: 0 handled" in listened


async def test_orders_wait_for_a_subscriber(anyio_backend_name: str) -> None:
    async with NatsServer() as server:
        async with started(on_backend("subscribe.py", anyio_backend_name), server) as subscriber:
            await output_until(subscriber, READY)
        await publish(anyio_backend_name, server)
        async with started(on_backend("subscribe.py", anyio_backend_name), server) as subscriber:
            await output_until(subscriber, "order 3")


async def test_the_command_line_runs_the_actors(anyio_backend_name: str) -> None:
    async with NatsServer() as server:
        async with started(on_backend("subscribe.py", anyio_backend_name), server) as subscriber:
            await output_until(subscriber, READY)
        await publish(anyio_backend_name, server)
        workers = by_command_line(anyio_backend_name, "--workers", "2", "--burst")
        async with started(workers, server) as run:
            shown = await output_until_the_end(run)
            assert await run.wait() == 0
    assert [f"receipt for order {n} " in shown for n in (1, 2, 3)] == [True] * 3
