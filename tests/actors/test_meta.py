"""What goes with an event, headers and CloudEvents, from whoever emits it to its actors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio.to_thread
import pytest

from tests.actors._stage import Stage, letters_of, running
from tests.support.waiting import until
from walnats_anyio import Actor, CloudEvent, Event, Events, current_context
from walnats_anyio._events._structured import STRUCTURED
from walnats_anyio._link import pub
from walnats_anyio.middlewares import Context, EmitContext, EmitMiddleware, Middleware
from walnats_anyio.serializers import GZipSerializer
from walnats_anyio.testing import record, run_job

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

MODES = ["binary", "structured"]


def ordered(number: int = 1, **changes: Any) -> CloudEvent:
    return replace(
        CloudEvent(f"ä {number}", "/shop", "com.shop.ordered", subject="100 %", time=AT), **changes
    )


class Reader:
    """A handler that notes what it is told of each message."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, dict[str, str], CloudEvent | str | None]] = []

    async def __call__(self, message: Any) -> None:
        context = current_context()
        told: CloudEvent | str | None
        try:
            told = context.cloud_event
        except ValueError as error:
            told = str(error)
        self.seen.append((message, context.meta, told))

    async def come(self, count: int) -> None:
        await until(lambda: len(self.seen) >= count)


def actor_of(event: Event[Any], handler: Any = print) -> Actor[Any, Any]:
    return Actor("reader", event, handler, max_attempts=1, max_jobs=1)


@asynccontextmanager
async def reading(url: str, event: Event[Any]) -> AsyncIterator[tuple[Stage, Reader]]:
    reader = Reader()
    async with running(url, actor_of(event, reader)) as on:
        yield on, reader


async def test_headers_that_are_not_the_librarys_own(url: str, event: Event[int]) -> None:
    async with reading(url, event) as (on, reader):
        meta = {"Tenant": "kim", "walnats": "a", "Natsu": "b"}
        await on.events.emit(event, 1, uid="u", trace_id="t", meta=meta)
        await on.events.emit(event, 2)
        await reader.come(2)
    assert reader.seen == [(1, meta, None), (2, {}, None)]


@pytest.mark.parametrize("mode", MODES)
async def test_a_cloud_event_arrives(url: str, event: Event[int], mode: Any) -> None:
    sent = ordered(mode=mode, extensions={"flag": "yes"})
    async with reading(url, event) as (on, reader):
        await on.events.emit(event, 7, meta=sent)
        await reader.come(1)
        [(message, meta, told)] = reader.seen
        assert (message, told) == (7, sent)
        assert isinstance(told, CloudEvent)
        assert told.mode == mode
        assert meta == (sent.as_headers() if mode == "binary" else {"Content-Type": STRUCTURED})


@pytest.mark.parametrize("mode", MODES)
async def test_a_cloud_event_of_what_is_no_json(url: str, event: Event[int], mode: Any) -> None:
    zipped = Event(event.name, int, GZipSerializer(int), storage="memory")
    async with reading(url, zipped) as (on, reader):
        await on.events.emit(zipped, 7, meta=ordered(mode=mode))
        await reader.come(1)
    assert reader.seen[0][0] == 7
    assert reader.seen[0][2] == ordered()


@pytest.mark.parametrize("mode", MODES)
async def test_its_id_is_the_uid_unless_there_is_one(
    url: str, event: Event[int], mode: Any
) -> None:
    sent = ordered(mode=mode)
    async with reading(url, event) as (on, reader):
        for number, uid in ((1, None), (2, None), (3, "own"), (4, "own")):
            await on.events.emit(event, number, uid=uid, meta=sent)
        await on.events.emit(event, 5, meta=sent.as_headers())
        await reader.come(3)
        await on.until_done(actor_of(event))
    assert [message for message, _, _ in reader.seen] == [1, 3, 5]


