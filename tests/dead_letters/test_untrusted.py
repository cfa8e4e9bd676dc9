"""Letters that no actor wrote: they are seen, they do no harm, and the others go on."""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, Office, a_letter, office, register
from walnats_anyio._letters import STREAM, subject_of
from walnats_anyio._link import NO_PREFIXES, api
from walnats_anyio.dead_letters import (
    DeadLetter,
    LetterNotFoundError,
    RequeueError,
    UnreadableLetter,
    UnreadableLetterError,
)
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

PACK = walnats.Actor("pack", PLACED, print)

SUBJECT = "walnats.dead.shop-placed.pack.1-1767268800000000"


def record(**changes: Any) -> dict[str, Any]:
    """What the header of a letter holds."""
    return {
        "event": "shop.placed", "actor": "pack", "headers": {}, "reason": "exhausted",
        "error_type": None, "error": "", "traceback": "", "attempts": 1, "stream": "shop-placed",
        "seq_number": 1, "emitted_at": "2026-01-01T12:00:00Z", "died_at": "2026-01-01T12:00:00Z",
    } | changes  # fmt: skip


async def forge(
    desk: Office, header: bytes | dict[str, Any], *, payload: bytes = b"1", subject: str = SUBJECT
) -> None:
    """Store what no actor wrote."""
    value = header if isinstance(header, bytes) else msgspec.json.encode(header)
    block = b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % value
    answer = await desk.link.request(subject, payload, headers=block)
    assert b'"error"' not in answer.data, answer.data


# Forged: it can be read, and is not put back


@asynccontextmanager
async def forged(url: str, subject: str | None = None, **changes: Any) -> AsyncIterator[Office]:
    """A forged letter, beside an event and a stream that somebody holds dear."""
    await register(url, PACK)
    async with office(url) as desk:
        await api(desk.link, "STREAM.CREATE.precious", {"name": "precious", "subjects": ["gold"]})
        await desk.link.request("gold", b"a lot")
        written = record(**changes)
        where = f"walnats.dead.{written['stream']}.{written['actor']}.1-1767268800000000"
        await forge(desk, written, subject=subject or where)
        yield desk
        state = (await api(desk.link, "STREAM.INFO.precious"))["state"]
        assert state["messages"] == 1
        assert await desk.emitted(PLACED) == []


PURGE = "$JS.API.STREAM.PURGE.precious"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"event": PURGE}, r"starts with '\$'"),
        ({"event": PURGE, "stream": "precious"}, r"starts with '\$'"),
        ({"event": f"a\r\nPUB {PURGE} 0\r\n\r\n"}, r"contains '\\r'"),
        ({"event": f"{PURGE} 0\r\n\r\n"}, "contains ' '"),
        ({"event": "_INBOX.somebody"}, "_INBOX"),
        ({"event": "gold"}, "event 'gold' has stream 'gold', and the letter says 'shop-placed'"),
        ({"event": "gold", "stream": "precious"}, "has stream 'gold', and the letter says 'precio"),
        ({"event": "precious", "stream": "precious"}, "does not take 'precious', but 'gold'"),
        ({"event": "shop-placed"}, "does not take 'shop-placed', but 'shop.placed'"),
        ({"event": "walnats.dead.letters", "stream": "walnats-dead-letters"}, "keeps for itself"),
        ({"event": "walnats.dead-letters", "stream": "walnats-dead-letters"}, "keeps for itself"),
        ({"event": "nowhere", "stream": "nowhere"}, "there is no stream 'nowhere'"),
        ({"event": ""}, "is empty"),
        ({"actor": "nobody"}, "event 'shop.placed' has no actor 'nobody' on the server"),
        ({"headers": {"a": f"\r\n\r\nPUB {PURGE} 0\r\n"}}, "header 'a' contains a line break"),
        ({"headers": {"a\r\nb": "c"}}, "header name"),
        ({"headers": {"a: b\n": "c"}}, "header name"),
        ({"headers": {"": "c"}}, "header name"),
        ({"headers": {"a": "b\x00"}}, "control character"),
        ({"event": "x" * 300, "stream": "shop-placed"}, "300 bytes long"),
    ],
)
async def test_a_forged_letter_is_refused(
    nats_url: str, changes: dict[str, Any], told: str
) -> None:
    async with forged(nats_url, **changes) as desk:
        [letter] = [letter async for letter in desk.dead]
        with pytest.raises(RequeueError, match=rf"(?s)^dead letter 1 cannot .* kept: .*{told}"):
            await desk.dead.requeue(letter)
        assert await desk.dead.count() == 1
        await desk.dead.discard(letter)
        assert await desk.dead.count() == 0


