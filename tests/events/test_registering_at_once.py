"""Many services that register at the same moment, not all of the same version.

Started together, each wants what it declares. Nobody fails, and what remains is the declaration of
the one that came last, as a whole. The suite has eight connections; with `WALNATS_HERD=1` there are
16 processes as well, on one server and on a cluster, which takes a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import js
from tests.support.answering import answering
from walnats_anyio._link import ensure_stream
from walnats_anyio.testing import NatsCluster, NatsServer

pytestmark = pytest.mark.anyio

EVENTS = 20

VERSIONS: list[dict[str, Any]] = [
    {"limits": walnats.Limits(messages=100, age=600), "dedup_window": 60},
    {"limits": walnats.Limits(messages=200, age=300), "dedup_window": 30},
]
"""What differs between two versions of one declaration."""

PROGRAM = """
import sys
import time
import anyio
import walnats_anyio as walnats
from tests.events.test_registering_at_once import actors_of, events_of

url, backend, version, replicas, start = sys.argv[1:]
events, actors = events_of(int(version), int(replicas)), actors_of(int(version), int(replicas))

async def main():
    async with events.connect(url.split(",")) as conn, actors.connect(conn) as workers:
        time.sleep(max(0, float(start) - time.time()))
        await conn.register()
        await workers.register()
        for event in events:
            await conn.emit(event, 1)

