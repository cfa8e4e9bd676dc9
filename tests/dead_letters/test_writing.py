"""Writing letters: what the stream keeps, and what happens when it cannot."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import anyio
import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import a_letter, office
from tests.link._probe import js
from walnats_anyio._link import Message, open_link, pub
from walnats_anyio.dead_letters._letter import STREAM
from walnats_anyio.dead_letters._stream import create_stream, stream_exists, write_letter
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

MAX_PAYLOAD = 1024 * 1024
"""What a server takes unless configured otherwise."""


# The stream


async def test_the_stream_is_made_once_and_left_as_it_is(nats_server: NatsServer) -> None:
    async with open_link(nats_server.url) as link:
        assert not await stream_exists(link)
        await create_stream(link, 1)
        assert await stream_exists(link)
        config = (await js(nats_server, f"STREAM.INFO.{STREAM}"))["config"]
        changed = config | {"max_age": 3600 * 10**9, "duplicate_window": 10**9}
        assert "error" not in await js(nats_server, f"STREAM.UPDATE.{STREAM}", changed)
        await create_stream(link, 1)
        kept = (await js(nats_server, f"STREAM.INFO.{STREAM}"))["config"]
    assert kept["max_age"] == 3600 * 10**9
    expected = {
        "name": "walnats-dead-letters",
        "subjects": ["walnats.dead.*.*.*"],
        "retention": "limits",
        "storage": "file",
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "max_age": 0,
        "num_replicas": 1,
    }
    assert {name: config[name] for name in expected} == expected
    assert config["description"]


async def test_many_may_make_the_stream_at_once(nats_url: str) -> None:
    limits = walnats.Limits(messages=1000)
    async with office(nats_url, stream=False) as desk:
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(create_stream, desk.link, 1)
                tasks.start_soon(partial(desk.dead.register, limits=limits))
        assert (await desk.config())["max_msgs"] == 1000


# What is kept


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"payload": b""},
        {"payload": bytes(range(256))},
        {"headers": {}},
        {"headers": {"a": "", "b": 'quo"ted: \\ \t', "c": "日本 \U0001f980"}},
        {"error_type": None, "error": "", "traceback": ""},
        {"error": "".join(map(chr, range(0x180))), "traceback": "\u2028\x85\r\n\x7f"},
        {"event": "größe.日本", "actor": "{a}"},
        {"reason": "died", "attempts": 0},
    ],
)
async def test_everything_arrives_as_it_was(nats_url: str, changes: dict[str, object]) -> None:
    letter = a_letter(**changes)
    async with office(nats_url) as desk:
        await desk.write(letter)
        [read] = [letter async for letter in desk.dead]
        assert read == letter
        assert read.number == 1
        assert await desk.dead.get(1) == letter


async def test_written_twice_it_is_kept_once(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter()
        await desk.write(letter, a_letter(), replace(letter, error="again"))
        assert [read.error async for read in desk.dead] == ["nothing left\nat all", "again"]
        assert await desk.dead.count() == 2


# Too large


async def test_a_large_letter_loses_its_traceback_first(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter(payload=b"x" * (MAX_PAYLOAD - 3_500), traceback="t" * 8_000)
        await desk.write(replace(letter, error="e" * 2_000))
        [read] = [letter async for letter in desk.dead]
    assert read.payload == letter.payload
    assert read.traceback == ""
    assert read.error == "e" * 2_000


@pytest.mark.parametrize("char", ["e", "ä", '"', "\U0001f980"])
async def test_then_it_loses_the_end_of_its_error(nats_url: str, char: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter(payload=b"x" * (MAX_PAYLOAD - 1_500), error=f"!{char * 1_999}")
        await desk.write(letter)
        [read] = [letter async for letter in desk.dead]
    assert read.payload == letter.payload
    assert letter.error.startswith(read.error)
    assert len(read.error) < 2_000
    if char == "e":
        # There is room for about 900 bytes; of characters that take more, less is kept than might.
        assert len(read.error) > 500


async def test_too_many_headers_cost_the_traceback_as_well(nats_url: str) -> None:
    async with office(nats_url) as desk:
        letter = a_letter(headers={"Long": "h" * 60_000}, traceback="t" * 8_000)
        await desk.write(letter)
        [read] = [letter async for letter in desk.dead]
    assert read.headers == letter.headers
    assert read.traceback == ""


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"payload": b"x" * (MAX_PAYLOAD - 100)}, str(MAX_PAYLOAD - 100)),
        ({"headers": {"Long": "h" * 65_400}}, "65535"),
    ],
)
async def test_too_large_all_the_same(nats_url: str, changes: dict[str, object], size: str) -> None:
    async with office(nats_url) as desk:
        with pytest.raises(walnats.ServerError, match=f"'shop.placed'.*too large.*{size}"):
            await desk.write(a_letter(**changes))
        # The connection has survived it.
        await desk.write(a_letter())
        assert await desk.dead.count() == 1


# Not taken


async def test_without_a_stream(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk:
        with pytest.raises(walnats.ServerError, match=r"'pack' was not stored: there is no stream"):
            await desk.write(a_letter())


async def test_the_stream_refuses_it(nats_server: NatsServer) -> None:
    async with office(nats_server.url) as desk:
        config = await desk.config() | {"max_msg_size": 100}
        assert "error" not in await js(nats_server, f"STREAM.UPDATE.{STREAM}", config)
        with pytest.raises(walnats.ServerError, match="not stored: message size exceeds") as caught:
            await desk.write(a_letter())
        assert caught.value.code == 10054


async def test_only_the_answer_of_a_stream_counts(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk, open_link(nats_url) as other:
        answers = itertools.cycle([b"OK", b"{}", b"[1]", b'"stream"'])

        def answer(message: Message) -> None:
            other.post(pub(message.reply, next(answers)))

        other.subscribe_to("walnats.dead.>", answer)
        await other.flush()

        async def write() -> None:
            with pytest.raises(walnats.ServerError, match="no acknowledgement within 5"):
                await desk.write(a_letter())

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(write)


async def test_a_restart_in_between(nats_server: NatsServer) -> None:
    async with office(nats_server.url) as desk:
        async with anyio.create_task_group() as tasks:
            nats_server.kill()
            tasks.start_soon(write_letter, desk.link, a_letter())
            await nats_server.restart()
        assert await desk.dead.count() == 1