async def test_attributes_that_are_wrong_are_told_where_they_are_read(
    url: str, event: Event[int]
) -> None:
    async with reading(url, event) as (on, reader):
        await on.events.emit(event, 1, meta={"ce-id": "1"})
        await on.events.emit(event, 2, meta=ordered().as_headers() | {"ce-time": "soon"})
        await reader.come(2)
    assert [message for message, _, _ in reader.seen] == [1, 2]
    assert reader.seen[0][1] == {"ce-id": "1"}
    assert "specversion and source and type must be there" in str(reader.seen[0][2])
    assert "time must be a time of RFC 3339" in str(reader.seen[1][2])


async def test_what_is_not_well_formed_is_given_up_and_hurts_nobody(
    url: str, event: Event[int]
) -> None:
    header = f"NATS/1.0\r\nContent-Type: {STRUCTURED}\r\n\r\n".encode()
    async with reading(url, event) as (on, reader):
        for payload in (b"{", b'{"specversion":"1.0","data":1}', b"\xff", b"[" * 100_000):
            on.link.post(pub(event.subject_name, payload, b"", header))
        await on.link.flush()
        await on.events.emit(event, 7, meta=ordered(mode="structured"))
        await reader.come(1)
        await on.until_done(actor_of(event))
        letters = await letters_of(url, event)
    assert [message for message, _, _ in reader.seen] == [7]
    assert [letter.reason for letter in letters] == ["undecodable"] * 4
    for letter in letters:
        assert "no well-formed CloudEvent in structured mode" in letter.error
    assert any("id and source and type must be there" in letter.error for letter in letters)


async def test_a_message_that_does_not_fit_is_told_as_such(url: str, event: Event[int]) -> None:
    words = Event(event.name, str, storage="memory")
    async with reading(url, event) as (on, _), Events(words).connect(url) as other:
        await other.emit(words, "seven", meta=ordered(mode="structured"))
        await on.until_done(actor_of(event))
        [letter] = await letters_of(url, event)
    assert "takes int, and what arrived (7 bytes) does not fit" in letter.error
    assert b"specversion" in letter.payload


async def test_hooks_read_it_as_well(url: str, event: Event[int]) -> None:
    told: list[CloudEvent | None] = []

    class Look(Middleware):
        def on_start(self, ctx: Context, /) -> None:
            told.append(ctx.cloud_event)

    actor = Actor("a", event, Reader(), middlewares=(Look(),))
    async with running(url, actor) as on:
        await on.events.emit(event, 1, meta=ordered())
        await until(lambda: told == [ordered()])


# Who emits


@pytest.mark.parametrize("mode", MODES)
async def test_a_handler_emits_one(url: str, event: Event[int], mode: Any) -> None:
    following = Event(f"{event.name}-next", int, storage="memory")

    async def handle(message: int) -> None:
        context = current_context()
        await context.emit(following, message, meta=ordered(mode=mode))
        context.emit_nowait(following, message + 1, meta=ordered(mode=mode))

    reader = Reader()
    async with running(
        url, Actor("a", event, handle), Actor("b", following, reader, max_jobs=1)
    ) as on:
        await on.emit(1)
        await reader.come(2)
    # Both have the same `id`, and the uid is that of the attempt.
    assert [(message, told) for message, _, told in reader.seen] == [(1, ordered()), (2, ordered())]


@pytest.mark.parametrize("mode", MODES)
async def test_one_for_each_of_many(url: str, event: Event[int], mode: Any) -> None:
    async with reading(url, event) as (on, reader):
        await on.events.emit_many(event, [1, 2], meta=partial(ordered, mode=mode))
        await on.events.emit_many(event, [3], meta=lambda number: {"Number": str(number)})
        await on.events.emit_many(event, [4], meta=lambda _: None)
        await reader.come(4)
    assert [told for _, _, told in reader.seen] == [ordered(1), ordered(2), None, None]
    assert reader.seen[2][1] == {"Number": "3"}


