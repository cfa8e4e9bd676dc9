"""`MemoryServer` itself: who can connect, what goes wrong on purpose, what it refuses."""

from __future__ import annotations

import ssl
from datetime import datetime
from typing import Any

import anyio
import anyio.to_thread
import pytest

import walnats_anyio as walnats
from tests.actors._stage import letters_of, listening, running, stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Events
from walnats_anyio._link import api, open_link, pub
from walnats_anyio.testing import MemoryMessage, MemoryServer, NatsServerError

pytestmark = pytest.mark.anyio


async def test_events_are_handled(server: MemoryServer, event: Event[int]) -> None:
    handled = Handled()
    async with running(server.url, Actor("a", event, handled)) as on:
        await on.emit(1, 2, 3)
        await handled.come(3)
        assert server.running
        assert "2 connections" in repr(server)
    assert sorted(handled.messages) == [1, 2, 3]
    assert "0 connections" in repr(server)


async def test_two_servers_have_nothing_in_common(event: Event[int]) -> None:
    async with MemoryServer() as one, MemoryServer() as other:
        assert one.url != other.url
        async with (
            Events(event).connect(one.url) as here,
            Events(event).connect(other.url) as there,
        ):
            await here.register()
            await here.emit(event, 1, sync=True)
            with pytest.raises(walnats.EmitError, match="register the event"):
                await there.emit(event, 1, sync=True)


async def test_everything_ends_with_the_context(event: Event[int]) -> None:
    async with MemoryServer() as server, Events(event).connect(server.url) as conn:
        await conn.register()
        url = server.url
    with pytest.raises(walnats.ConnectError, match="no MemoryServer of this name"):
        async with Events(event).connect(url):
            pass


async def test_an_error_of_the_body_comes_out_as_itself() -> None:
    with pytest.raises(LookupError, match="of mine"):
        async with MemoryServer():
            raise LookupError("of mine")


