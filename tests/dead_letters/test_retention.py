"""How long and how many dead letters are kept."""

from __future__ import annotations

from typing import Any

import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, a_letter, office, register
from tests.support.waiting import until
from walnats_anyio._letters import STREAM, new_config
from walnats_anyio._link import NO_PREFIXES, api
from walnats_anyio.testing import NatsCluster

pytestmark = pytest.mark.anyio

SECOND = 10**9

NONE = {"max_age": 0, "max_msgs": -1, "max_bytes": -1}


async def test_the_stream_is_made(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk:
        await desk.dead.register()
        assert (await desk.config()).items() >= NONE.items()
        await desk.write(a_letter())
        assert await desk.dead.count() == 1


async def test_the_stream_is_made_with_limits(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk:
        await desk.dead.register(limits=walnats.Limits(age=60, messages=5, bytes=100_000))
        config = await desk.config()
        expected = {"max_age": 60 * SECOND, "max_msgs": 5, "max_bytes": 100_000}
        assert {name: config[name] for name in expected} == expected


async def test_limits_are_set_left_and_taken_away(nats_url: str) -> None:
    async with office(nats_url) as desk:
        limits = walnats.Limits(age=0.5 * 3600, messages=100, bytes=10**6)
        expected = {"max_age": 1800 * SECOND, "max_msgs": 100, "max_bytes": 10**6}
        for _ in range(2):
            await desk.dead.register(limits=limits)
            await desk.dead.register()
            config = await desk.config()
            assert {name: config[name] for name in expected} == expected
        # A short one, and back: the server ties its window for ids to it.
        await desk.dead.register(limits=walnats.Limits(age=1))
        assert (await desk.config())["max_age"] == SECOND
        await desk.dead.register(limits=walnats.Limits())
        config = await desk.config()
        assert {name: config[name] for name in NONE} == NONE
        assert config["description"]
        assert config["max_msgs_per_subject"] == 1


async def test_at_a_limit_the_oldest_go(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letters = [a_letter() for _ in range(4)]
        await desk.write(*letters[:3])
        await desk.dead.register(limits=walnats.Limits(messages=2))
        await desk.write(letters[3])
        assert [letter async for letter in desk.dead] == letters[2:]


async def test_old_letters_go(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.dead.register(limits=walnats.Limits(age=0.2))
        await desk.write(a_letter())

        async def gone() -> bool:
            return await desk.dead.count() == 0

        await until(gone)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"limits": walnats.Limits(message_size=1000)}, ValueError, r"message_size \(1000\) is no"),
        ({"limits": walnats.Limits(consumers=1)}, ValueError, r"consumers \(1\) is no limit"),
        ({"limits": 3}, TypeError, "limits must be a Limits or None, not 3"),
        ({"replicas": 0}, ValueError, "replicas must be 1 to 5, not 0"),
        ({"replicas": 6}, ValueError, "replicas must be 1 to 5, not 6"),
        ({"replicas": True}, TypeError, "replicas must be an int or None"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    nats_url: str, arguments: dict[str, Any], error: type[Exception], told: str
) -> None:
    async with office(nats_url, stream=False) as desk:
        with pytest.raises(error, match=told):
            await desk.dead.register(**arguments)
        assert await desk.dead.count() == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_the_server_refuses_it(nats_url: str, stream: bool) -> None:
    async with office(nats_url, stream=stream) as desk:
        with pytest.raises(walnats.StreamConfigError, match="refuses stream 'walnats-dead-letters"):
            await desk.dead.register(replicas=3)


async def test_replicas(nats_cluster: NatsCluster) -> None:
    async with office(nats_cluster.urls[0], stream=False) as desk:
        await desk.dead.register(replicas=3)
        await desk.dead.register(limits=walnats.Limits(messages=5))
        assert (await desk.config())["num_replicas"] == 3
        await desk.write(a_letter())
        assert await desk.dead.count() == 1


async def test_replicas_are_raised_with_those_of_the_events(nats_cluster: NatsCluster) -> None:
    url = nats_cluster.urls[0]
    placed = {count: walnats.Event(f"placed-{count}", int, replicas=count) for count in (1, 2, 3)}

    async def replicas() -> tuple[int, int]:
        notes = await api(desk.link, "STREAM.INFO.walnats-attempts")
        return (await desk.config())["num_replicas"], notes["config"]["num_replicas"]

    async with office(url, stream=False) as desk:
        for expected, needed in ((1, 1), (3, 3), (3, 2), (3, 1)):
            await register(url, walnats.Actor("pack", placed[needed], print))
            assert await replicas() == (expected, expected)
            # What somebody has set meanwhile is left as it is.
            await desk.dead.register(limits=walnats.Limits(messages=5))
        assert (await desk.config())["max_msgs"] == 5
        await desk.dead.register(replicas=1)
        assert (await desk.config())["num_replicas"] == 1


@pytest.mark.parametrize("by", ["actors", "hand"])
async def test_a_stream_of_an_older_version_takes_large_letters_as_well(
    nats_url: str, by: str
) -> None:
    async with office(nats_url, stream=False) as desk:
        older = new_config(1, NO_PREFIXES) | {"subjects": ["walnats.dead.*.*.*"], "max_msgs": 100}
        await api(desk.link, f"STREAM.CREATE.{STREAM}", older)
        large = a_letter(payload=bytes(1024 * 1024))
        with pytest.raises(walnats.ServerError, match="there is no stream that takes it"):
            await desk.write(large)
        if by == "hand":
            await desk.dead.register()
        else:
            await register(nats_url, walnats.Actor("pack", PLACED, print))
        await desk.write(large)
        assert await desk.dead.get(2) == large
        assert (await desk.config())["max_msgs"] == 100
