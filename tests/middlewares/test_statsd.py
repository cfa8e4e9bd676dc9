"""Metrics for StatsD: the lines that its server gets."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest
from datadog.dogstatsd.base import DogStatsd

from tests.actors._stage import running
from tests.middlewares._receivers import UdpReceiver
from tests.support.waiting import until
from walnats_anyio import Actor, Event
from walnats_anyio.middlewares import StatsdMiddleware

pytestmark = pytest.mark.anyio


@pytest.fixture
def statsd() -> Iterator[UdpReceiver]:
    receiver = UdpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def client(statsd: UdpReceiver) -> Iterator[DogStatsd]:
    client = DogStatsd("127.0.0.1", statsd.port, disable_telemetry=True, disable_buffering=True)
    yield client
    client.stop()
    client.close_socket()


async def handle(message: int) -> None:
    if message == 2:
        raise ValueError


def without_values(lines: list[str]) -> list[str]:
    """What was sent, without the seconds of a histogram."""
    return sorted(re.sub(r":[\d.e-]+\|h", ":N|h", line) for line in lines)


async def test_event_and_actor_are_in_the_names(
    url: str, event: Event[int], statsd: UdpReceiver, client: DogStatsd
) -> None:
    actor = Actor("a", event, handle, middlewares=(StatsdMiddleware(client),), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
        await until(lambda: len(statsd.lines) == 5)
    place = f"walnats.{event.name}.a"
    assert without_values(statsd.lines) == [
        f"{place}.duration:N|h",
        f"{place}.failed:1|c",
        f"{place}.processed:1|c",
        f"{place}.started:1|c",
        f"{place}.started:1|c",
    ]
    (line,) = [line for line in statsd.lines if ".duration:" in line]
    assert 0 <= float(line.partition(":")[2].removesuffix("|h")) < 30


async def test_event_and_actor_can_be_tags(
    url: str, event: Event[int], statsd: UdpReceiver, client: DogStatsd
) -> None:
    middleware = StatsdMiddleware(client, tags=True)
    actor = Actor("a", event, handle, middlewares=(middleware,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        await until(lambda: len(statsd.lines) == 3)
    tags = f"|#event:{event.name},actor:a"
    assert without_values(statsd.lines) == [
        f"walnats.duration:N|h{tags}",
        f"walnats.processed:1|c{tags}",
        f"walnats.started:1|c{tags}",
    ]


async def test_a_name_cannot_break_a_line(url: str, statsd: UdpReceiver, client: DogStatsd) -> None:
    event = Event(f"a:1|c.{secrets.token_hex(6)}", int, storage="memory")
    actor = Actor("x|#y:z@1", event, handle, middlewares=(StatsdMiddleware(client),))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        await until(lambda: len(statsd.lines) == 3)
    place = f"walnats.{event.name.replace(':1|c', '_1_c')}.x__y_z_1"
    assert f"{place}.started:1|c" in statsd.lines


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="client must be of DogStatsd, not 'mine'"):
        StatsdMiddleware("mine")  # type: ignore[arg-type]  # the test is about it