@pytest.mark.parametrize("mode", MODES)
async def test_a_thread_emits_one(url: str, event: Event[int], mode: Any) -> None:
    def emit() -> None:
        with Events(event).connect_sync(url) as conn:
            conn.emit(event, 7, meta=ordered(7, mode=mode))
            conn.emit_many(event, [8, 9], meta=partial(ordered, mode=mode), sync=True)
            with pytest.raises(TypeError, match="a CloudEvent is of one message"):
                conn.emit_many(event, [1], meta=ordered())

    async with reading(url, event) as (_, reader):
        await anyio.to_thread.run_sync(emit)
        await reader.come(3)
    assert [told for _, _, told in reader.seen] == [ordered(7), ordered(8), ordered(9)]


async def test_one_cannot_be_of_many(url: str, event: Event[int]) -> None:
    async with Events(event).connect(url) as conn:
        with pytest.raises(TypeError, match="pass a function that makes the one of each message"):
            await conn.emit_many(event, [1], meta=ordered())


@pytest.mark.parametrize("meta", [7, "Key: value", ["Key"]])
async def test_what_meta_cannot_be(url: str, event: Event[int], meta: Any) -> None:
    async with Events(event).connect(url) as conn:
        with pytest.raises(TypeError, match="mapping of header names to values, or a CloudEvent"):
            await conn.emit(event, 1, meta=meta)


@pytest.mark.parametrize("mode", MODES)
async def test_middlewares_see_its_headers_and_its_uid(
    url: str, event: Event[int], mode: Any
) -> None:
    seen: list[tuple[str | None, dict[str, str]]] = []

    class Look(EmitMiddleware):
        def around_emit(self, ctx: EmitContext, /) -> Any:
            seen.append((ctx.uid, dict(ctx.headers)))
            ctx.headers["Added"] = "1"
            return super().around_emit(ctx)

    async with reading(url, event) as (_, reader):
        async with Events(event, middlewares=[Look()]).connect(url) as conn:
            await conn.emit(event, 7, meta=ordered(mode=mode))
        await reader.come(1)
    [(uid, headers)] = seen
    assert uid == ordered().id
    assert ("ce-id" in headers) == (mode == "binary")
    [(message, meta, told)] = reader.seen
    assert (message, told, meta["Added"]) == (7, ordered(), "1")


async def test_an_id_that_nats_would_change_is_no_uid(url: str, event: Event[int]) -> None:
    async with reading(url, event) as (on, reader):
        with pytest.raises(ValueError, match="'Nats-Msg-Id' starts or ends with white space"):
            await on.events.emit(event, 1, meta=ordered(id=" 1"))
        await on.events.emit(event, 1, uid="1", meta=ordered(id=" 1"))
        await reader.come(1)
    assert reader.seen[0][2] == ordered(id=" 1")


# Test helpers


@pytest.mark.parametrize("mode", MODES)
async def test_a_job_without_a_server(event: Event[int], mode: Any) -> None:
    reader = Reader()
    run = await run_job(Actor("a", event, reader), 7, meta=ordered(mode=mode))
    assert run.verdict == "ack"
    assert [(message, told) for message, _, told in reader.seen] == [(7, ordered())]


@pytest.mark.parametrize("mode", MODES)
async def test_what_was_emitted_is_decoded(url: str, event: Event[int], mode: Any) -> None:
    following = Event(f"{event.name}-next", int, storage="memory")

    async def handle(message: int) -> None:
        await current_context().emit(following, message, meta=ordered(mode=mode))

    run = await run_job(Actor("a", event, handle), 7)
    assert run.emitted_of(following) == [7]
    async with record(Events(event), url) as recording:
        async with Events(event).connect(url) as conn:
            await conn.register()
            await conn.emit(event, 7, meta=ordered(mode=mode))
        [emitted] = await recording.emitted(event)
    assert (emitted.message, emitted.uid) == (7, ordered().id)