async def test_names_that_are_put_in_by_hand_are_checked_as_well(nats_url: str) -> None:
    async with forged(nats_url) as desk:
        [letter] = [letter async for letter in desk.dead]
        with pytest.raises(RequeueError, match=r"starts with '\$'"):
            await desk.dead.requeue(replace(letter, event=PURGE))
        with pytest.raises(RequeueError, match="must be a str"):
            await desk.dead.requeue(replace(letter, event=b"shop.placed"))  # type: ignore[arg-type]  # that is refused
        with pytest.raises(TypeError, match="must be bytes, not str"):
            await desk.dead.requeue(replace(letter, payload="1"))  # type: ignore[arg-type]  # that is refused
        with pytest.raises(ValueError, match="must have a time zone"):
            await desk.dead.requeue(replace(letter, emitted_at=datetime(2026, 1, 1)))  # noqa: DTZ001 - that is refused
        with pytest.raises(LetterNotFoundError):
            await desk.dead.requeue(replace(letter, stream="precious"))
        assert await desk.dead.count() == 1


async def test_nobody_is_answered_where_a_letter_says(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(a_letter(headers={"Walnats-Reply": PURGE, "Shop": "1"}))
        await desk.dead.requeue(await desk.dead.get(1))
        [message] = await desk.emitted(PLACED)
        block = b64decode(message["hdrs"])
        assert b"Shop: 1" in block
        assert b"eply" not in block


async def test_a_letter_whose_subject_means_many_takes_no_other_with_it(nats_url: str) -> None:
    async with office(nats_url) as desk:
        one, two = a_letter(), a_letter(actor="send")
        await desk.write(one, two)
        wild = a_letter(actor="*", seq_number=one.seq_number)
        await forge(desk, b"{}", subject=subject_of(wild, NO_PREFIXES))
        with pytest.raises(LetterNotFoundError):
            await desk.dead.discard(wild)
        [unreadable] = [letter async for letter in desk.dead.unreadable()]
        await desk.dead.discard(unreadable)
        assert [letter async for letter in desk.dead] == [one, two]


# Unreadable: it is seen, shown as it is, and discarded


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no json": lambda: b"what?",
    "not all": lambda: b"{}",
    "deep": lambda: b'{"event":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep elsewhere": lambda: b'{"more":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "naive died_at": lambda: msgspec.json.encode(record(died_at="2026-01-01T12:00:00")),
    "naive emitted_at": lambda: msgspec.json.encode(record(emitted_at="2026-01-01T12:00:00")),
    "a date that is none": lambda: msgspec.json.encode(record(died_at="2026-02-31T12:00:00Z")),
    "the first date": lambda: msgspec.json.encode(record(emitted_at="0001-01-01T00:00:00+23:59")),
    "the last date": lambda: msgspec.json.encode(record(emitted_at="9999-12-31T23:59:59-23:59")),
    "no utf8": lambda: b'{"event": "\xff\xfe"}',
    "half a surrogate": lambda: b'{"event": "\\ud800"}',
    "base64": lambda: b64encode(msgspec.json.encode(record())),
    "headers of another type": lambda: msgspec.json.encode(record(headers={"a": ["b"]})),
    "below zero": lambda: msgspec.json.encode(record(attempts=-1)),
    "beyond count": lambda: msgspec.json.encode(record()).replace(
        b'"seq_number":1', b'"seq_number":1' + b"0" * 5_000
    ),
    "parts that are not there": lambda: msgspec.json.encode(record(parts=1_000)),
    "too many parts": lambda: msgspec.json.encode(record(parts=10**9)),
    "another's": lambda: msgspec.json.encode(record(actor="send")),
    "zeros": lambda: bytes(100),
}


@pytest.mark.parametrize("made", UNREADABLE.values(), ids=UNREADABLE)
async def test_one_that_cannot_be_read_stops_nobody(
    nats_url: str, made: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        first, last = a_letter(), a_letter()
        await desk.write(first)
        await forge(desk, made(), payload=b"\x00raw\xff")
        await desk.write(last)
        since = datetime.now(UTC) - timedelta(minutes=1)
        with caplog.at_level(logging.WARNING, "walnats_anyio.dead_letters"):
            assert [letter async for letter in desk.dead] == [first, last]
            assert [one async for one in desk.dead.letters(until=since)] == [first, last]
            assert await desk.dead.count(reason="exhausted") == 2
        assert "message 2 of stream 'walnats-dead-letters'" in caplog.text
        [unreadable] = [letter async for letter in desk.dead.unreadable()]
        assert (unreadable.number, unreadable.subject) == (2, SUBJECT)
        assert unreadable.headers == b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % made()
        assert (unreadable.payload, bool(unreadable.problem)) == (b"\x00raw\xff", True)
        assert abs(unreadable.stored_at - datetime.now(UTC)) < timedelta(minutes=1)
        with pytest.raises(
            UnreadableLetterError, match=r"message 2 of .* no dead letter"
        ) as caught:
            await desk.dead.get(2)
        assert caught.value.letter == unreadable
        with pytest.raises(RequeueError, match=r"dead letter 2 cannot be .* it cannot be read: "):
            await desk.dead.requeue(unreadable)
        await desk.dead.discard(2)
        async for letter in desk.dead:
            await desk.dead.requeue(letter)
        assert await desk.dead.count() == 0
        assert len(await desk.emitted(PLACED)) == 2


async def test_some_that_cannot_be_read(nats_url: str) -> None:
    async with office(nats_url) as desk:
        for event, actor in (("shop-placed", "pack"), ("shop-placed", "send"), ("paid", "pack")):
            await forge(desk, b"{", subject=f"walnats.dead.{event}.{actor}.1-1")
        await desk.write(a_letter())

        async def numbers(**filters: Any) -> list[int]:
            return [letter.number async for letter in desk.dead.unreadable(**filters)]

        assert await numbers() == [1, 2, 3]
        assert await numbers(event=PLACED) == [1, 2]
        assert await numbers(actor="pack") == [1, 3]
        assert await numbers(actor=PACK) == [1]
        assert await desk.dead.count() == 4
        with pytest.raises(ValueError, match="wildcard"):
            desk.dead.unreadable(event="*")


async def test_both_kinds_at_once(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.write(a_letter(reason="rejected", died_at=datetime.now(UTC)))
        await forge(desk, b"{", subject="walnats.dead.shop-placed.send.1-1")
        await desk.write(a_letter())

        async def numbers(**filters: Any) -> list[int]:
            found = [letter.number async for letter in desk.dead.stored(**filters)]
            assert await desk.dead.count(**filters) == len(found)
            return found

        assert await numbers() == [1, 2, 3]
        assert await numbers(event=PLACED, actor="send") == [2]
        assert await numbers(reason="rejected") == [1]
        an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
        assert await numbers(since=an_hour_ago) == [1, 2]
        assert await numbers(until=an_hour_ago) == [3]
        with pytest.raises(ValueError, match="wildcard"):
            desk.dead.stored(event="*")


async def test_discarded_by_number_or_as_it_is(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter())
        await forge(desk, b"{", subject=SUBJECT)
        [unreadable] = [letter async for letter in desk.dead.unreadable()]
        await desk.dead.discard(1)
        await desk.dead.discard(unreadable)
        for gone in (1, 3, 4, unreadable):
            with pytest.raises(LetterNotFoundError, match=r"no dead letter . any more"):
                await desk.dead.discard(gone)
        with pytest.raises(ValueError, match="at least 1, not 0"):
            await desk.dead.discard(0)
        assert [letter.number async for letter in desk.dead] == [2]


async def test_a_number_of_a_stream_that_was_made_anew(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await forge(desk, b"{", subject=SUBJECT)
        [unreadable] = [letter async for letter in desk.dead.unreadable()]
        await api(desk.link, f"STREAM.DELETE.{STREAM}")
        await desk.dead.register()
        await desk.write(a_letter())
        with pytest.raises(LetterNotFoundError):
            await desk.dead.discard(unreadable)
        assert [letter.number async for letter in desk.dead] == [1]


async def test_a_part_of_a_payload_is_no_letter(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.write(a_letter(payload=bytes(1024 * 1024)))
        assert [letter.number async for letter in desk.dead] == [2]
        assert [letter async for letter in desk.dead.unreadable()] == []
        for act in (desk.dead.get, desk.dead.discard):
            with pytest.raises(LetterNotFoundError, match="no dead letter 1"):
                await act(1)
        await desk.dead.discard(2)


# At random


words = st.text(max_size=20) | st.sampled_from(
    [
        "shop.placed",
        "pack",
        "shop-placed",
        "*",
        ">",
        PURGE,
        "a.b",
        "precious",
        "walnats-dead-letters",
    ]
)
moments = st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat)
values: Any = st.recursive(
    words | moments | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
changes = st.dictionaries(st.sampled_from([*record(), "cut", "parts"]), values, max_size=4)
names = st.fixed_dictionaries(
    {},
    optional={
        "event": words,
        "actor": words,
        "stream": words,
        "headers": st.dictionaries(words, words),
    },
)
tokens = st.sampled_from(["shop-placed", "pack", "precious", "*", "a"])
stored_headers = (
    (changes | names).map(lambda some: msgspec.json.encode(record(**some)))
    | st.binary(max_size=200).filter(lambda some: not set(some) & {10, 13})
)  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Any:
    with NatsServer() as server:
        yield server.url


@pytest.fixture
async def desk(shared: str) -> AsyncIterator[Office]:
    await register(shared, PACK)
    async with office(shared) as opened:
        await api(opened.link, "STREAM.CREATE.precious", {"name": "precious", "subjects": ["gold"]})
        yield opened


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    header=stored_headers,
    stream=tokens,
    actor=tokens,
    identity=st.sampled_from(["1-1767268800000000", "*", "1"]),
    payload=st.binary(max_size=50),
)
async def test_whatever_is_stored(
    desk: Office, header: bytes, stream: str, actor: str, identity: str, payload: bytes
) -> None:
    good = a_letter()
    await desk.write(good)
    subject = f"walnats.dead.{stream}.{actor}.{identity}"
    block = b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % header
    answer = await desk.link.request(subject, payload, headers=block)
    if b'"error"' in answer.data:
        return
    read: list[DeadLetter | UnreadableLetter] = [letter async for letter in desk.dead]
    assert read[0] == good
    assert len(read) <= 2
    unreadable = [letter async for letter in desk.dead.unreadable()]
    assert len(read) + len(unreadable) == 2
    strange = (read[1:] + unreadable)[0]
    assert (strange.payload, await desk.dead.count()) == (payload, 2)
    before = len(await desk.emitted(PLACED))
    try:
        await desk.dead.requeue(strange)
    except RequeueError:
        assert len(await desk.emitted(PLACED)) == before
        await desk.dead.discard(strange)
    else:
        assert isinstance(strange, DeadLetter)
        assert (strange.event, strange.actor) == ("shop.placed", "pack")
        assert len(await desk.emitted(PLACED)) in (before, before + 1)
    assert [letter async for letter in desk.dead] == [good]
    await desk.dead.discard(good)
    assert await desk.dead.count() == 0
