"""Either event loop, as the application started it, and the other one left alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import trio

import walnats_anyio as walnats

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)

SCRIPT = """
import asyncio, sys
{before}
import anyio
import walnats_anyio as walnats

default = asyncio.new_event_loop, asyncio.events.new_event_loop
EVENT = walnats.Event("user-created", int)

async def main():
    async with walnats.Events(EVENT).connect() as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)

{body}
"""


def run(body: str, url: str, before: str = "") -> str:
    """Run a program of its own; what it prints."""
    strict = ("-W", "error", "-W", "ignore:'AbstractChildWatcher'")
    done = subprocess.run(
        [sys.executable, *strict, "-c", SCRIPT.format(body=body, before=before)],
        env={**os.environ, "NATS_SERVER": url, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


async def emit_one(url: str) -> None:
    async with EVENTS.connect(url) as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)


def test_on_asyncio_without_anyio_around_it(nats_url: str) -> None:
    asyncio.run(emit_one(nats_url))


def test_on_trio_without_anyio_around_it(nats_url: str) -> None:
    trio.run(emit_one, nats_url)


def test_both_at_once_in_two_threads(nats_url: str) -> None:
    failed: list[BaseException] = []

    def on(backend: str) -> None:
        try:
            for _ in range(5):
                anyio.run(emit_one, nats_url, backend=backend)
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    threads = [threading.Thread(target=on, args=[name]) for name in ("asyncio", "trio") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_a_connection_on_trio_leaves_asyncio_as_it_is(nats_url: str) -> None:
    printed = run(
        """
anyio.run(main, backend="trio")
assert "trio_asyncio" in sys.modules
assert (asyncio.new_event_loop, asyncio.events.new_event_loop) == default

async def loop_class():
    return type(asyncio.get_running_loop()).__module__

print(asyncio.run(loop_class()))
anyio.run(main)
anyio.run(main, backend="trio")
""",
        nats_url,
    )
    assert printed == "asyncio.unix_events\n"


def test_on_asyncio_nothing_of_trio_is_imported(nats_url: str) -> None:
    run("anyio.run(main); assert not {'trio', 'trio_asyncio'} & set(sys.modules)", nats_url)


def test_an_application_that_uses_trio_asyncio_itself_keeps_it(nats_url: str) -> None:
    run(
        """
anyio.run(main, backend="trio")
assert (asyncio.new_event_loop, asyncio.events.new_event_loop) == default
""",
        nats_url,
        before="import trio_asyncio",
    )


def test_without_trio_asyncio_the_extra_is_named(nats_url: str) -> None:
    printed = run(
        """
try:
    anyio.run(main, backend="trio")
except RuntimeError as error:
    print(error)
anyio.run(main)
""",
        nats_url,
        before="sys.modules['trio_asyncio'] = None",
    )
    assert "pip install 'walnats-anyio[trio]'" in printed


def test_inside_an_asyncio_loop_of_the_applications_own_on_trio(nats_url: str) -> None:
    run(
        """
import trio, trio_asyncio

async def both():
    async with trio_asyncio.open_loop() as loop:
        await main()
        future = loop.create_future()
        loop.call_soon(future.set_result, "still works")
        print(await trio_asyncio.aio_as_trio(future))

trio.run(both)
""",
        nats_url,
    )