anyio.run(main, backend=backend)
"""


ANSWER = "io.nats.jetstream.api.v1.stream_info_response"

EMPTY = {"messages": 0, "bytes": 0}
"""The state of a stream that has nothing."""


async def nothing(message: int) -> None:
    """Handle an event."""


def events_of(version: int, replicas: int = 1) -> walnats.Events:
    """The events of a version of the program."""
    storage: Any = "memory" if replicas == 1 else "file"
    return walnats.Events(
        *(
            walnats.Event(
                f"herd.{number}", int, storage=storage, replicas=replicas, **VERSIONS[version]
            )
            for number in range(EVENTS)
        )
    )


def actors_of(version: int, replicas: int = 1) -> walnats.Actors:
    """The actors of a version of the program."""
    return walnats.Actors(
        *(
            walnats.Actor("look", cast("walnats.Event[int]", event), nothing, ack_wait=10 + version)
            for event in events_of(version, replicas)
        )
    )


async def check_that_one_has_won(server: NatsServer, replicas: int = 1) -> None:
    """Each stream is what one of the versions declares, and no mixture of both."""
    declared = [list(events_of(version, replicas)) for version in range(len(VERSIONS))]
    for events in zip(*declared, strict=True):
        config = (await js(server, f"STREAM.INFO.{events[0].stream_name}"))["config"]
        wanted = [event.stream_config() for event in events]
        found = {field: config.get(field) for field in wanted[0]}
        assert found in wanted


async def test_eight_services_of_two_versions(nats_server: NatsServer) -> None:
    async def serve(version: int) -> None:
        async with (
            events_of(version).connect(nats_server.url) as conn,
            actors_of(version).connect(conn) as workers,
        ):
            await conn.register()
            await workers.register()

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(serve, number % len(VERSIONS))
    await check_that_one_has_won(nats_server)
    # And a service that starts now finds nothing to do, or makes all of it its own.
    async with events_of(0).connect(nats_server.url) as conn:
        await conn.register()
        assert {entry.action for entry in await conn.plan()} == {"keep"}


async def test_a_name_in_use_whose_stream_cannot_be_looked_at_yet(nats_server: NatsServer) -> None:
    """As in a cluster, whose leader has taken a stream of another process and not made it yet."""
    event = walnats.Event("new", int)
    config = event.stream_config() | {"metadata": event.schema_metadata}
    there = {"type": ANSWER, "config": config, "state": EMPTY}

    def answer(body: dict[str, Any]) -> bytes:
        return json.dumps({"type": ANSWER} | body).encode()

    missing, in_use = ({"error": {"err_code": code, "code": 404}} for code in (10059, 10058))
    api, url = "elsewhere.STREAM", nats_server.url
    async with (
        answering(url, f"{api}.INFO.walnats-schedules", lambda _: answer(missing)),
        answering(url, f"{api}.INFO.new", lambda n: answer(missing if n < 4 else there)) as asked,
        answering(url, f"{api}.CREATE.new", lambda _: answer(in_use)) as created,
        walnats.Events(event).connect(url, js_prefix="elsewhere") as conn,
    ):
        (entry,) = await conn.register()
    assert entry.action == "keep"
    assert (len(asked), len(created)) == (4, 3)


@pytest.mark.parametrize("asked_for", ["an event", "a stream of the library"])
async def test_subjects_that_the_same_stream_of_another_process_has(
    nats_server: NatsServer, asked_for: str
) -> None:
    """Two who create it at the same moment: one hears that the subjects are taken, from 2.9."""
    event = walnats.Event("new", int)
    config = event.stream_config() | {"metadata": event.schema_metadata}
    there = {"type": ANSWER, "config": config, "state": EMPTY}
    taken: dict[str, Any] = {
        "error": {"err_code": 10065, "code": 400, "description": "subjects overlap"}
    }

    def answer(body: dict[str, Any]) -> bytes:
        return json.dumps({"type": ANSWER} | body).encode()

    missing: dict[str, Any] = {"error": {"err_code": 10059, "code": 404}}
    api, url = "elsewhere.STREAM", nats_server.url
    # The first time, the stream is there at the second look; the other time, it never is.
    looks: list[dict[str, Any]] = [missing, there, missing, missing]
    async with (
        answering(url, f"{api}.INFO.walnats-schedules", lambda _: answer(missing)),
        answering(url, f"{api}.NAMES", lambda _: answer({"streams": []})),
        answering(url, f"{api}.INFO.new", lambda number: answer(looks[number - 1])) as asked,
        answering(url, f"{api}.CREATE.new", lambda _: answer(taken)) as created,
        walnats.Events(event).connect(url, js_prefix="elsewhere") as conn,
    ):

        async def make() -> None:
            if asked_for == "an event":
                await conn.register()
            else:
                assert (await ensure_stream(conn._link, event.stream_config()))["name"] == "new"

        await make()
        with pytest.raises(walnats.WalnatsError, match="overlap"):
            await make()
    assert (len(asked), len(created)) == (4, 2)


HERD = pytest.mark.skipif(not os.environ.get("WALNATS_HERD"), reason="WALNATS_HERD is not set")


async def start_sixteen(urls: str, backend: str, replicas: int) -> None:
    # Importing takes the time that it takes with 16 processes on few cores.
    start = str(time.time() + 30)
    async with anyio.create_task_group() as tasks:
        for number in range(16):
            version = str(number % len(VERSIONS))
            command = [sys.executable, "-c", PROGRAM, urls, backend, version, str(replicas), start]
            tasks.start_soon(run, command)


async def run(command: list[str]) -> None:
    """Run one of them, and show what it said if it failed."""
    ended = await anyio.run_process(
        command, check=False, env={"PYTHONPATH": str(Path.cwd())}, stderr=subprocess.STDOUT
    )
    assert ended.returncode == 0, ended.stdout.decode()


@HERD
async def test_sixteen_processes(nats_server: NatsServer, anyio_backend_name: str) -> None:
    await start_sixteen(nats_server.url, anyio_backend_name, 1)
    await check_that_one_has_won(nats_server)


@HERD
async def test_sixteen_processes_in_a_cluster(
    nats_cluster: NatsCluster, anyio_backend_name: str
) -> None:
    await start_sixteen(",".join(nats_cluster.urls), anyio_backend_name, 3)
    await check_that_one_has_won(nats_cluster.servers[0], 3)
