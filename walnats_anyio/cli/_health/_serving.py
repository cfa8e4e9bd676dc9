"""The health port of one supervisor: what it needs, for as long as it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from walnats_anyio._actors import Actors
from walnats_anyio.cli._health._backlog import Backlogs
from walnats_anyio.cli._health._http import listen_at, serve
from walnats_anyio.cli._health._metrics import ProgramMetrics, Totals, program_metrics
from walnats_anyio.cli._health._pages import Pages
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._worker_process import WorkerProcess
from walnats_anyio.cli._workers import Workers


class HealthPort:
    """The port, and what its pages show."""

    def __init__(
        self,
        listeners: MultiListener[SocketStream],
        pages: Pages,
        totals: Totals,
        program: ProgramMetrics,
    ) -> None:
        self._listeners = listeners
        self._pages = pages
        self._totals = totals
        self._program = program
        self.port: int = listeners.extra(SocketAttribute.local_port)
        """The number of the port."""

    async def serve(self) -> None:
        """Answer requests until cancelled."""
        await serve(self._listeners, self._pages.answer)

    def ended(self, worker: WorkerProcess) -> None:
        """Keep what a process did that has ended."""
        self._totals.add(worker)
        self._program.ended(worker)


@asynccontextmanager
async def open_health_port(
    plan: Plan, actors: Actors, workers: Workers
) -> AsyncIterator[HealthPort]:
    """Take the port and connect to NATS; nothing is answered before `serve`.

    Raises:
        Problem: the port is taken.
        ConnectError: no server was reached.
    """
    port = plan.health.health_port
    assert port is not None
    listeners = await listen_at(plan.health.health_host, port)
    async with listeners, plan.open_link() as link:
        # After the port is ours: a directory that nobody needs would be left behind by a kill.
        with program_metrics() as program:
            workers.env = program.env
            totals = Totals()
            pages = Pages(plan, workers, Backlogs(link, actors), totals, program)
            health = HealthPort(listeners, pages, totals, program)
            logger.info("health port: http://%s:%d", plan.health.health_host, health.port)
            yield health
