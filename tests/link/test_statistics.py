"""What a connection shows of itself: `statistics().connection`, and its `repr`."""

from __future__ import annotations

from time import monotonic

import nats
import pytest

import walnats_anyio as walnats
from tests.link._probe import keep
from tests.support.waiting import until
from walnats_anyio._link import _dialer, open_link
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents, ConnectionStatistics

pytestmark = pytest.mark.anyio

EVENT: walnats.Event[int] = walnats.Event("numbers", int)
EVENTS = walnats.Events(EVENT)


async def handle(_message: int) -> None: ...


ACTORS = walnats.Actors(walnats.Actor("a", EVENT, handle))


def without_times(of: ConnectionStatistics) -> tuple[object, ...]:
    return of.connected, of.closed, of.reconnects, of.last_error, of.pending, of.unsent


async def until_connected(conn: ConnectedEvents, wanted: bool) -> None:
    await until(lambda: conn.statistics().connection.connected is wanted)


async def test_a_new_connection(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as events, ACTORS.connect(nats_server.url) as actors:
        for shown in (events.statistics().connection, actors.statistics().connection):
            assert shown.server == nats_server.url
            assert without_times(shown) == (True, False, 0, "", 0, 0)
            assert shown.uptime > 0
            assert shown.downtime == 0
        later = events.statistics().connection
        await until(lambda: events.statistics().connection.uptime > later.uptime)


async def test_an_outage_while_it_lasts_and_afterwards(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        killed_at = monotonic()
        nats_server.kill()
        await until_connected(conn, False)
        lost = conn.statistics().connection
        assert 0 < lost.downtime < monotonic() - killed_at
        assert (lost.server, lost.uptime, lost.reconnects) == (nats_server.url, 0, 0)
        assert lost.last_error
        await until(lambda: conn.statistics().connection.downtime > lost.downtime)
        await conn.emit(EVENT, 1)
        held = conn.statistics().connection
        assert held.pending == lost.pending + 1
        assert held.unsent > lost.unsent
        started_at = monotonic()
        await nats_server.start()
        await until_connected(conn, True)
        await conn.flush()
        back = conn.statistics().connection
        assert back.server == lost.server
        assert (back.connected, back.closed, back.reconnects, back.downtime) == (True, False, 1, 0)
        assert 0 < back.uptime < monotonic() - started_at
        assert back.last_error
        assert back.unsent == 0
        await until(lambda: conn.statistics().connection.pending == 0)
        await nats_server.restart()
        await until(lambda: conn.statistics().connection.reconnects == 2)


@pytest.mark.parametrize("every", [10.0, 0.2])
async def test_what_is_logged_of_an_outage(
    nats_server: NatsServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    every: float,
) -> None:
    """Its beginning, its end, and now and then that it goes on."""
    monkeypatch.setattr(_dialer, "SAY_EVERY", every)
    errors: list[Exception] = []
    began = monotonic()
    async with open_link(nats_server.url, options={"error_cb": errors.append}):
        nats_server.kill()
        # Each attempt that failed is told to the program.
        await until(lambda: len(errors) >= 4)
        if every < 1:
            await until(lambda: "still not connected after" in caplog.text)
        await nats_server.start()
        await until(lambda: "connected again after" in caplog.text)
    said = [record.getMessage() for record in caplog.records if record.name.endswith(".link")]
    assert [f"{nats_server.url}: connection lost" in each for each in said].count(True) == 1
    (again,) = (each for each in said if "connected again after" in each)
    assert float(again.rpartition("after ")[2].removesuffix(" s")) <= monotonic() - began + 0.1
    assert (len(said) > 2) == (every < 1), said
    # Why the last attempt failed, as the program is told.
    reasons = tuple(str(error).partition(": ")[2] for error in errors)
    assert all(each.endswith(reasons) for each in said if "still not connected" in each), said


async def test_closed_for_good(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url, allow_reconnect=False) as conn:
        nats_server.kill()
        await until(lambda: conn.statistics().connection.closed)
        shown = conn.statistics().connection
        assert (shown.connected, shown.uptime) == (False, 0)
        assert shown.downtime > 0
        assert "lost for good" in shown.last_error
        assert repr(conn).startswith(f"<ConnectedEvents of {EVENTS!r}, closed: the connection to N")


async def test_when_it_has_been_left(nats_server: NatsServer) -> None:
    async with EVENTS.connect(nats_server.url) as events, ACTORS.connect(nats_server.url) as actors:
        pass
    for shown in (events.statistics().connection, actors.statistics().connection):
        assert without_times(shown) == (False, True, 0, "the connection has been left", 0, 0)
        assert shown.uptime == 0
    assert "closed: the connection has been left" in repr(actors)


async def test_no_password_is_shown() -> None:
    config = "authorization { user: kim, password: kimspw }"
    with NatsServer(config=config) as server:
        url = server.url.replace("//", "//kim:kimspw@")
        async with (
            EVENTS.connect(url) as events,
            ACTORS.connect(url) as actors,
            DeadLetters.connect(url) as dead,
        ):
            for shown in (events, actors, events.statistics(), actors.statistics(), dead):
                assert "kimspw" not in repr(shown)
                assert f"{server.port}" in repr(shown)


async def test_what_connections_show(nats_server: NatsServer) -> None:
    url = nats_server.url
    async with (
        EVENTS.connect(url) as events,
        ACTORS.connect(url) as actors,
        DeadLetters.connect(url) as dead,
    ):
        await events.register()
        events_text = f"<ConnectedEvents of Events('numbers'), connected to {url}, 0 outstanding>"
        assert repr(events) == events_text
        assert repr(actors) == f"<ConnectedActors of Actors('a'), connected to {url}>"
        assert repr(dead) == f"<DeadLetters connected to {url}>"
        nats_server.kill()
        await until_connected(events, False)
        await events.emit(EVENT, 1)
        assert ", not connected: " in repr(events)
        assert ", 1 outstanding>" in repr(events)
        await nats_server.start()


class TestOfABorrowedClient:
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    async def test_it_counts_what_the_client_does(self, nats_server: NatsServer) -> None:
        client = await nats.connect(nats_server.url, reconnect_time_wait=0.05)
        async with EVENTS.connect(client) as conn:
            await conn.register()
            assert conn.statistics().connection.server == nats_server.url
            nats_server.kill()
            await until_connected(conn, False)
            assert conn.statistics().connection.last_error
            await nats_server.start()
            await until_connected(conn, True)
            shown = conn.statistics().connection
            assert (shown.reconnects, shown.downtime) == (1, 0)
            assert shown.last_error
