"""Writing letters: what the stream keeps, and what happens when it cannot."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from functools import partial

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._stage import running
from tests.dead_letters._office import a_letter, office
from tests.link._probe import js
from walnats_anyio._letters import STREAM, create_stream, write_letter
from walnats_anyio._link import Message, api, open_link, pub, stream_config
from walnats_anyio.dead_letters import DeadLetter
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

MAX_PAYLOAD = 1024 * 1024
"""What a server takes unless configured otherwise."""


# The stream


async def test_the_stream_is_made_once_and_left_as_it_is(nats_server: NatsServer) -> None:
    async with open_link(nats_server.url) as link:
        assert await stream_config(link, STREAM) is None
        await create_stream(link, 1)
        config = (await js(nats_server, f"STREAM.INFO.{STREAM}"))["config"]
        changed = config | {"max_age": 3600 * 10**9, "duplicate_window": 10**9}
        assert "error" not in await js(nats_server, f"STREAM.UPDATE.{STREAM}", changed)
        await create_stream(link, 1)
        kept = (await js(nats_server, f"STREAM.INFO.{STREAM}"))["config"]
    assert kept["max_age"] == 3600 * 10**9
    expected = {
        "name": "walnats-dead-letters",
        "subjects": ["walnats.dead.*.*.*", "walnats.dead.*.*.*.*"],
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


async def stored(url: str, letter: DeadLetter) -> DeadLetter:
    """Write a letter, and read it as it is kept."""
    async with office(url) as desk:
        await desk.write(letter)
        [read] = [letter async for letter in desk.dead]
        assert await desk.dead.get(read.number) == read
        assert await desk.dead.count() == 1
    assert read.payload == letter.payload
    return read


async def test_a_large_letter_loses_the_start_of_its_traceback_first(nats_url: str) -> None:
    traceback = "".join(f"line {number}\n" for number in range(900))
    payload, error = b"x" * (MAX_PAYLOAD - 3_500), "e" * 2_000
    letter = a_letter(payload=payload, traceback=traceback, error=error)
    read = await stored(nats_url, letter)
    assert read.cut == ("traceback",)
    assert read.traceback.startswith("[...]\n")
    assert traceback.endswith(read.traceback.removeprefix("[...]\n"))
    assert 300 < len(read.traceback) < 1_500
    assert (read.error, read.headers, read.parts) == (error, letter.headers, 0)


@pytest.mark.parametrize("char", ["e", "ä", '"', "\U0001f980"])
async def test_then_it_loses_the_end_of_its_error(nats_url: str, char: str) -> None:
    payload = b"x" * (MAX_PAYLOAD - 1_500)
    letter = a_letter(payload=payload, error=f"!{char * 1_999}", traceback="t" * 100)
    read = await stored(nats_url, letter)
    assert (read.traceback, read.cut, read.parts) == ("", ("traceback", "error"), 0)
    assert letter.error.startswith(read.error.removesuffix("[...]"))
    assert read.headers == letter.headers
    # There is room for about 900 bytes, and all of it is used.
    assert 600 < len(json.dumps(read.error, ensure_ascii=False).encode()) < 1_200


async def test_too_many_headers_cost_the_traceback_as_well(nats_url: str) -> None:
    letter = a_letter(headers={"Long": "h" * 60_000}, traceback="t" * 8_000)
    read = await stored(nats_url, letter)
    assert (read.headers, read.cut) == (letter.headers, ("traceback",))
    assert 4_000 < len(read.traceback) < 8_000


@pytest.mark.parametrize("size", [MAX_PAYLOAD, MAX_PAYLOAD - 100])
async def test_a_payload_without_room_for_the_rest_is_kept_apart(nats_url: str, size: int) -> None:
    letter = a_letter(payload=bytes(i % 251 for i in range(size)), traceback="t" * 8_000)
    read = await stored(nats_url, letter)
    assert read == letter
    assert (read.parts, read.cut) == (1, ())


async def test_the_headers_of_the_event_are_cut_where_they_alone_are_too_large(
    nats_url: str,
) -> None:
    # As JSON each of these characters takes six bytes.
    headers = {"Trace": "t-1", "Long": '"' * 20_000, "Longer": "\x01" * 12_000}
    read = await stored(nats_url, a_letter(headers=headers))
    assert read.headers == {"Trace": "t-1", "Long": '"' * 20_000}
    assert read.cut == ("headers",)
    assert read.error
    assert read.traceback


@pytest.mark.parametrize("size", [5, MAX_PAYLOAD - 20])
async def test_many_headers(nats_url: str, size: int) -> None:
    headers = {f"H{number}": "\x01" * 2 for number in range(5_000)}
    read = await stored(nats_url, a_letter(headers=headers, payload=b"p" * size))
    assert headers.items() > read.headers.items()
    assert len(read.headers) > 1_000
    assert "headers" in read.cut


async def test_a_payload_that_the_server_takes_no_more() -> None:
    with NatsServer(config={"max_payload": 2_000}) as server:
        letter = a_letter(payload=bytes(i % 251 for i in range(7_000)))
        read = await stored(server.url, letter)
        assert (read, read.parts) == (letter, 4)
        async with office(server.url) as desk:
            await desk.dead.discard(read)
            # Nothing is left of it.
            state = (await api(desk.link, f"STREAM.INFO.{STREAM}"))["state"]
            assert state["messages"] == 0


async def test_a_server_that_takes_no_letter_at_all() -> None:
    with NatsServer(config={"max_payload": 200}) as server:
        async with office(server.url, stream=False) as desk:
            with pytest.raises(walnats.ServerError, match=r"'pack' was not stored: .* 200 bytes"):
                await desk.write(a_letter())


async def test_a_part_of_a_payload_that_is_gone(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.write(a_letter(payload=b"x" * MAX_PAYLOAD), a_letter())
        await api(desk.link, f"STREAM.MSG.DELETE.{STREAM}", {"seq": 1})
        assert [letter.number async for letter in desk.dead] == [3]
        [unreadable] = [letter async for letter in desk.dead.unreadable()]
        assert unreadable.number == 2
        assert "part 1 of 1 of its payload is gone" in unreadable.problem


async def test_an_actor_gives_up_the_largest_event_there_is(nats_url: str) -> None:
    event = walnats.Event("large", bytes)

    async def handle(message: bytes) -> None:
        raise walnats.Reject("too much")

    reject = walnats.Actor("reject", event, handle)
    async with running(nats_url, reject) as staged, office(nats_url) as desk:
        await staged.events.emit(event, bytes(MAX_PAYLOAD), sync=True)
        await staged.until_done(reject)
        [letter] = [letter async for letter in desk.dead]
    assert letter.payload == bytes(MAX_PAYLOAD)
    assert (letter.reason, letter.error) == ("rejected", "too much")


class Unspeakable(Exception):
    """One that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize("wrapped", [False, True])
