"""The pages of the health port."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import anyio

from walnats_anyio.cli._health._backlog import Backlog, BacklogProblem, Backlogs, in_json
from walnats_anyio.cli._health._http import Answer
from walnats_anyio.cli._health._metrics import (
    CONTENT_TYPE,
    Family,
    ProgramMetrics,
    Totals,
    in_text,
    of_consumers,
    of_workers,
)
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._workers import Workers

SCRAPE_ASKS_FOR = 2.0
"""Seconds that NATS has for a scrape of metrics: without its answer the others are told."""


class Pages:
    """Gives the answer to a path."""

    def __init__(
        self,
        plan: Plan,
        workers: Workers,
        backlogs: Backlogs,
        totals: Totals,
        program: ProgramMetrics,
    ) -> None:
        self._plan = plan
        self._workers = workers
        self._backlogs = backlogs
        self._totals = totals
        self._program = program
        self._pages = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/scale": self._scale,
        }

    async def answer(self, path: str) -> Answer:
        """The answer to a path; whatever goes wrong is one as well."""
        page = self._pages.get(path)
        if page is None:
            return _told({"error": "not found", "pages": list(self._pages)}, HTTPStatus.NOT_FOUND)
        try:
            return await page()
        except BacklogProblem as problem:
            return _told({"error": str(problem)}, HTTPStatus.SERVICE_UNAVAILABLE)
        # A defect, or a program's metrics that are broken: the workers must not end for it.
        except Exception as error:  # noqa: BLE001 - logged, and told to who asked
            logger.exception("health port: %s", path)
            told = {"error": f"{type(error).__name__}: {error}"}
            return _told(told, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _livez(self) -> Answer:
        hanging = [str(worker) for worker in self._workers.all if worker.hangs]
        return _told({"live": not hanging, "hanging": hanging}, _ok(not hanging))

    async def _readyz(self) -> Answer:
        workers = [self._worker(number) for number in range(1, self._plan.workers + 1)]
        ready = all(each["ready"] and each["connected"] for each in workers)
        return _told({"ready": ready, "workers": workers}, _ok(ready))

    def _worker(self, number: int) -> dict[str, Any]:
        worker = self._workers.running.get(number)
        return {
            "number": number,
            "pid": None if worker is None else worker.pid,
            "ready": worker is not None and worker.ready,
            "connected": worker is not None and worker.connected,
        }

    async def _scale(self) -> Answer:
        return _told(in_json(await self._backlogs.get()))

    async def _metrics(self) -> Answer:
        known: list[Backlog] | None = None
        with anyio.move_on_after(SCRAPE_ASKS_FOR):
            try:
                known = await self._backlogs.get()
            except BacklogProblem:
                known = None
        known_at_all = Family(
            "walnats_consumer_up",
            "gauge",
            "1 if NATS told what waits for the actors.",
            [({}, float(known is not None))],
        )
        text = in_text([*of_workers(self._workers, self._totals), known_at_all])
        text += in_text(of_consumers(known or ()))
        # The files of the processes are read: the watch over the workers goes on meanwhile.
        text += await anyio.to_thread.run_sync(self._program.text)
        return Answer(text.encode(), content_type=CONTENT_TYPE)


def _ok(fine: bool) -> HTTPStatus:
    return HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE


def _told(told: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(json.dumps(told).encode() + b"\n", status)
