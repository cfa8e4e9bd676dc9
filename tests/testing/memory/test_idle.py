"""What waits costs next to nothing, and is awake when something comes: under a mock clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio
from anyio.abc import TaskStatus

import walnats_anyio as walnats
from walnats_anyio._link import _asyncio, api, open_link, pub
from walnats_anyio._link._sharing import link_of
from walnats_anyio.testing import MemoryServer, jump_clock, mock_clock

EVENT = walnats.Event("placed", int)
EVENTS = walnats.Events(EVENT)

HOUR = 3600.0

WAKES = 2700
"""What an hour takes at most; rounds of pings, pulses and heartbeats would take 8,000."""


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(backend: str, main: Callable[[], Awaitable[None]]) -> None:
    anyio.run(main, backend=backend, backend_options=mock_clock(backend))


class Wakes(trio.abc.Instrument):
    """Counts the rounds of asyncio's event loop, or the steps of trio's tasks."""

    count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1

    def watch(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if backend == "trio":
            trio.lowlevel.add_instrument(self)
            return
        select = _asyncio._JumpingSelector.select

        def counted(selector: Any, timeout: float | None = None) -> Any:
            self.count += 1
            return select(selector, timeout)

        monkeypatch.setattr(_asyncio._JumpingSelector, "select", counted)


async def listening(
    server: MemoryServer, actor: walnats.Actor[Any, Any], scene: Callable[[Any], Awaitable[None]]
) -> None:
    """Play a scene with a connection that emits, while another one listens."""
    actors = walnats.Actors(actor)
    async with EVENTS.connect(server.url) as events, actors.connect(server.url) as conn:
        await events.register()
        await conn.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(conn.listen)
            await scene(events)
            conn.shutdown()


@pytest.mark.parametrize("waits", [False, True])
def test_an_hour_in_which_nothing_happens(
    backend: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or an event waits for its retry."""
    wakes, runs = Wakes(), list[float]()

    async def handle(number: int) -> None:
        runs.append(anyio.current_time())
        if len(runs) == 1:
            raise walnats.Retry(delay=HOUR)

    async def scene(events: Any) -> None:
        if waits:
            await events.emit(EVENT, 1, sync=True)
        wakes.watch(backend, monkeypatch)
        await anyio.sleep(HOUR + 1)

    async def main() -> None:
        async with MemoryServer() as server:
            await listening(server, walnats.Actor("a", EVENT, handle), scene)

    run(backend, main)
    assert 0 < wakes.count < WAKES
    assert len(runs) == 2 * waits
    if waits:
        assert runs[1] - runs[0] == pytest.approx(HOUR, abs=1)


def test_the_first_event_after_a_long_time_is_prolonged_as_any_other(backend: str) -> None:
    """The clock had nothing to do, and begins with its rounds at once."""
    deliveries: list[int] = []

    async def handle(number: int) -> None:
        deliveries.append(walnats.current_context().metadata.num_delivered)
        await anyio.sleep(20)

    async def scene(events: Any) -> None:
        for pause in (58.0, 61.3, 7.7):
            await anyio.sleep(pause)
            await events.emit(EVENT, 1, sync=True)
            await anyio.sleep(25)

    async def main() -> None:
        async with MemoryServer() as server:
            await listening(server, walnats.Actor("a", EVENT, handle, ack_wait=1), scene)

    run(backend, main)
    assert deliveries == [1, 1, 1]


def test_a_handler_that_blocks_after_a_long_time_shows(backend: str) -> None:
    """The clock of `listen` slept, and looks soon after that event has come."""

    def handle(number: int) -> None:
        jump_clock(3)

    async def main() -> None:
        actors = walnats.Actors(walnats.Actor("a", EVENT, handle))
        async with MemoryServer() as server, EVENTS.connect(server.url) as events:
            await events.register()
            async with actors.connect(server.url) as conn, anyio.create_task_group() as tasks:
                await conn.register()
                await tasks.start(conn.listen)
                await anyio.sleep(60)
                await events.emit(EVENT, 1, sync=True)
                await anyio.sleep(4)
                lags.append(conn.statistics().longest_loop_lag)
                conn.shutdown()

    lags: list[float] = []
    run(backend, main)
    assert lags == [pytest.approx(3, abs=0.1)]


