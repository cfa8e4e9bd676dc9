"""What does not come back: said by the one who waits for it, and not waited for without end."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.actors._stage import breaking, stage
from tests.faults._proxy import Proxy
from tests.support.recorders import Gate, Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, ConsumerConfigError, EmitError, Event, Events
from walnats_anyio._link import api, open_link
from walnats_anyio.testing import NatsCluster, NatsServer

pytestmark = pytest.mark.anyio

EVENT: Event[int] = Event("numbers", int)


@pytest.fixture
def proxy(nats_server: NatsServer) -> Iterator[Proxy]:
    with Proxy(nats_server.port) as proxy:
        yield proxy


async def delete(server: NatsServer, what: str) -> None:
    async with open_link(server.url) as link:
        await api(link, what)


@pytest.mark.parametrize("what", ["CONSUMER.DELETE.numbers.a", "STREAM.DELETE.numbers"])
@pytest.mark.parametrize(
    ("busy", "away"), [(False, False), (True, False), (True, True)], ids=["idle", "busy", "away"]
)
async def test_a_consumer_or_a_stream_deleted_underneath(
    nats_server: NatsServer, proxy: Proxy, what: str, busy: bool, away: bool
) -> None:
    gate = Gate()
    # A look at a consumer that does not answer is due four times in an `ack_wait`.
    actor = Actor("a", EVENT, gate, max_jobs=2, ack_wait=1)
    async with stage(nats_server.url, actor) as on, Actors(actor).connect(proxy.url) as conn:
        if busy:
            await on.emit(*range(10))
        async with breaking(conn, ConsumerConfigError):
            if busy:
                await gate.come(2)
            else:
                await until(lambda: conn._listening is not None)
            if away:
                proxy.cut(refuse=True)
                await until(lambda: not conn._link.connected)
            await delete(nats_server, what)
            proxy.heal()
            gate.open()


async def test_emits_to_a_stream_deleted_underneath(nats_server: NatsServer) -> None:
    actor = Actor("a", EVENT, Handled())
    async with stage(nats_server.url, actor) as on:
        await on.emit(1)
        await delete(nats_server, "STREAM.DELETE.numbers")
        refused = 0
        for number in range(100):
            # Once it is known that there is no stream, `emit` itself says so.
            try:
                await on.events.emit(EVENT, number)
            except EmitError:
                refused += 1
        with anyio.fail_after(30), pytest.raises(EmitError, match="register the event") as failed:
            await on.events.flush()
        assert refused + max(1, len(failed.value.errors)) == 100


async def test_emits_while_the_server_is_away_for_longer_than_they_wait(
    nats_server: NatsServer, proxy: Proxy
) -> None:
    """A window of them is kept; then `emit` waits; then it is said that they did not arrive."""
    event: Event[int] = Event("impatient", int, dedup_window=2)
    async with Events(event).connect(proxy.url) as events:
        await events.register()
        await events.emit(event, 0, sync=True)
        proxy.cut(refuse=True)
        await until(lambda: not events._link.connected)
        for number in range(4096):
            await events.emit(event, number)
        with anyio.move_on_after(0.5) as waited:
            await events.emit(event, 4096)
        assert waited.cancelled_caught, "the 4,097th emit did not wait"
        with anyio.fail_after(30):
            # The window empties, and there is room again.
            await events.emit(event, 4097)
            with pytest.raises(
                EmitError, match=r"4097 events were not accepted.*within the event.s dedup_window"
            ):
                await events.flush()
        proxy.heal()
        await until(lambda: events._link.connected)
        await events.emit(event, 4098, sync=True)


@pytest.mark.parametrize("how", ["away", "stuck"])
async def test_what_has_failed_is_not_sent_later(
    nats_server: NatsServer, proxy: Proxy, how: str
) -> None:
    """Nor kept: an outage would take as much memory as is emitted in it."""
    event: Event[bytes] = Event("impatient", bytes, dedup_window=0.5)
    async with Events(event).connect(proxy.url, ping_interval=60) as events:
        await events.register()
        await events.emit(event, b"first", sync=True)
        if how == "away":
            proxy.cut(refuse=True)
            await until(lambda: not events._link.connected)
        else:
            # What the socket has taken of a batch has gone out, and so must the rest of the batch.
            proxy.stall(new="pass")
            while not events._link._outbox.stuck:
                await events.emit(event, bytes(500_000))
                await checkpoint()
        for _ in range(20):
            await events.emit(event, bytes(500_000))
        with pytest.raises(EmitError, match=r"not acknowledged within the event.s dedup_"):
            await events.flush(30)
        assert events.statistics().connection.unsent < 5_000_000
        proxy.heal()
        await until(lambda: events._link.connected)
        with anyio.fail_after(30):
            await events.emit(event, b"last", sync=True)
        async with open_link(nats_server.url) as link:
            info = await api(link, "STREAM.INFO.impatient")
        assert info["state"]["last_seq"] < events.statistics().emitted - 10


async def test_an_event_emitted_twice_at_once(nats_cluster: NatsCluster) -> None:
    """The servers of a replicated stream take a moment to agree that one is a duplicate."""
    event: Event[int] = Event("replicated", int, replicas=3)
    handled = Handled()
    async with stage(nats_cluster.urls[0], Actor("a", event, handled)) as on:
        await on.emit(0)
        await on.events.emit_many(event, [1] * 50, uid=str, sync=True)
        await on.actors.listen(burst=True)
    assert sorted(handled.messages) == [0, 1]