async def test_it_can_be_cancelled(event: Event[int]) -> None:
    with anyio.CancelScope() as scope:
        async with MemoryServer() as server, Events(event).connect(server.url) as conn:
            await conn.register()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_another_event_loop_is_refused(server: MemoryServer, event: Event[int]) -> None:
    def connect() -> None:
        with Events(event).connect_sync(server.url):
            pass

    with pytest.raises(walnats.ConnectError, match="use NatsServer there"):
        await anyio.to_thread.run_sync(connect)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tls": ssl.create_default_context()}, "MemoryServer has no TLS"),
        ({"tls_handshake_first": True}, "MemoryServer has no TLS"),
        ({"tls_hostname": "a"}, "MemoryServer has no TLS"),
        ({"ws_connection_headers": {"A": "b"}}, "websockets only"),
    ],
)
async def test_options_that_have_no_effect_are_refused(
    server: MemoryServer, event: Event[int], options: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        async with Events(event).connect(server.url, **options):
            pass


async def test_other_options_work(server: MemoryServer, event: Event[int]) -> None:
    called: list[str] = []
    handled = Handled()
    options: dict[str, Any] = {
        "name": "me",
        "inbox_prefix": "_MINE",
        "verbose": True,
        "pedantic": True,
        "user": "kim",
        "password": "pw",
        "disconnected_cb": lambda: called.append("lost"),
        "reconnected_cb": lambda: called.append("again"),
        "closed_cb": lambda: called.append("closed"),
        "namespace": "staging",
    }
    async with (
        Actors(Actor("a", event, handled)).connect(server.url, **options) as conn,
        Events(event).connect(conn) as events,
    ):
        await events.register()
        await conn.register()
        async with listening(conn):
            await events.emit(event, 1, sync=True)
            await handled.come(1)
            server.disconnect_all()
            await until(lambda: "again" in called)
            await events.emit(event, 2, sync=True)
            await handled.come(2)
    assert called == ["lost", "again", "lost", "closed"]


async def test_servers_of_two_kinds_are_refused(server: MemoryServer, event: Event[int]) -> None:
    with pytest.raises(ValueError, match="mix a MemoryServer with others"):
        async with Events(event).connect([server.url, "nats://localhost"]):
            pass


async def test_what_it_does_not_know_it_says(server: MemoryServer) -> None:
    async with open_link(server.url) as link:
        for subject in ("META.LEADER.STEPDOWN", "STREAM.SNAPSHOT.s", "NONSENSE"):
            with pytest.raises(walnats.WalnatsError, match="MemoryServer does not know"):
                await api(link, subject, {})
        for field, value in (("sources", [{"name": "a"}]), ("mirror", {"name": "a"})):
            with pytest.raises(walnats.WalnatsError, match=f"does not know the field '{field}'"):
                await api(link, "STREAM.CREATE.s", {"name": "s", field: value})
        await api(link, "STREAM.CREATE.s", {"name": "s"})
        config = {"durable_name": "c", "deliver_subject": "d", "ack_policy": "flow_control"}
        body = {"stream_name": "s", "config": config}
        with pytest.raises(walnats.WalnatsError, match="does not know the ack_policy"):
            await api(link, "CONSUMER.CREATE.s.c", body)


async def test_a_stop_keeps_files_and_loses_memory(server: MemoryServer) -> None:
    kept, lost = Event("kept", int), Event("lost", int, storage="memory")
    async with Events(kept, lost).connect(server.url) as conn:
        await conn.register()
        await conn.emit(kept, 1, sync=True)
        await server.stop()
        assert not server.running
        with pytest.raises(walnats.ConnectError, match="the MemoryServer is stopped"):
            async with Events(kept).connect(server.url):
                pass
        await server.start()
        async with open_link(server.url) as link:
            names = await api(link, "STREAM.NAMES")
        assert names["streams"] == ["kept"]


async def test_a_restart_interrupts_nothing(server: MemoryServer, event: Event[int]) -> None:
    gate = Gate()
    async with running(server.url, Actor("a", event, gate, ack_wait=0.5)) as on:
        await on.emit(1)
        await gate.come(1)
        await server.restart()
        await on.emit(2)
        gate.open()
        await on.until_done(Actor("a", event, gate))
    assert sorted(set(gate.started)) == [1, 2]


async def test_a_pause_holds_everything_up(server: MemoryServer, event: Event[int]) -> None:
    handled = Handled()
    async with running(server.url, Actor("a", event, handled)) as on:
        server.pause()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.emit, 1)
            with anyio.move_on_after(0.1):
                await handled.come(1)
            assert handled.messages == []
            server.resume()
        await handled.come(1)


async def test_who_connects_during_a_pause_waits(server: MemoryServer, event: Event[int]) -> None:
    server.pause()
    async with anyio.create_task_group() as tasks:

        async def connect() -> None:
            async with Events(event).connect(server.url) as conn:
                await conn.register()

        tasks.start_soon(connect)
        await anyio.sleep(0.05)
        server.resume()


async def test_a_lost_acknowledgement_is_an_event_that_comes_again(
    server: MemoryServer, event: Event[int]
) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, ack_wait=1)
    async with running(server.url, actor) as on:
        server.drop("$JS.ACK.>", 1)
        await on.emit(1)
        await handled.come(2)
        await on.until_done(actor)
    assert handled.messages[:2] == [1, 1]


async def test_a_lost_event_is_one_that_is_not_there(server: MemoryServer) -> None:
    asked: list[MemoryMessage] = []

    def is_second(message: MemoryMessage) -> bool:
        asked.append(message)
        return message.subject == "x" and message.data == b"2"

    got: list[bytes] = []
    async with open_link(server.url) as link:
        link.subscribe_to("x", lambda message: got.append(message.data))
        server.drop(is_second, None)
        for data in (b"1", b"2", b"3", b"2"):
            link.post(pub("x", data, b"", b"NATS/1.0\r\nA: b\r\n\r\n"))
        await link.flush()
        assert got == [b"1", b"3"]
        server.clear_faults()
        link.post(pub("x", b"2"))
        await link.flush()
    assert got == [b"1", b"3", b"2"]
    first = asked[0]
    assert (first.subject, first.inbox, first.data, first.headers) == ("x", "x", b"1", {"A": "b"})


