"""Leaving a connection: in bounded time, whatever the server does, and with nothing left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import anyio
import pytest

import walnats_anyio as walnats
from tests.support.leftovers import Leftovers
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import _link, open_link
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", bytes)
EVENTS = walnats.Events(EVENT)

SHORT = walnats.Event("user-created", bytes, dedup_window=1)
"""What is not acknowledged within a second has failed."""

BOUND = 15.0
"""Seconds that a bounded clean-up may take here: it is to take 5 or so on an idle machine."""


async def ignore(_message: bytes) -> None:
    pass


ACTORS = walnats.Actors(walnats.Actor("ignore", EVENT, ignore))


class OwnError(Exception):
    pass


class Stop(BaseException):
    pass


@pytest.mark.parametrize("state", ["running", "killed", "paused"])
@pytest.mark.parametrize("how", ["return", "error", "cancel"])
async def test_with_nothing_on_its_way(nats_server: NatsServer, state: str, how: str) -> None:
    leftovers = Leftovers()
    begun = 0.0
    with anyio.CancelScope() as scope:
        try:
            async with EVENTS.connect(nats_server.url) as conn, ACTORS.connect(nats_server.url):
                await conn.register()
                await conn.emit(EVENT, b"x", sync=True)
                if state == "killed":
                    nats_server.kill()
                    await until(lambda: not conn._link.connected)
                elif state == "paused":
                    nats_server.pause()
                begun = time.monotonic()
                if how == "error":
                    raise OwnError
                if how == "cancel":
                    scope.cancel()
        except OwnError:
            assert how == "error"
    assert time.monotonic() - begun < BOUND
    await leftovers.none()


@pytest.mark.parametrize("state", ["killed", "paused"])
async def test_cancelled_with_events_on_their_way(nats_server: NatsServer, state: str) -> None:
    leftovers = Leftovers()
    begun = 0.0
    with anyio.CancelScope() as scope:
        async with EVENTS.connect(nats_server.url) as conn:
            await conn.register()
            if state == "killed":
                nats_server.kill()
                await until(lambda: not conn._link.connected)
            else:
                nats_server.pause()
            # More than the buffers of two sockets take.
            for _ in range(60):
                await conn.emit(EVENT, b"x" * 200_000)
            with anyio.move_on_after(0.2):
                await conn.flush()
            begun = time.monotonic()
            scope.cancel()
    assert time.monotonic() - begun < BOUND
    await leftovers.none()


@pytest.mark.parametrize("error", [Stop, OwnError])
async def test_an_exception_with_events_on_their_way(
    nats_server: NatsServer, error: type[BaseException]
) -> None:
    """It comes out as it is, with a note about what may be lost."""
    leftovers = Leftovers()
    begun = 0.0

    async def emit_and_raise() -> None:
        nonlocal begun
        async with walnats.Events(SHORT).connect(nats_server.url) as conn:
            await conn.register()
            nats_server.kill()
            await until(lambda: not conn._link.connected)
            for _ in range(3):
                await conn.emit(SHORT, b"x")
            begun = time.monotonic()
            raise error("mine")

    with pytest.raises(error) as caught:
        await emit_and_raise()
    assert time.monotonic() - begun < BOUND
    assert str(caught.value) == "mine"
    [note] = caught.value.__notes__
    assert note.startswith("EmitError: 3 events were not a")
    del caught
    await leftovers.none()


async def test_leaving_waits_for_what_is_on_its_way(nats_server: NatsServer) -> None:
    async with anyio.create_task_group() as tasks:
        left = anyio.Event()

        async def emit_and_leave() -> None:
            async with EVENTS.connect(nats_server.url) as conn:
                await conn.register()
                nats_server.pause()
                await conn.emit(EVENT, b"x")
            left.set()

        tasks.start_soon(emit_and_leave)
        await until(lambda: "T" in _state_of(nats_server.pid))
        with anyio.move_on_after(0.5):
            await left.wait()
        assert not left.is_set()
        nats_server.resume()
        with anyio.fail_after(DEADLINE):
            await left.wait()


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_leaving_raises_what_failed(nats_server: NatsServer) -> None:
    leftovers = Leftovers()

    async def emit_in_vain() -> None:
        async with walnats.Events(SHORT).connect(nats_server.url) as conn:
            await conn.register()
            nats_server.pause()
            await conn.emit(SHORT, b"x")

    with pytest.raises(walnats.EmitError, match=r"user-created.*not accepted: not acknowledged"):
        await emit_in_vain()
    await leftovers.none()


async def test_cancelled_while_it_waits(nats_server: NatsServer) -> None:
    leftovers = Leftovers()
    begun = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        async with EVENTS.connect(nats_server.url) as conn:
            await conn.register()
            nats_server.pause()
            await conn.emit(EVENT, b"x")
    assert scope.cancelled_caught
    assert time.monotonic() - begun < BOUND
    await leftovers.none()


async def test_the_last_words_reach_the_server(nats_url: str) -> None:
    """What was emitted right before a cancellation has been sent."""
    async with EVENTS.connect(nats_url) as witness:
        await witness.register()
        for number in range(20):
            with anyio.CancelScope() as scope:
                async with EVENTS.connect(nats_url) as conn:
                    await conn.register()
                    for _ in range(100):
                        await conn.emit(EVENT, b"%d" % number)
                    scope.cancel()

        async def all_there() -> bool:
            stream = await witness._link.request("$JS.API.STREAM.INFO.user-created")
            # More where an acknowledgement was so late that an emit was repeated.
            return bool(json.loads(stream.data)["state"]["last_seq"] >= 2000)

        await until(all_there)


async def test_in_a_task_group_that_fails(nats_url: str) -> None:
    """Connections in tasks of which one raises: all of them close, and its exception comes out."""
    leftovers = Leftovers()

    async def stay() -> None:
        async with EVENTS.connect(nats_url), ACTORS.connect(nats_url):
            await anyio.sleep_forever()

    async def stay_and_raise() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(stay)
            async with EVENTS.connect(nats_url):
                await anyio.wait_all_tasks_blocked()
                raise OwnError

    with pytest.raises(ExceptionGroup) as caught:
        await stay_and_raise()
    assert [type(error) for error in caught.value.exceptions] == [OwnError]
    del caught
    await leftovers.none()


async def test_a_body_that_does_not_end_keeps_the_connection_for_a_while_only(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled, it may still say its last words; it must not keep all of the link alive.

    What waits on the connection by then hears of its end.
    """
    monkeypatch.setattr(_link, "LEAVE_WITHIN", 0.3)
    with anyio.CancelScope() as scope:
        async with open_link(nats_server.url) as link:
            scope.cancel()
            with anyio.CancelScope(shield=True), anyio.fail_after(DEADLINE):
                await link.flush()
                with pytest.raises(walnats.ConnectionLostError, match=r"not end within 0\.3 s"):
                    await link.request("nobody.answers", timeout=DEADLINE, accepts=lambda _: False)
                await until(lambda: not link.connected)
    assert scope.cancel_called
    assert "reconnecting" not in caplog.text


async def test_an_error_in_the_clean_up_of_a_cancelled_body(nats_server: NatsServer) -> None:
    """It comes out, as it would without a connection around it."""

    async def body() -> None:
        with anyio.CancelScope() as scope:
            async with open_link(nats_server.url):
                scope.cancel()
                try:
                    await anyio.sleep_forever()
                finally:
                    raise OwnError

    with pytest.raises(OwnError):
        await body()
