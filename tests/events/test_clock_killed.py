"""Replicas of a clock that are killed and stopped at random moments, and servers that are killed.

It takes a minute, so it runs only where `WALNATS_CLOCK_SECONDS` says for how many seconds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from base64 import b64decode
from datetime import datetime
from pathlib import Path

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import keep
from walnats_anyio._events._server_ticks import tick_text
from walnats_anyio._link import Link, api, parse_headers
from walnats_anyio.testing import NatsCluster, NatsServer

SECONDS = float(os.environ.get("WALNATS_CLOCK_SECONDS", "0"))

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not SECONDS, reason="WALNATS_CLOCK_SECONDS says for how long it runs"),
    pytest.mark.timeout(SECONDS * 3 + 120),
]

ROOT = Path(__file__).parent.parent.parent

PERIOD = 0.5

REPLICA = f"""
import sys
from datetime import datetime
import anyio
import walnats_anyio as walnats

async def main():
    event = walnats.Event("ticks", datetime)
    async with walnats.Events(event).connect(sys.argv[1]) as conn:
        await walnats.Clock(event, period={PERIOD}, missed="once").run(conn)

anyio.run(main, backend=sys.argv[2])
"""

EVENT = walnats.Event("ticks", datetime)
EVENTS = walnats.Events(EVENT)


async def stored(link: Link, stream: str = "ticks") -> list[dict[str, str]]:
    """The messages of the event's stream: payload and headers."""
    state = (await api(link, f"STREAM.INFO.{stream}"))["state"]
    found: list[dict[str, str]] = []
    for number in range(max(state["first_seq"], 1), state["last_seq"] + 1):
        message = (await api(link, f"STREAM.MSG.GET.{stream}", {"seq": number}))["message"]
        headers = parse_headers(b64decode(message["hdrs"]))
        found.append(headers | {"payload": b64decode(message.get("data", "")).decode()})
    return found


async def near_a_tick(chance: random.Random, period: float) -> None:
    await anyio.sleep(period - time.time() % period + chance.uniform(-0.003, 0.015))


async def test_no_tick_of_replicas_is_doubled(nats_server: NatsServer, anyio_backend: str) -> None:
    chance = random.Random(1)
    command = [sys.executable, "-c", REPLICA, nats_server.url, anyio_backend]

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        replicas = [spawn() for _ in range(3)]
        try:
            end = time.monotonic() + SECONDS
            kill_server_at = time.monotonic() + SECONDS / 2
            while time.monotonic() < end:
                await near_a_tick(chance, PERIOD)
                one = chance.randrange(3)
                replicas[one].send_signal(chance.choice([signal.SIGKILL, signal.SIGSTOP]))
                await anyio.sleep(chance.uniform(0, 1))
                replicas[one].send_signal(signal.SIGCONT)
                if replicas[one].poll() is not None:
                    replicas[one] = spawn()
                if time.monotonic() > kill_server_at:
                    kill_server_at = end
                    nats_server.kill()
                    await nats_server.start()
            # What is left is emitted by whoever lives.
            await anyio.sleep(5)
        finally:
            for replica in replicas:
                replica.kill()
                replica.wait()
        ticks = [message["payload"] for message in await stored(conn._link)]
    print(f"{len(ticks)} ticks")
    assert len(ticks) > SECONDS / 10
    assert len(ticks) == len(set(ticks))
    assert ticks == sorted(ticks)


async def test_no_tick_of_the_server_is_doubled(nats_server: NatsServer) -> None:
    """None is lost either, but those while it was down."""
    chance = random.Random(1)
    down: list[tuple[float, float]] = []
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        await walnats.Clock(EVENT, period=1).register(conn)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await near_a_tick(chance, 1)
            began = time.time()
            nats_server.kill()
            await nats_server.start()
            # It looks for what is due four times a second.
            down.append((began - 0.25, time.time() + 0.5))
            await anyio.sleep(chance.uniform(1, 3))
        # The event's stream takes what is due again within ten seconds.
        await anyio.sleep(25)
        texts = [tick_text(message) for message in await stored(conn._link)]
    ticks = [datetime.fromisoformat(text.decode()).timestamp() for text in texts if text]
    print(f"{len(ticks)} ticks, {len(down)} kills")
    assert len(ticks) == len(texts) == len(set(ticks))
    missing = {float(tick) for tick in range(int(ticks[0]), int(ticks[-1]))} - set(ticks)
    assert all(any(begin <= tick <= end for begin, end in down) for tick in missing)


IN_CLUSTER = walnats.Event("ticks", datetime, replicas=3)
KEPT = walnats.Event("kept-ticks", datetime, replicas=3)


async def step_down(link: Link, cluster: NatsCluster, chance: random.Random) -> None:
    """Have another server lead one of the streams: by asking for that, or by killing the leader."""
    names = ("ticks", "kept-ticks", "walnats-clocks", "walnats-schedules")
    stream = chance.choice(names)
    if chance.random() < 0.5:
        await link.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", timeout=20)
        return
    server = await cluster.leader(stream=stream)
    server.kill()
    await anyio.sleep(chance.uniform(0, 3))
    await server.start()
    await cluster.wait_ready()


async def test_no_tick_is_doubled_in_a_cluster(anyio_backend: str) -> None:
    """Ticks of replicas, and ticks that the cluster keeps, while other servers lead the streams."""
    chance = random.Random(2)
    events = walnats.Events(IN_CLUSTER, KEPT)
    async with NatsCluster(3) as cluster, events.connect(cluster.urls) as conn:
        await conn.register()
        for stream in ("ticks", "kept-ticks"):
            config = {"durable_name": "keep", "ack_policy": "explicit", "num_replicas": 3}
            body = {"stream_name": stream, "config": config}
            await api(conn._link, f"CONSUMER.CREATE.{stream}.keep", body)
        await walnats.Clock(KEPT, period=1).register(conn)
        replica = REPLICA.replace("datetime)", "datetime, replicas=3)")
        url = ",".join(cluster.urls)
        program = replica.replace("sys.argv[1]", "sys.argv[1].split(',')")
        command = [sys.executable, "-c", program, url, anyio_backend]

        def spawn() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, cwd=ROOT)

        replicas = [spawn() for _ in range(3)]
        try:
            end, kills = time.monotonic() + SECONDS, 0
            while time.monotonic() < end:
                await near_a_tick(chance, PERIOD)
                await step_down(conn._link, cluster, chance)
                kills += 1
                await anyio.sleep(chance.uniform(3, 6))
            await anyio.sleep(25)
        finally:
            for each in replicas:
                each.kill()
                each.wait()
        emitted = [message["payload"] for message in await stored(conn._link)]
        kept = [tick_text(message) or b"" for message in await stored(conn._link, "kept-ticks")]
    for name, ticks, period in (
        ("replicas", emitted, PERIOD),
        ("the server", [tick.decode() for tick in kept], 1.0),
    ):
        times = [datetime.fromisoformat(tick).timestamp() for tick in ticks]
        due = round((times[-1] - times[0]) / period) + 1
        print(f"{name}: {len(ticks)} ticks of {due}, {kills} changes of leaders")
        assert len(ticks) == len(set(ticks))
        assert len(ticks) > due / 2
