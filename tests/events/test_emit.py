"""Emitting: what a stream gets, when an emit waits, and who hears of what failed."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import msgspec
import pytest

import walnats_anyio as walnats
from tests.link._probe import change_stream, count, keep, stored
from tests.support.errors import OwnError
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import Message, open_link, pub
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


CREATED = walnats.Event("user-created", User)
NUMBER = walnats.Event("numbers.counted", int)
DATA = walnats.Event("data", bytes)
UNREGISTERED = walnats.Event("unregistered", int)
EVENTS = walnats.Events(CREATED, NUMBER, DATA)


@pytest.fixture
async def conn(nats_server: NatsServer) -> AsyncIterator[ConnectedEvents]:
    """Connected; registered, with a consumer for each stream, so that it keeps what it gets."""
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        for event in (CREATED, NUMBER, DATA):
            await keep(nats_server, event)
        yield conn


async def numbers(server: NatsServer) -> list[int]:
    """What the stream of NUMBER holds, in order."""
    return [int(one.payload) for one in await stored(server, NUMBER)]


# What arrives


async def test_a_message_is_json_under_the_events_name(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    await conn.emit(CREATED, User(1, "Kim"), sync=True)
    [one] = await stored(nats_server, CREATED)
    assert (one.subject, one.payload, one.headers) == (
        "user-created",
        b'{"id":1,"name":"Kim"}',
        "",
    )


@pytest.mark.parametrize("payload", [b"", b"\x00\r\nPUB x 0\r\n\r\n", bytes(range(256)) * 100])
async def test_bytes_arrive_as_they_are(
    conn: ConnectedEvents, nats_server: NatsServer, payload: bytes
) -> None:
    await conn.emit(DATA, payload)
    await conn.emit(DATA, payload, uid="x")
    await conn.flush()
    assert [one.payload for one in await stored(nats_server, DATA)] == [payload] * 2


@pytest.mark.parametrize("name", ["error", "a.error", "Großes.Ereignis", "UPPER", "x" * 255])
async def test_any_name_will_do(nats_server: NatsServer, name: str) -> None:
    event = walnats.Event(name, int)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        await conn.emit(event, 1)
        await conn.emit(event, 2, uid="two", sync=True)
    assert await count(nats_server, event) == 2


async def test_the_order_is_kept(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    for number in range(300):
        uid = str(number) if number % 2 else None
        await conn.emit(NUMBER, number, sync=number % 50 == 0, uid=uid)
    await conn.flush()
    assert await numbers(nats_server) == list(range(300))


async def test_from_many_tasks(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    async def emit(first: int) -> None:
        for number in range(first, first + 25):
            await conn.emit(NUMBER, number, sync=number % 10 == 0)

    async with anyio.create_task_group() as tasks:
        for first in range(0, 500, 25):
            tasks.start_soon(emit, first)
    await conn.flush()
    assert sorted(await numbers(nats_server)) == list(range(500))


async def test_an_equal_event_is_the_same_event(conn: ConnectedEvents) -> None:
    await conn.emit(walnats.Event("user-created", User), User(1, "Kim"), sync=True)


# When it returns


async def test_it_does_not_wait(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    nats_server.pause()
    with anyio.fail_after(DEADLINE):
        for number in range(100):
            await conn.emit(NUMBER, number)
    nats_server.resume()
    await conn.flush()
    assert await count(nats_server, NUMBER) == 100


@pytest.mark.parametrize("how", ["sync", "flush", "leave", "many"])
async def test_who_waits_for_the_acknowledgement(nats_server: NatsServer, how: str) -> None:
    done = anyio.Event()

    async def run() -> None:
        async with EVENTS.connect(nats_server.url) as conn:
            await conn.register()
            nats_server.pause()
            if how == "many":
                await conn.emit_many(NUMBER, [1, 2], sync=True)
            else:
                await conn.emit(NUMBER, 1, sync=how == "sync")
            if how == "flush":
                await conn.flush()
            if how != "leave":
                done.set()
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.5):
            await done.wait()
        assert not done.is_set()
        nats_server.resume()
        with anyio.fail_after(DEADLINE):
            await done.wait()


async def test_an_emit_loop_lets_others_run(conn: ConnectedEvents) -> None:
    """Though an emit has nothing to wait for, it does not keep the event loop to itself."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.lowlevel.checkpoint()
            ticks += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        for number in range(2000):
            await conn.emit(NUMBER, number)
        tasks.cancel_scope.cancel()
    assert ticks > 10