async def test_what_is_late_is_overtaken(server: MemoryServer) -> None:
    got: list[bytes] = []
    async with open_link(server.url) as link:
        link.subscribe_to("x", lambda message: got.append(message.data))
        server.delay(0.05, "x", direction="to_client")
        link.post(pub("x", b"1"))
        link.post(pub("x", b"2"))
        await link.flush()
        assert got == [b"2"]
        await until(lambda: got == [b"2", b"1"])


async def members(seed: int) -> list[int]:
    """Which of three members of a queue group get twenty messages."""
    got: list[int] = []
    async with MemoryServer(seed=seed) as server, open_link(server.url) as link:
        for number in range(3):
            sid = f"9{number}"
            link.post(f"SUB q group {sid}\r\n".encode())
            link._delivers[sid.encode()] = lambda _, number=number: got.append(number)  # type: ignore[misc]
        for _ in range(20):
            link.post(pub("q", b""))
        await link.flush()
    return got


async def test_chance_comes_from_the_seed() -> None:
    assert await members(1) == await members(1)
    assert await members(1) != await members(2)
    assert set(await members(1)) == {0, 1, 2}


async def test_dead_letters(server: MemoryServer, event: Event[int]) -> None:
    async def fail(_: int) -> None:
        raise ValueError("no")

    actor = Actor("a", event, fail, max_attempts=2, retry_delay=(0,))
    async with running(server.url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
        [letter] = await letters_of(server.url, event)
    assert (letter.attempts, letter.error) == (2, "no")


async def test_who_takes_part_hears_of_a_deleted_consumer(
    server: MemoryServer, event: Event[int]
) -> None:
    actor = Actor("a", event, Handled())
    async with stage(server.url, actor) as on, anyio.create_task_group() as tasks:
        await tasks.start(_listen_until_gone, on.actors)
        await api(on.link, f"CONSUMER.DELETE.{event.stream_name}.a")


async def _listen_until_gone(conn: Any, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with pytest.raises(walnats.ConsumerConfigError):
        await conn.listen(task_status=task_status)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"seed": 1.5}, TypeError),
        ({"server_version": 2}, TypeError),
        ({"server_version": "new"}, ValueError),
        ({"max_payload": "1"}, TypeError),
        ({"max_payload": 0}, ValueError),
        ({"begin": "now"}, TypeError),
        ({"begin": datetime(2026, 1, 1)}, ValueError),  # noqa: DTZ001 - that is what is wrong
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{next(iter(arguments))} is"):
        MemoryServer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a..b",), ValueError),
        ((3,), TypeError),
        (("a", 0), ValueError),
        (("a", 1.5), ValueError),
        (("a", True), ValueError),
    ],
)
async def test_wrong_faults(
    server: MemoryServer, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        server.drop(*arguments)
    with pytest.raises(error):
        server.delay(1, *arguments)
    with pytest.raises(ValueError, match="direction is"):
        server.drop("a", direction="sideways")  # type: ignore[arg-type]
    for seconds in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="seconds is"):
            server.delay(seconds)


async def test_outside_of_its_context_it_does_nothing() -> None:
    server = MemoryServer()
    assert not server.running
    with pytest.raises(NatsServerError, match="not entered"):
        server.disconnect_all()
    async with server:
        with pytest.raises(NatsServerError, match="entered already"):
            async with server:
                pass
    with pytest.raises(NatsServerError, match="was left"):
        server.pause()
