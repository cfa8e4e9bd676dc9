"""Faults of a cluster of three, with a stream that all three have."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.actors._stage import listening
from tests.faults._ledger import Result
from tests.faults._scene import JOBS, Scene, actor_of, go_through, result_of, settle
from walnats_anyio import Actors, Event, Events
from walnats_anyio.testing import NatsCluster

EVENT: Event[int] = Event("numbers", int, replicas=3)


@dataclass(frozen=True)
class ClusterFault:
    """One way to break a part of a cluster, and what it may cost."""

    name: str

    strike: Callable[[NatsCluster], Awaitable[None]]

    within: float

    again: int = 2
    """How often all that the actor holds may be run again: for its connection, and the leader."""

    lasts: float = 1.0


async def kill_leader(cluster: NatsCluster) -> None:
    (await cluster.leader(stream=EVENT.stream_name)).kill()


async def kill_follower(cluster: NatsCluster) -> None:
    leader = await cluster.leader(stream=EVENT.stream_name)
    next(server for server in cluster.servers if server is not leader).kill()


async def pause_leader(cluster: NatsCluster) -> None:
    """It hangs: its connections stay open, and clients have to notice by themselves."""
    (await cluster.leader(stream=EVENT.stream_name)).pause()


async def kill_in_turn(cluster: NatsCluster) -> None:
    """As in an upgrade: each is gone for a second, and the next one goes when it is back."""
    for server in cluster.servers:
        server.kill()
        await anyio.sleep(1)
        await server.start()
        await cluster.wait_ready()


CLUSTER_FAULTS = [
    ClusterFault("cluster: leader killed", kill_leader, 30),
    ClusterFault("cluster: follower killed", kill_follower, 30),
    ClusterFault("cluster: leader hangs", pause_leader, 60, lasts=10),
    ClusterFault("cluster: restarted in turn", kill_in_turn, 30, again=6, lasts=5),
]


async def run_cluster_fault(fault: ClusterFault, backend: str, count: int) -> Result:
    """Send so many events through a fault of a cluster and hand in the ledger."""
    begun = time.monotonic()
    with TemporaryDirectory() as directory:
        scene = Scene(Path(directory, "notes"))
        actor = actor_of(EVENT, scene.path, ack_wait=4)
        async with NatsCluster(3) as cluster:
            async with (
                Events(EVENT).connect(cluster.urls) as events,
                Actors(actor).connect(cluster.urls) as actors,
            ):
                await events.register()
                await actors.register()
                async with listening(actors):
                    over = await go_through(
                        lambda: fault.strike(cluster), scene, events, EVENT, count, fault.lasts
                    )
                    await settle(scene, actors, actor, count)
            return result_of(
                fault.name,
                backend,
                count,
                scene,
                over,
                begun=begun,
                within=fault.within,
                again=fault.again * JOBS,
                doubles=True,
            )
