"""A cluster whose servers reach each other through proxies, so that one can be parted from it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.actors._stage import listening
from tests.faults._cluster import EVENT
from tests.faults._ledger import Result
from tests.faults._proxy import Proxy
from tests.faults._scene import JOBS, Scene, actor_of, go_through, result_of, settle
from tests.support.waiting import until
from walnats_anyio import Actors, Events, WalnatsError
from walnats_anyio._link import Link, api
from walnats_anyio.testing import NatsServer
from walnats_anyio.testing._ports import HOST, HeldPort
from walnats_anyio.types import ConnectedEvents

SIZE = 3

PARTED = 12.0
"""Seconds: long enough for the others to elect leaders, and for the parted one to step down."""


@dataclass(frozen=True)
class PartedFault:
    """One server is parted from the two others for a while; its clients still reach it."""

    name: str

    within: float

    of_the_listener: bool
    """Whether it is the one the listener is connected to, else the leader of the stream."""


PARTED_FAULTS = [
    PartedFault("cluster: leader parted for 12 s", 60, of_the_listener=False),
    PartedFault("cluster: listener's server parted for 12 s", 60, of_the_listener=True),
]


@dataclass
class PartedCluster:
    """The servers, and the ways from each to each other."""

    servers: list[NatsServer]

    ways: dict[tuple[int, int], Proxy]

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    async def part(self, number: int) -> None:
        """Part one server from the others for a while."""
        around = [way for ends, way in self.ways.items() if number in ends]
        for way in around:
            way.stall()
        await anyio.sleep(PARTED)
        for way in around:
            way.heal()


@asynccontextmanager
async def open_parted_cluster() -> AsyncIterator[PartedCluster]:
    async with AsyncExitStack() as stack:
        ports = [HeldPort() for _ in range(SIZE)]
        for port in ports:
            stack.callback(port.release)
        ways = {
            (here, there): stack.enter_context(Proxy(ports[there].number))
            for here in range(SIZE)
            for there in range(SIZE)
            if here != there
        }
        servers = [
            await stack.enter_async_context(
                NatsServer(
                    server_name=f"parted-{here}",
                    config={
                        "cluster": {
                            "name": "parted",
                            "listen": f"{HOST}:{ports[here].number}",
                            # What they tell each other leads nowhere, or past the proxies.
                            "advertise": f"{HOST}:1",
                            "routes": [
                                f"nats://{HOST}:{way.port}"
                                for (start, _), way in ways.items()
                                if start == here
                            ],
                        }
                    },
                )
            )
            for here in range(SIZE)
        ]
        yield PartedCluster(servers, ways)


async def register_when_ready(events: ConnectedEvents) -> None:
    """Register as soon as the servers have found each other."""

    async def registered() -> bool:
        try:
            await events.register()
        except WalnatsError:
            return False
        return True

    await until(registered, 120)


async def leader_of_stream(link: Link) -> int:
    answer = await api(link, f"STREAM.INFO.{EVENT.stream_name}")
    return int(answer["cluster"]["leader"].rpartition("-")[2])


async def run_parted_fault(fault: PartedFault, backend: str, count: int) -> Result:
    """Send so many events through a partition and hand in the ledger."""
    begun = time.monotonic()
    with TemporaryDirectory() as directory:
        scene = Scene(Path(directory, "notes"))
        actor = actor_of(EVENT, scene.path, ack_wait=4)
        async with (
            open_parted_cluster() as cluster,
            Events(EVENT).connect(cluster.urls) as events,
            Actors(actor).connect(cluster.urls) as actors,
        ):
            await register_when_ready(events)
            await actors.register()

            async def strike() -> None:
                if fault.of_the_listener:
                    connection = actors._link._connection
                    assert connection is not None
                    connected = connection.server.place
                    number = [url.partition("//")[2] for url in cluster.urls].index(connected)
                else:
                    number = await leader_of_stream(actors._link)
                await cluster.part(number)

            async with listening(actors):
                over = await go_through(strike, scene, events, EVENT, count, PARTED)
                await settle(scene, actors, actor, count)
            return result_of(
                fault.name,
                backend,
                count,
                scene,
                over,
                begun=begun,
                within=fault.within,
                # Its own connection is not lost, but acknowledgements to a leader may be.
                again=2 * JOBS,
                doubles=True,
            )
