"""Emitting without an event loop: what `Events.connect_sync` promises, in any thread."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.events._in_process import DOUBLE, DOUBLED, NUMBER
from tests.link._probe import change_stream, count, keep, stored, stream_info
from tests.support.waiting import DEADLINE, until_blocking
from walnats_anyio.middlewares import EmitContext, EmitMiddleware
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import EmitStatistics, SyncEvents

ROOT = Path(__file__).parent.parent.parent

THREAD = "walnats-anyio connect_sync"


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
def event() -> walnats.Event[int]:
    return walnats.Event(f"numbers.{secrets.token_hex(6)}", int, storage="memory")


@pytest.fixture
def conn(server: NatsServer, event: walnats.Event[int], backend: str) -> Iterator[SyncEvents]:
    with connected(server, event, backend) as conn:
        yield conn


@contextmanager
def connected(
    server: NatsServer, event: walnats.Event[int], backend: str, **options: Any
) -> Iterator[SyncEvents]:
    """Connected and registered, with a consumer for which the stream keeps what it gets."""
    with walnats.Events(event).connect_sync(server.url, backend=backend, **options) as conn:
        conn.register()
        anyio.run(keep, server, event)
        yield conn


def numbers(server: NatsServer, event: walnats.Event[int]) -> list[int]:
    """What the stream holds, in order."""
    return [int(one.payload) for one in anyio.run(stored, server, event)]


def refuse_more(server: NatsServer, event: walnats.Event[int]) -> None:
    """The stream takes one event, and refuses what comes then."""
    anyio.run(partial(change_stream, server, event, max_msgs=1, discard="new"))


def run_in_threads(function: Any, arguments: list[Any]) -> None:
    threads = [threading.Thread(target=function, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


# What arrives


def test_the_order_is_kept(conn: SyncEvents, server: NatsServer, event: walnats.Event[int]) -> None:
    for number in range(100):
        conn.emit(event, number)
    conn.emit_many(event, range(100, 200))
    conn.emit(event, 200, sync=True)
    assert numbers(server, event) == list(range(201))


def test_headers_and_the_window_of_deduplication(
    conn: SyncEvents, server: NatsServer, event: walnats.Event[int]
) -> None:
    conn.emit(event, 1, uid="one", trace_id="abc", meta={"Key": "value"})
    conn.emit(event, 2, uid="one")
    conn.emit_many(event, [3, 3, 4], uid=str, sync=True)
    found = anyio.run(stored, server, event)
    assert [int(one.payload) for one in found] == [1, 3, 4]
    assert sorted(found[0].headers.split()) == sorted(
        ["Nats-Msg-Id:", "one", "Walnats-Trace:", "abc", "Key:", "value"]
    )


def test_many_threads(conn: SyncEvents, server: NatsServer, event: walnats.Event[int]) -> None:
    """Each one's events are stored once, in its order."""

    def emit(thread: int) -> None:
        for number in range(50):
            conn.emit(event, 100 * thread + number, sync=number % 10 == 0)

    run_in_threads(emit, [*range(8)])
    conn.flush()
    found = numbers(server, event)
    assert len(found) == 400
    for thread in range(8):
        mine = [number for number in found if number // 100 == thread]
        assert mine == [100 * thread + number for number in range(50)]


def test_more_than_there_is_room_for(
    conn: SyncEvents, server: NatsServer, event: walnats.Event[int]
) -> None:
    def emit(thread: int) -> None:
        conn.emit_many(event, range(2500))

    run_in_threads(emit, [*range(3)])
    conn.flush()
    assert anyio.run(count, server, event) == 7500
    shown = conn.statistics()
    assert (shown.emitted, shown.acknowledged, shown.outstanding) == (7500, 7500, 0)


def test_it_hands_over_in_batches(conn: SyncEvents, event: walnats.Event[int]) -> None:
    """A call through the portal for each emit takes at least five times as long."""
    conn.emit(event, 0, sync=True)
    began = time.monotonic()
    for number in range(300):
        conn.emit(event, number, sync=True)
    one_by_one = (time.monotonic() - began) / 300
    began = time.monotonic()
    for number in range(6000):
        conn.emit(event, number)
    assert (time.monotonic() - began) / 6000 < one_by_one / 5
    conn.flush()


class Stamp(EmitMiddleware):
    """Says which thread emits."""

    def around_emit(self, ctx: EmitContext, /) -> AbstractContextManager[None]:
        ctx.headers["Thread"] = threading.current_thread().name
        return nullcontext()


def test_middlewares_are_called_in_the_thread_that_emits(
    server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    """There the spans and the context variables of the caller are."""
    events = walnats.Events(event, middlewares=(Stamp(),))
    with events.connect_sync(server.url, backend=backend) as conn:
        conn.register()
        anyio.run(keep, server, event)
        thread = threading.Thread(target=conn.emit, args=(event, 1), name="mine")
        thread.start()
        thread.join(DEADLINE)
    [one] = anyio.run(stored, server, event)
    assert one.headers == "Thread: mine\r\n\r\n"


def test_leaving_waits_for_what_is_on_its_way(
    server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    with connected(server, event, backend) as conn:
        conn.emit_many(event, range(3000))
    assert anyio.run(count, server, event) == 3000


def test_a_handler_in_a_process_emits(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker process runs no program again, but a handler in it may connect."""
    actors = walnats.Actors(DOUBLE)

    async def main() -> walnats.types.Summary:
        async with (
            walnats.Events(NUMBER, DOUBLED).connect() as events,
            actors.connect() as listening,
        ):
            await events.register()
            await keep(server, DOUBLED)
            await listening.register()
            await events.emit(NUMBER, 21, sync=True)
            return await listening.listen(burst=True)

    monkeypatch.setenv("NATS_SERVER", server.url)
    summary = anyio.run(main)
    assert (summary.handled, summary.failed) == (1, 0)
    assert numbers(server, DOUBLED) == [42]


# What is refused


def test_wrong_emits_are_refused_where_they_are_made(
    conn: SyncEvents, server: NatsServer, event: walnats.Event[int]
) -> None:
    other = walnats.Event("other", int)
    wrong: Any = "one"
    for emit in (conn.emit, lambda event, message: conn.emit_many(event, [message])):
        with pytest.raises(TypeError, match="does not fit"):
            emit(event, wrong)
        with pytest.raises(ValueError, match="not in the registry"):
            emit(other, 1)
        with pytest.raises(TypeError, match="takes an event"):
            emit(wrong, 1)
    with pytest.raises(ValueError, match="uid is empty"):
        conn.emit(event, 1, uid="")
    conn.flush()
    assert numbers(server, event) == []


def test_a_message_that_is_too_large(server: NatsServer, backend: str) -> None:
    event = walnats.Event("sync-large", bytes)
    with walnats.Events(event).connect_sync(server.url, backend=backend) as conn:
        conn.register()
        with pytest.raises(walnats.MessageTooLargeError):
            conn.emit(event, bytes(2**20 + 1))


def test_the_first_emit_tells_that_there_is_no_stream(server: NatsServer, backend: str) -> None:
    event = walnats.Event("sync-unregistered", int)
    with walnats.Events(event).connect_sync(server.url, backend=backend) as conn:
        for emit in (conn.emit, lambda event, number: conn.emit_many(event, [number])):
            with pytest.raises(walnats.EmitError, match="register the event first"):
                emit(event, 1)
        conn.flush()


def test_who_waits_is_told_of_a_refusal(
    conn: SyncEvents, server: NatsServer, event: walnats.Event[int]
) -> None:
    refuse_more(server, event)
    conn.emit(event, 1, sync=True)
    with pytest.raises(walnats.EmitError, match="maximum messages exceeded"):
        conn.emit(event, 2, sync=True)
    with pytest.raises(walnats.EmitError, match="2 events"):
        conn.emit_many(event, [3, 4], sync=True)
    conn.flush()
    assert conn.statistics().failed == 3


def test_flush_tells_of_a_refusal_once(
    conn: SyncEvents, server: NatsServer, event: walnats.Event[int]
) -> None:
    refuse_more(server, event)
    conn.emit_many(event, range(3))
    with pytest.raises(walnats.EmitError, match="2 events") as caught:
        conn.flush()
    assert len(caught.value.errors) == 2
    conn.flush()


def test_leaving_tells_of_a_refusal(
    server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    def emit_and_leave() -> None:
        with connected(server, event, backend) as conn:
            refuse_more(server, event)
            conn.emit_many(event, range(2))

    with pytest.raises(walnats.EmitError, match="maximum messages exceeded"):
        emit_and_leave()


def test_many_that_are_interrupted(
    conn: SyncEvents, server: NatsServer, event: walnats.Event[int]
) -> None:
    """What was emitted before stays emitted, and its failures are not lost."""

    def broken() -> Iterator[int]:
        yield from range(2)
        raise OSError("the file ended")

    refuse_more(server, event)
    with pytest.raises(OSError, match="the file ended"):
        conn.emit_many(event, broken(), sync=True)
    with pytest.raises(walnats.EmitError, match="maximum messages exceeded"):
        conn.flush()


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_flush_with_a_wrong_timeout(conn: SyncEvents, timeout: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        conn.flush(timeout)


def test_wrong_arguments() -> None:
    events: Any = walnats.Events(walnats.Event("x", int))
    with pytest.raises(TypeError, match="event loop of another thread"):
        events.connect_sync(object())
    with pytest.raises(ValueError, match="backend must be"):
        events.connect_sync(backend="curio")
    with pytest.raises(ValueError, match="ping_interval"):
        events.connect_sync(ping_interval=0)


# A server that is away


def test_a_full_window_makes_emit_wait(
    nats_server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    with connected(nats_server, event, backend) as conn:
        conn.emit(event, 0, sync=True)
        nats_server.pause()
        thread = threading.Thread(target=conn.emit_many, args=(event, range(8000)))
        thread.start()
        until_blocking(lambda: is_full(conn.statistics()), conn.statistics)
        assert conn.statistics().outstanding <= 4096 + 2 * 1024
        with pytest.raises(TimeoutError, match=r"[56]\d{3} events not acknowledged within"):
            conn.flush(0.05)
        nats_server.resume()
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert anyio.run(count, nats_server, event) == 8001


def is_full(shown: EmitStatistics) -> bool:
    """All that may be on its way is, and a thread waits."""
    return shown.waiting == 1 and shown.outstanding >= 4096 + 1024


class Own(Exception):
    pass


def test_leaving_after_an_exception_is_bounded(
    nats_server: NatsServer, event: walnats.Event[int], backend: str, caplog: Any
) -> None:
    began = 0.0

    def emit_and_raise() -> None:
        nonlocal began
        with connected(nats_server, event, backend) as conn:
            conn.emit(event, 0, sync=True)
            nats_server.pause()
            conn.emit_many(event, range(4096 + 200))
            began = time.monotonic()
            raise Own

    with pytest.raises(Own) as caught:
        emit_and_raise()
    assert time.monotonic() - began < 10
    assert "200 events were not accepted" in "".join(caught.value.__notes__)
    assert "4096 events were not acknowledged" in caplog.text
    nats_server.resume()


def test_a_connection_that_is_closed_for_good(
    nats_server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    """Whoever waits hears of it, and so does who emits afterwards."""
    failed: list[Exception] = []

    def emit(_: int) -> None:
        try:
            for number in range(100_000):
                own.emit(event, number)
        except walnats.ConnectionLostError as error:
            failed.append(error)

    with connected(nats_server, event, backend, allow_reconnect=False) as own:
        own.emit(event, 0, sync=True)
        nats_server.kill()
        run_in_threads(emit, [1, 2])
        with pytest.raises(walnats.ConnectionLostError):
            own.emit(event, 1, sync=True)
        with pytest.raises(walnats.EmitError, match="not accepted"):
            own.flush()
    assert len(failed) == 2


def test_nobody_to_connect_to(backend: str) -> None:
    conn = walnats.Events(walnats.Event("x", int)).connect_sync(
        "nats://127.0.0.1:1", backend=backend
    )
    with pytest.raises(walnats.ConnectError):
        conn.open()
    assert THREAD not in [thread.name for thread in threading.enumerate()]


# Before, after and beside


def test_a_life(server: NatsServer, event: walnats.Event[int], backend: str) -> None:
    conn = walnats.Events(event).connect_sync(server.url, backend=backend)
    with pytest.raises(RuntimeError, match="not connected yet"):
        conn.emit(event, 1)
    conn.close()
    assert conn.open() is conn
    assert repr(event.name) in repr(conn)
    with pytest.raises(RuntimeError, match="call connect_sync again"):
        conn.open()
    conn.register()
    conn.emit(event, 1)
    conn.close()
    conn.close()
    assert conn.statistics().acknowledged == 1
    uses: list[Callable[[], object]] = [conn.flush, conn.register, lambda: conn.emit(event, 1)]
    for use in uses:
        with pytest.raises(walnats.ConnectionLostError, match="has been left"):
            use()
    assert "closed" in repr(conn)
    assert THREAD not in [thread.name for thread in threading.enumerate()]


def test_emits_of_other_threads_while_it_is_left(
    server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    """Each of them is stored, or its thread hears that it is not."""
    emitted: list[int] = []

    def emit(own: SyncEvents) -> None:
        with suppress(walnats.ConnectionLostError):
            while True:
                own.emit(event, 1, sync=len(emitted) % 10 == 0)
                emitted.append(1)

    with connected(server, event, backend) as own:
        threads = [threading.Thread(target=emit, args=(own,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until_blocking(lambda: len(emitted) > 100)
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert anyio.run(count, server, event) == len(emitted)


def test_a_callback_of_the_connection_cannot_wait_for_it(
    nats_server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    """It runs in the thread that it would wait for. But it may emit."""
    event = walnats.Event(event.name, int)  # the stream survives the restart
    errors: list[str] = []

    def on_reconnect() -> None:
        uses: list[Callable[[], None]] = [
            own.flush, own.close, lambda: own.emit(event, 0, sync=True)
        ]  # fmt: skip
        own.emit_many(event, range(1, 1500))
        for use in uses:
            try:
                use()
            except RuntimeError as error:
                errors.append(str(error))

    with connected(nats_server, event, backend, reconnected_cb=on_reconnect) as own:
        anyio.run(nats_server.restart)
        until_blocking(lambda: len(errors) == 3, lambda: errors)
    assert anyio.run(count, nats_server, event) == 1499
    assert "would wait for itself" in errors[0]


@pytest.mark.parametrize("backend", ["asyncio"])
def test_a_signal_handler_may_emit(conn: SyncEvents, event: walnats.Event[int]) -> None:
    """Also in the middle of an emit of its own thread."""
    hits: list[int] = []

    def on_alarm(*_: object) -> None:
        conn.emit(event, 1)
        hits.append(1)

    before = signal.signal(signal.SIGVTALRM, on_alarm)
    conn.emit(event, 1)
    emitted = 1
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        while len(hits) < 40:
            conn.emit(event, 1)
            emitted += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    conn.flush()
    assert conn.statistics().acknowledged == emitted + len(hits)


@pytest.mark.parametrize("backend", ["asyncio"])
def test_a_wait_that_is_interrupted_leaves_its_failure_to_flush(
    nats_server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    def interrupt(*_: object) -> None:
        raise Own

    before = signal.signal(signal.SIGUSR1, interrupt)
    with connected(nats_server, event, backend) as own:
        refuse_more(nats_server, event)
        own.emit(event, 1, sync=True)
        nats_server.pause()
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1)).start()
        with pytest.raises(Own):
            own.emit(event, 2, sync=True)
        signal.signal(signal.SIGUSR1, before)
        nats_server.resume()
        with pytest.raises(walnats.EmitError, match="maximum messages exceeded"):
            own.flush()


# Programs


PROGRAM = """
import logging, os, sys, time
import walnats_anyio as walnats
EVENT = walnats.Event(sys.argv[1], int, storage="memory")
EVENTS = walnats.Events(EVENT)
logging.basicConfig(level=logging.INFO)
conn = EVENTS.connect_sync(backend=sys.argv[2]).open()
conn.register()
"""


def start(
    server: NatsServer, event: walnats.Event[int], backend: str, code: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + code,
         event.name, backend],
        cwd=ROOT,
        env={**os.environ, "NATS_SERVER": server.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def run(
    server: NatsServer, event: walnats.Event[int], backend: str, code: str
) -> tuple[int, str, str]:
    with start(server, event, backend, code) as program:
        try:
            out, err = program.communicate(timeout=DEADLINE)
        finally:
            program.kill()
        return program.returncode, out, err


def test_a_program_that_ends_without_closing(
    server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    code = "conn.emit_many(EVENT, range(3000))\nprint(conn.statistics().emitted)"
    assert run(server, event, backend, code) == (0, "3000\n", "")
    with walnats.Events(event).connect_sync(server.url) as conn:
        conn.emit(event, 1, sync=True)
    assert last_sequence(server, event) == 3001


def last_sequence(server: NatsServer, event: walnats.Event[int]) -> int:
    return int(anyio.run(stream_info, server, event)["state"]["last_seq"])


@pytest.mark.parametrize("backend", ["trio"])
def test_a_program_that_ends_while_the_server_is_away(
    nats_server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    """It does not hang, and says what was lost."""
    with start(
        nats_server, event, backend, "print('ready', flush=True)\ninput()\nconn.emit(EVENT, 1)"
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            nats_server.pause()
            _, err = program.communicate("\n", timeout=DEADLINE)
        finally:
            program.kill()
            nats_server.resume()
    assert "InterpreterExit: 1 events were not acknowledged" in err


FORK = """
conn.emit(EVENT, 1)
child = os.fork()
if not child:
    for use in (lambda: conn.emit(EVENT, 2), conn.flush, conn.statistics, conn.register):
        try:
            use()
        except RuntimeError as error:
            print(error, flush=True)
    conn.close()
    with EVENTS.connect_sync(backend=sys.argv[2]) as own:
        own.emit(EVENT, 3, sync=True)
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
conn.emit(EVENT, 4)
conn.close()
"""


def test_a_forked_child_is_told_to_connect_by_itself(
    server: NatsServer, event: walnats.Event[int], backend: str
) -> None:
    code, out, err = run(server, event, backend, FORK)
    assert (code, err) == (0, "")
    *refused, status = out.splitlines()
    assert len(refused) == 4
    assert all("connect after the fork" in line for line in refused)
    assert status == "3"
    assert last_sequence(server, event) == 3


WAIT = """
import threading
conn.emit(EVENT, 0, sync=True)
print("ready", flush=True)
input()
conn.emit(EVENT, 1)
threading.Timer(0.2, print, ["waiting"], {"flush": True}).start()
"""


@pytest.mark.parametrize(
    ("backend", "waiting"),
    [("asyncio", "conn.flush()"), ("trio", "conn.emit_many(EVENT, range(8000))")],
)
def test_ctrl_c_while_it_waits(
    nats_server: NatsServer, event: walnats.Event[int], backend: str, waiting: str
) -> None:
    with start(nats_server, event, backend, WAIT + waiting) as program:
        try:
            assert program.stdout is not None
            assert program.stdin is not None
            assert program.stdout.readline() == "ready\n"
            nats_server.pause()
            program.stdin.write("\n")
            program.stdin.flush()
            assert program.stdout.readline() == "waiting\n"
            program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=DEADLINE)
        finally:
            program.kill()
            nats_server.resume()
    assert program.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert "events were not acknowledged" in err
