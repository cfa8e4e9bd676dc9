"""`NatsCluster`: servers that form one JetStream, and keep it when some of them fall."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.support.jetstream import ask, count_messages, make_consumer, make_stream, read_info
from tests.support.processes import children
from walnats_anyio.testing import NatsCluster, NatsServer, NatsServerError

pytestmark = pytest.mark.anyio


async def test_replicated_streams_can_be_made_as_soon_as_the_context_is_entered() -> None:
    async with NatsCluster(3) as cluster:
        for number, server in enumerate(cluster.servers):
            answer = await make_stream(server, f"stream{number}", replicas=3)
            assert answer["config"]["num_replicas"] == 3
            assert answer["cluster"]["name"] == cluster.name


async def test_it_tells_its_members() -> None:
    async with NatsCluster(3) as cluster:
        assert cluster.urls == [server.url for server in cluster.servers]
        assert len({server.port for server in cluster.servers}) == 3
        names = [(await read_info(server))["server_name"] for server in cluster.servers]
        assert names == [server.server_name for server in cluster.servers]
        assert all(server.running for server in cluster.servers)


async def test_it_survives_the_death_of_its_leader() -> None:
    async with NatsCluster(3) as cluster:
        await make_stream(cluster.servers[0], "kept", replicas=3)
        leader = await cluster.leader()
        urls = cluster.urls
        leader.kill()
        await cluster.wait_ready()
        successor = await cluster.leader()
        assert successor is not leader
        assert await count_messages(successor, "kept") == 0
        await leader.start()
        await cluster.wait_ready()
        assert cluster.urls == urls
        assert await count_messages(leader, "kept") == 0


async def test_it_goes_on_while_a_member_is_paused_or_restarted() -> None:
    async with NatsCluster(3) as cluster:
        await make_stream(cluster.servers[0], "kept", replicas=3)
        leaders = [await cluster.leader(), await cluster.leader("kept")]
        other = next(server for server in cluster.servers if server not in leaders)
        other.pause()
        await cluster.wait_ready()
        await ask(leaders[1], "kept", "a message")
        other.resume()
        await other.restart()
        await cluster.wait_ready()
        assert await count_messages(other, "kept") == 1


async def test_the_leader_of_a_stream_and_of_a_consumer() -> None:
    async with NatsCluster(3) as cluster:
        made = await make_stream(cluster.servers[0], "one", replicas=3)
        assert (await cluster.leader("one")).server_name == made["cluster"]["leader"]
        made = await make_consumer(cluster.servers[0], "one", "durable")
        leader = await cluster.leader("one", "durable")
        assert leader.server_name == made["cluster"]["leader"]
        with pytest.raises(ValueError, match="consumer is 'durable' but stream is None"):
            await cluster.leader(consumer="durable")


async def test_without_a_majority_waiting_ends_with_the_logs() -> None:
    async with NatsCluster(3, start_timeout=20) as cluster:
        leader = await cluster.leader()
        for server in cluster.servers:
            if server is not leader:
                server.kill()
        # It was given time to form; now that it cannot, there is no need to wait as long.
        cluster._start_timeout = 0.5
        with pytest.raises(NatsServerError, match=r"(?s)in time.*does not run.*INF") as raised:
            await cluster.leader("no-such-stream")
        assert cluster.name in str(raised.value)


async def test_a_member_that_cannot_start_ends_the_others() -> None:
    before = children()
    with pytest.raises(NatsServerError, match='unknown field "no_such_field"'):
        async with NatsCluster(3, config="no_such_field: 1"):
            pytest.fail("it started")
    assert children() == before


async def test_cancelled_while_its_members_start_it_leaves_nothing() -> None:
    before = children()
    with anyio.move_on_after(0.01) as scope:
        async with NatsCluster(3):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert children() == before


async def test_cancelled_while_its_members_look_for_a_leader_it_leaves_nothing() -> None:
    before = children()
    cluster = NatsCluster(3)

    async def cancel_when_all_run() -> None:
        while not (cluster.servers and all(server.running for server in cluster.servers)):
            await anyio.sleep(0.001)
        scope.cancel()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel_when_all_run)
            async with cluster:
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert children() == before


async def test_configuration_is_for_each_member() -> None:
    async with NatsCluster(2, config={"max_payload": 4096}) as cluster:
        for server in cluster.servers:
            assert (await read_info(server))["max_payload"] == 4096


async def test_a_context_is_entered_once_at_a_time_and_again_afterwards() -> None:
    cluster = NatsCluster(2)
    for use in (cluster.wait_ready, cluster.leader):
        with pytest.raises(NatsServerError, match="not entered"):
            await use()
    async with cluster:
        with pytest.raises(NatsServerError, match="entered already"):
            await cluster.__aenter__()
    async with cluster:
        assert isinstance(await cluster.leader(), NatsServer)


def test_without_an_event_loop() -> None:
    with NatsCluster(3) as cluster:
        leader = cluster.leader_blocking()
        leader.restart_blocking()
        cluster.wait_ready_blocking()
        assert cluster.leader_blocking() in cluster.servers


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 1}, ValueError, "size is 1"),
        ({"size": "3"}, TypeError, "size is '3'"),
        ({"config": {"cluster": {}}}, ValueError, "config sets 'cluster'"),
        ({"config": {"http_port": 8222}}, ValueError, "config sets 'http_port'"),
        ({"start_timeout": -1}, ValueError, "start_timeout must be .* not .*-1"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NatsCluster(**arguments)