async def test_an_actor_gives_up_for_an_exception_that_cannot_be_shown(
    nats_url: str, wrapped: bool
) -> None:
    event = walnats.Event("shown", int)

    async def handle(message: int) -> None:
        raise ExceptionGroup("some", [Unspeakable()]) if wrapped else Unspeakable()

    show = walnats.Actor("show", event, handle, max_attempts=1)
    async with running(nats_url, show) as staged, office(nats_url) as desk:
        await staged.emit(1)
        await staged.until_done(show)
        [letter] = [letter async for letter in desk.dead]
    assert (letter.reason, letter.payload) == ("exhausted", b"1")
    assert "in handle" in letter.traceback
    if not wrapped:
        assert letter.error_type == f"{__name__}.Unspeakable"
        assert letter.error == "(its message could not be made)"


# A letter and its place


async def test_two_letters_a_microsecond_apart_are_both_kept(nats_url: str) -> None:
    letter = a_letter()
    # The same number of a stream that was made anew.
    later = replace(letter, emitted_at=letter.emitted_at + timedelta(microseconds=1))
    async with office(nats_url) as desk:
        await desk.write(letter, later)
        assert [read async for read in desk.dead] == [letter, later]


async def test_a_letter_of_an_older_version_is_read(nats_url: str) -> None:
    old = (
        b'{"event":"shop.placed","actor":"pack","headers":{"Shop":"1"},"reason":"exhausted",'
        b'"error_type":"walnats_anyio._actors.declare._choices.Retry","error":"e","traceback":"t",'
        b'"attempts":3,"stream":"shop-placed","seq_number":7,'
        b'"emitted_at":"2026-01-01T12:00:00.123456Z","died_at":"2026-01-01T12:01:00Z"}'
    )
    headers = b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % old
    async with office(nats_url) as desk:
        subject = "walnats.dead.shop-placed.pack.7-1767268800123456"
        await desk.link.request(subject, b"17", headers=headers)
        [letter] = [letter async for letter in desk.dead]
    assert (letter.event, letter.actor, letter.payload, letter.seq_number) == (
        "shop.placed", "pack", b"17", 7,
    )  # fmt: skip
    assert (letter.cut, letter.parts) == ((), 0)


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