async def test_an_emit_loop_can_be_cancelled(conn: ConnectedEvents) -> None:
    with anyio.fail_after(DEADLINE), anyio.move_on_after(0.05):
        while True:
            await conn.emit(NUMBER, 1)


# The window


async def test_a_full_window_makes_emit_wait(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    emitted = 0

    async def emit() -> None:
        nonlocal emitted
        while emitted < 6000:
            await conn.emit(NUMBER, emitted, uid=str(emitted))
            emitted += 1

    nats_server.pause()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(emit)
        await until(lambda: emitted >= 4096)
        await anyio.wait_all_tasks_blocked()
        assert emitted == 4096
        nats_server.resume()
    await conn.flush()
    assert await count(nats_server, NUMBER) == 6000


async def test_a_window_full_of_bytes_makes_emit_wait(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    emitted = 0

    async def emit() -> None:
        nonlocal emitted
        while emitted < 50:
            await conn.emit(DATA, b"x" * 500_000, uid=str(emitted))
            emitted += 1

    nats_server.pause()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(emit)
        await until(lambda: emitted >= 33)
        await anyio.wait_all_tasks_blocked()
        assert emitted in (33, 34)
        nats_server.resume()
    await conn.flush()
    assert await count(nats_server, DATA) == 50


async def test_all_who_wait_for_room_get_it(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    nats_server.pause()
    for number in range(4096):
        await conn.emit(NUMBER, number, uid=str(number))
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            for number in range(4096, 4296):
                tasks.start_soon(partial(conn.emit, NUMBER, number, uid=str(number)))
            await anyio.wait_all_tasks_blocked()
            nats_server.resume()
    await conn.flush()
    assert await count(nats_server, NUMBER) == 4296


# Deduplication


async def test_a_uid_is_stored_once(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    for _ in range(3):
        await conn.emit(NUMBER, 1, uid="one")
        await conn.emit(NUMBER, 2, uid="two", sync=True)
        await conn.emit(NUMBER, 3)
    await conn.flush()
    assert await numbers(nats_server) == [1, 2, 3, 3, 3]


async def test_a_uid_is_the_streams_own(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    """Over connections, not over events."""
    async with EVENTS.connect(nats_server.url) as other:
        await conn.emit(NUMBER, 1, uid="same", sync=True)
        await other.emit(NUMBER, 1, uid="same", sync=True)
        await other.emit(DATA, b"1", uid="same", sync=True)
    assert await count(nats_server, NUMBER) == 1
    assert await count(nats_server, DATA) == 1


async def test_the_window_of_deduplication_is_the_events(nats_server: NatsServer) -> None:
    event = walnats.Event("short", int, dedup_window=0.1)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)

        async def stored_again() -> bool:
            await conn.emit(event, 1, uid="same", sync=True)
            return await count(nats_server, event) == 2

        await until(stored_again)


# Many


async def test_many(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    async def asynchronous() -> AsyncIterator[int]:
        for number in range(20, 30):
            await anyio.lowlevel.checkpoint()
            yield number

    await conn.emit_many(NUMBER, [])
    await conn.emit_many(NUMBER, range(10))
    await conn.emit_many(NUMBER, (number for number in range(10, 20)), sync=True)
    await conn.emit_many(NUMBER, asynchronous())
    await conn.emit_many(NUMBER, dict.fromkeys(range(30, 40)), sync=True)
    await conn.flush()
    assert await numbers(nats_server) == list(range(40))


async def test_many_more_than_the_window(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    for sync in (False, True):
        await conn.emit_many(NUMBER, range(5000), sync=sync)
    await conn.flush()
    assert await count(nats_server, NUMBER) == 10_000


async def test_many_with_uids(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    for sync in (False, True):
        await conn.emit_many(
            NUMBER, [1, 2, 3, 2], uid=str, trace_id="abc", meta={"Key": "value"}, sync=sync
        )
    await conn.flush()
    arrived = await stored(nats_server, NUMBER)
    assert [int(one.payload) for one in arrived] == [1, 2, 3]
    for one in arrived:
        lines = one.headers.splitlines()
        assert set(lines) >= {
            f"Nats-Msg-Id: {int(one.payload)}",
            "Walnats-Trace: abc",
            "Key: value",
        }


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("where", ["iterable", "async iterable", "uid", "message", "size"])
async def test_many_with_one_that_fails(
    conn: ConnectedEvents, nats_server: NatsServer, where: str, sync: bool
) -> None:
    """Those before it have been emitted, those after it have not."""

    def messages() -> Iterator[Any]:
        yield b"1"
        yield b"2"
        if where == "iterable":
            raise OwnError
        yield {"message": "three", "size": b"3" * 2_000_000}.get(where, b"3")
        yield b"4"

    class Asynchronous:
        def __init__(self) -> None:
            self._left = 2

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            self._left -= 1
            if self._left < 0:
                raise OwnError
            return str(2 - self._left).encode()

    def uid(message: bytes) -> str:
        if where == "uid" and message == b"3":
            raise OwnError
        return str(message[:1])

    many: Any = Asynchronous() if where == "async iterable" else messages()
    expected = {"message": TypeError, "size": walnats.MessageTooLargeError}.get(where, OwnError)
    with pytest.raises(expected):
        await conn.emit_many(DATA, many, uid=uid, sync=sync)
    await conn.flush()
    assert [one.payload for one in await stored(nats_server, DATA)] == [b"1", b"2"]


async def test_many_can_be_endless(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    def forever() -> Iterator[int]:
        while True:
            yield 1

    with anyio.fail_after(DEADLINE):
        for sync in (False, True):
            with anyio.move_on_after(0.1) as scope:
                await conn.emit_many(NUMBER, forever(), sync=sync)
            assert scope.cancelled_caught
    await conn.flush()
    assert await count(nats_server, NUMBER) > 1


@pytest.mark.parametrize("how", ["refused", "cancelled", "raises", "ends"])
@pytest.mark.parametrize("sync", [False, True])
async def test_many_closes_its_generator(conn: ConnectedEvents, how: str, sync: bool) -> None:
    """In the task that called, rather than whenever the garbage collector comes."""
    story: list[str] = []

    async def messages() -> AsyncIterator[int]:
        try:
            yield 1
            if how == "refused":
                yield "no number"  # type: ignore[misc]  # that is what is refused
            if how == "raises":
                raise OwnError
            if how == "cancelled":
                scope.cancel()
                yield 2
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            story.append("closed")

    generator = messages()
    with anyio.CancelScope() as scope:
        try:
            await conn.emit_many(NUMBER, generator, sync=sync)
        except (ValueError, OwnError) as error:
            story.append(type(error).__name__)
    errors = {"refused": ["EncodeError"], "raises": ["OwnError"]}
    assert story == ["closed", *errors.get(how, [])]


async def test_many_refused(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    await change_stream(nats_server, DATA, max_msg_size=5)
    with pytest.raises(walnats.EmitError, match="2 events were not accepted") as caught:
        await conn.emit_many(DATA, [b"1", b"too large", b"2", b"also large"], sync=True)
    assert len(caught.value.errors) == 2
    with pytest.raises(walnats.EmitError, match="message size exceeds maximum") as caught:
        await conn.emit_many(DATA, [b"3", b"too large"], sync=True)
    assert caught.value.errors == ()
    # They have been told of.
    await conn.flush()
    assert [one.payload for one in await stored(nats_server, DATA)] == [b"1", b"2", b"3"]


async def test_many_refused_and_interrupted(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    """What nobody waits for any more is told at the next flush."""
    await change_stream(nats_server, DATA, max_msg_size=5)

    def messages() -> Iterator[bytes]:
        yield b"too large"
        raise OwnError

    with pytest.raises(OwnError):
        await conn.emit_many(DATA, messages(), sync=True)
    with pytest.raises(walnats.EmitError, match="message size exceeds maximum"):
        await conn.flush()


# Failures, told at the earliest call that can know


@pytest.mark.parametrize("sync", [False, True])
async def test_the_first_emit_tells_that_there_is_no_stream(nats_url: str, sync: bool) -> None:
    async with EVENTS.connect(nats_url) as conn:
        for _ in range(2):
            with pytest.raises(walnats.EmitError, match=r"'user-created' .* register the event"):
                await conn.emit(CREATED, User(1, "Kim"), sync=sync)
        with pytest.raises(walnats.EmitError, match="register the event"):
            await conn.emit_many(CREATED, [User(1, "Kim")], sync=sync)
        # Nothing is left to be told.
        await conn.flush()


async def test_the_first_emits_of_many_tasks(nats_url: str) -> None:
    failed = 0

    async with EVENTS.connect(nats_url) as conn:

        async def emit() -> None:
            nonlocal failed
            try:
                await conn.emit(NUMBER, 1)
            except walnats.EmitError:
                failed += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(emit)
    assert failed == 50


async def test_a_stream_registered_by_somebody_else_is_enough(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    async with EVENTS.connect(nats_server.url) as other:
        await other.emit(NUMBER, 1)
    assert await numbers(nats_server) == [1]


@pytest.mark.parametrize("how", ["sync", "flush", "leave", "first"])
async def test_a_refusal_is_told(nats_server: NatsServer, how: str) -> None:
    """To whoever waits for the acknowledgement first, and once."""
    told: list[str] = []
    try:
        async with (
            EVENTS.connect(nats_server.url) as other,
            EVENTS.connect(nats_server.url) as conn,
        ):
            await (other if how == "first" else conn).register()
            await change_stream(nats_server, DATA, max_msg_size=5)
            try:
                await conn.emit(DATA, b"too large", sync=how == "sync")
            except walnats.EmitError as error:
                told.append(f"emit: {error}")
            if how == "flush":
                try:
                    await conn.flush()
                except walnats.EmitError as error:
                    told.append(f"flush: {error}")
                await conn.flush()
    except walnats.EmitError as error:
        told.append(f"leave: {error}")
    said = "event 'data' was not accepted: message size exceeds maximum allowed"
    assert told == [f"{ {'sync': 'emit', 'first': 'emit'}.get(how, how) }: {said}"]


async def test_several_refusals_are_told_together(
    conn: ConnectedEvents, nats_server: NatsServer
) -> None:
    await change_stream(nats_server, DATA, max_msg_size=5)
    for number in range(150):
        await conn.emit(DATA, b"too large" if number % 2 else b"ok")
    with pytest.raises(walnats.EmitError, match="75 events were not accepted, the first") as caught:
        await conn.flush()
    assert len(caught.value.errors) == 75
    for _ in range(300):
        await conn.emit(DATA, b"too large")
    with pytest.raises(walnats.EmitError, match="300 events were not accepted") as caught:
        await conn.flush()
    # They are kept to be looked at, but not without end.
    assert len(caught.value.errors) == 100
    await conn.flush()


@pytest.mark.parametrize("limit", [{"max_msgs": 1}, {"max_bytes": 100}], ids=str)
async def test_a_full_stream_that_takes_no_more(
    conn: ConnectedEvents, nats_server: NatsServer, limit: dict[str, int]
) -> None:
    await change_stream(nats_server, DATA, discard="new", **limit)
    with anyio.fail_after(DEADLINE):
        await conn.emit(DATA, b"x" * 20, sync=True)
        with pytest.raises(walnats.EmitError, match="not accepted") as caught:
            await conn.emit_many(DATA, [b"x" * 20] * 9, sync=True)
        for error in caught.value.errors:
            assert re.search(r"maximum .* exceeded", str(error))


async def test_a_full_stream_that_drops_the_oldest(nats_server: NatsServer) -> None:
    """As an event's limits say."""
    event = walnats.Event("numbers.counted", int, limits=walnats.Limits(messages=3))
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, event)
        await conn.emit_many(event, range(10), sync=True)
    assert await numbers(nats_server) == [7, 8, 9]


async def test_a_stream_deleted_meanwhile(conn: ConnectedEvents) -> None:
    await conn.emit(NUMBER, 1, sync=True)
    await conn._link.request("$JS.API.STREAM.DELETE.numbers-counted")
    with anyio.fail_after(DEADLINE):
        await conn.emit(NUMBER, 2)
        with pytest.raises(walnats.EmitError, match="register the event"):
            await conn.flush()
        # Now that it is known to be gone, whoever emits is told at once.
        with pytest.raises(walnats.EmitError, match="register the event"):
            await conn.emit(NUMBER, 3)
        await conn.flush()
        await conn.register()
        await conn.emit(NUMBER, 4)
        await conn.flush()


# Others on the same subject

ANSWERS = [None, b"ok", b"", b'{"ok":true}', b'{"error":"no"}']


@asynccontextmanager
async def listener(server: NatsServer, subject: str, answer: bytes | None) -> AsyncIterator[None]:
    """A plain NATS program that subscribes to a subject, and may answer what comes there."""

    def reply(message: Message) -> None:
        if answer is not None:
            link.post(pub(message.reply, answer))

    async with open_link(server.url) as link:
        link.subscribe_to(subject, reply)
        await link.flush()
        yield


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
async def test_only_the_stream_can_acknowledge(
    conn: ConnectedEvents, nats_server: NatsServer, answer: bytes | None
) -> None:
    await change_stream(nats_server, DATA, max_msg_size=5)
    async with listener(nats_server, "data", answer):
        with anyio.fail_after(DEADLINE):
            await conn.emit(DATA, b"ok", sync=True)
            with pytest.raises(walnats.EmitError, match="message size exceeds maximum"):
                await conn.emit(DATA, b"too large", sync=True)


@pytest.mark.parametrize(
    "answer", [*ANSWERS, b"{", b'{"error":1}', b'{"error":null}', b'{"error":[]}'], ids=repr
)
async def test_no_stream_though_somebody_listens(
    nats_server: NatsServer, answer: bytes | None
) -> None:
    """Then the server does not say that nobody is there."""
    async with (
        listener(nats_server, "unregistered", answer),
        walnats.Events(UNREGISTERED).connect(nats_server.url) as conn,
    ):
        with anyio.fail_after(DEADLINE):
            with pytest.raises(walnats.EmitError, match="register the event"):
                await conn.emit(UNREGISTERED, 1)


# Flush


async def test_flush_with_nothing_on_its_way(conn: ConnectedEvents) -> None:
    await conn.flush()
    await conn.flush(timeout=0)


async def test_flush_does_not_wait_for_ever(conn: ConnectedEvents, nats_server: NatsServer) -> None:
    nats_server.pause()
    for number in range(3):
        await conn.emit(NUMBER, number)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"3 events not acknowledged within 0\.2 s"):
        await conn.flush(timeout=0.2)
    with pytest.raises(TimeoutError, match="within 0 s"):
        await conn.flush(timeout=0)
    assert time.monotonic() - begun < DEADLINE
    nats_server.resume()
    await conn.flush(timeout=DEADLINE)
    assert await count(nats_server, NUMBER) == 3


@pytest.mark.parametrize("timeout", [-1, -0.1, float("nan")])
async def test_flush_with_a_wrong_timeout(conn: ConnectedEvents, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be None or seconds of at least 0, not"):
        await conn.flush(timeout)


# What the user may do


def allowed(permissions: str) -> str:
    return (
        "authorization { users = [{user: chief, password: p},"
        f" {{user: kim, password: p, permissions: {{{permissions}}}}}] }}"
    )


async def test_no_stream_and_no_right_to_look_for_one() -> None:
    """As far as this user knows there is none: it is said at once, and not after `GONE_AFTER`."""
    config = allowed('publish: {deny: ["$JS.API.STREAM.INFO.*"]}')
    with NatsServer(config=config) as server, anyio.fail_after(DEADLINE):
        async with walnats.Events(NUMBER).connect(server.url, user="kim", password="p") as conn:
            with pytest.raises(walnats.EmitError, match="no stream takes it"):
                await conn.emit(NUMBER, 1, sync=True)


async def test_an_emit_that_is_not_allowed() -> None:
    other = walnats.Event("Upper.Case", int)
    events = walnats.Events(NUMBER, other)
    with NatsServer(config=allowed('publish: {deny: ["numbers.>", "Upper.Case"]}')) as server:
        async with events.connect(server.url, user="chief", password="p") as conn:
            await conn.register()
        async with events.connect(server.url, user="kim", password="p") as conn:
            with anyio.fail_after(DEADLINE):
                for event in events:
                    with pytest.raises(
                        walnats.EmitError, match=f"may not publish to '{event.name}"
                    ):
                        await conn.emit(event, 1)
                    with pytest.raises(
                        walnats.EmitError, match=f"may not publish to '{event.name}"
                    ):
                        await conn.emit(event, 1, sync=True)
                await conn.register()
                await conn.emit(NUMBER, 1)
                with pytest.raises(walnats.EmitError, match="may not publish to 'numbers"):
                    await conn.flush()


async def test_a_user_that_may_do_nothing_but_emit() -> None:
    permissions = 'publish: {allow: ["numbers.counted"]}, subscribe: {allow: ["_INBOX.>"]}'
    with NatsServer(config=allowed(permissions)) as server:
        async with EVENTS.connect(server.url, user="chief", password="p") as conn:
            await conn.register()
        with anyio.fail_after(DEADLINE):
            async with EVENTS.connect(server.url, user="kim", password="p") as conn:
                await conn.emit(NUMBER, 1)
                await conn.emit(NUMBER, 2, sync=True)
                await conn.flush()
                with pytest.raises(walnats.EmitError, match="may not publish to 'data'"):
                    await conn.emit(DATA, b"")


# After the end


@pytest.mark.parametrize("how", ["left", "closed"])
async def test_a_connection_that_is_no_more(nats_server: NatsServer, how: str) -> None:
    events = walnats.Events(NUMBER)
    async with events.connect(nats_server.url, allow_reconnect=how == "left") as conn:
        await conn.register()
        if how == "closed":
            nats_server.kill()
            await until(lambda: conn._link.closed is not None)
            await _refuses_all(conn)
    await _refuses_all(conn)


async def _refuses_all(conn: ConnectedEvents) -> None:
    with anyio.fail_after(DEADLINE):
        for sync in (False, True):
            with pytest.raises(walnats.ConnectionLostError):
                await conn.emit(NUMBER, 1, sync=sync)
            with pytest.raises(walnats.ConnectionLostError):
                await conn.emit_many(NUMBER, [1], sync=sync)
        with pytest.raises(walnats.ConnectionLostError):
            await conn.register()
        await conn.flush()


async def test_what_was_on_its_way_when_the_connection_was_closed(nats_server: NatsServer) -> None:
    async def emit() -> None:
        async with EVENTS.connect(nats_server.url, allow_reconnect=False) as conn:
            await conn.register()
            nats_server.pause()
            for number in range(3):
                await conn.emit(NUMBER, number)
            nats_server.kill()

    with pytest.raises(walnats.EmitError, match=r"3 events were not accepted.*connection"):
        await emit()