@pytest.mark.parametrize("pause", [0.0, 20.0, 61.0])
def test_a_request_that_was_lost_is_noticed(backend: str, pause: float) -> None:
    handled: list[float] = []

    async def handle(number: int) -> None:
        handled.append(anyio.current_time())

    async def main() -> None:
        async with MemoryServer() as server:

            async def scene(events: Any) -> None:
                await anyio.sleep(pause)
                server.drop("$JS.API.CONSUMER.MSG.NEXT.>", 1)
                await anyio.sleep(12)  # the one before it has ended by then
                emitted.append(anyio.current_time())
                await events.emit(EVENT, 1, sync=True)
                await anyio.sleep(30)

            await listening(server, walnats.Actor("a", EVENT, handle), scene)

    emitted: list[float] = []
    run(backend, main)
    assert len(handled) == 1
    assert handled[0] - emitted[0] < 20


def test_a_server_that_stands_still_is_left_in_time(backend: str) -> None:
    async def main() -> None:
        async with MemoryServer() as server, EVENTS.connect(server.url) as events:
            await events.register()
            await anyio.sleep(100)
            server.pause()
            await anyio.sleep(20)
            assert events.statistics().connection.connected
            await anyio.sleep(5)
            assert not events.statistics().connection.connected
            server.resume()
            await events.emit(EVENT, 1, sync=True)
            # A pause that is over in time costs nothing, and the next one is noticed as well.
            for _ in range(2):
                server.pause()
                await anyio.sleep(15)
                server.resume()
                await anyio.sleep(20)
            assert events.statistics().connection.reconnects == 1
            server.pause()
            await anyio.sleep(25)
            assert not events.statistics().connection.connected
            server.resume()

    run(backend, main)


def test_whoever_kept_the_time_may_leave(backend: str) -> None:
    """What is due for others is done all the same."""
    runs: list[float] = []

    async def handle(number: int) -> None:
        runs.append(anyio.current_time())
        if len(runs) < 4:
            raise walnats.Retry(delay=60)

    async def main() -> None:
        async with MemoryServer() as server:

            async def scene(events: Any) -> None:
                await events.emit(EVENT, 1, sync=True)
                for _ in range(3):
                    async with EVENTS.connect(server.url), EVENTS.connect(server.url):
                        await anyio.sleep(30)
                    await anyio.sleep(30.5)
                assert len(runs) == 4

            await listening(server, walnats.Actor("a", EVENT, handle), scene)

    run(backend, main)


def test_a_connection_may_send_while_it_is_told_of_a_message(backend: str) -> None:
    """What is sent from within the server waits until that has done its work."""

    async def main() -> None:
        async with MemoryServer() as server, EVENTS.connect(server.url) as events:
            await events.register()
            heard: list[str] = []

            def told(message: Any) -> None:
                heard.append(message.subject)
                if message.subject == "placed":
                    link_of(events)._outbox.post_now(pub("other", b""))
                    assert "other" not in heard

            with server.overhear(told):
                await events.emit(EVENT, 1, sync=True)
                await anyio.sleep(1)
            assert heard == ["placed", "other"]

    run(backend, main)


def test_who_keeps_the_time_leaves_while_all_others_only_wait(backend: str) -> None:
    """The end of a pull request comes, although nobody has sent anything since."""

    async def keep_time(
        url: str, leave: anyio.Event, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        async with open_link(url):
            task_status.started()
            await leave.wait()

    async def main() -> None:
        leave, over = anyio.Event(), anyio.Event()
        async with MemoryServer() as server, anyio.create_task_group() as tasks:
            await tasks.start(keep_time, server.url, leave)
            async with open_link(server.url) as link:
                await api(link, "STREAM.CREATE.s", {"name": "s", "subjects": ["s"]})
                config = {"durable_name": "c", "ack_policy": "explicit"}
                await api(link, "CONSUMER.CREATE.s.c", {"stream_name": "s", "config": config})
                inbox = link.subscribe(lambda message: over.set()).subject
                ask = b'{"batch": 1, "expires": 5000000000}'
                link.post(pub("$JS.API.CONSUMER.MSG.NEXT.s.c", ask, inbox))
                await anyio.sleep(3)
                leave.set()
                with anyio.fail_after(60):
                    await over.wait()

    run(backend, main)
