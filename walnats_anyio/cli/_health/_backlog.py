"""What waits for the actors in NATS, over all processes everywhere: asked of their consumers.

The leader of each consumer answers, so every process that asks is told the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._actors.declare._actor import on_server
from walnats_anyio._link import Link, WalnatsError, api
from walnats_anyio.cli._oldest import age_of_oldest

KEPT_FOR = 1.0
"""Seconds for which what was asked is told to others that ask as well."""

ASK_WITHIN = 5.0
"""Seconds that all questions together may take."""

QUESTIONS_AT_ONCE = 16
"""Questions that the server has at the same time."""


@dataclass(frozen=True)
class Backlog:
    """What one actor has before it."""

    actor: str
    """The name of the actor."""

    event: str
    """The name of its event."""

    waiting: int
    """Events in the stream that no process has been given yet."""

    running: int
    """Events that a process has: their jobs run, or wait there, or wait for the next attempt."""

    oldest: float | None
    """Seconds since the oldest of all these events was emitted; 0 when there are none.

    None when the user may not read the stream.
    """


class BacklogProblem(Exception):
    """NATS did not tell, or not in time."""


class Backlogs:
    """Asks NATS, and keeps the answer for a moment."""

    def __init__(self, link: Link, actors: Actors) -> None:
        self._link = link
        self._actors = list(actors)
        self._turn = anyio.Lock()
        self._known: list[Backlog] = []
        self._known_until = -1.0

    async def get(self) -> list[Backlog]:
        """What waits for each actor.

        Raises:
            BacklogProblem: NATS does not tell.
        """
        async with self._turn:
            if anyio.current_time() >= self._known_until:
                self._known = await self._ask()
                self._known_until = anyio.current_time() + KEPT_FOR
            return self._known

    async def _ask(self) -> list[Backlog]:
        found: dict[int, Backlog] = {}
        problems: list[str] = []
        limiter = anyio.CapacityLimiter(QUESTIONS_AT_ONCE)

        async def ask_one(number: int, actor: Actor[Any, Any]) -> None:
            try:
                async with limiter:
                    found[number] = await _backlog_of(self._link, actor)
            except WalnatsError as error:
                problems.append(f"actor {actor.name!r}: {error}")

        with anyio.move_on_after(ASK_WITHIN):
            async with anyio.create_task_group() as tasks:
                for number, actor in enumerate(self._actors):
                    tasks.start_soon(partial(ask_one, number, actor))
        if problems:
            raise BacklogProblem("; ".join(sorted(problems)))
        if len(found) < len(self._actors):
            raise BacklogProblem(f"NATS did not answer within {ASK_WITHIN:g} s")
        return [found[number] for number in sorted(found)]


async def _backlog_of(link: Link, actor: Actor[Any, Any]) -> Backlog:
    there = on_server(actor, link.prefixes)
    stream = there.event.stream_name
    info = await api(link, f"CONSUMER.INFO.{stream}.{there.consumer_name}", optional=True)
    waiting, running = int(info["num_pending"]), int(info["num_ack_pending"])
    oldest: float | None = 0.0
    if waiting or running:
        oldest = await age_of_oldest(link, stream, info)
    return Backlog(actor.name, actor.event.name, waiting, running, oldest)


def in_json(backlogs: Iterable[Backlog]) -> dict[str, Any]:
    """What a scaler reads: sums, and the same for each actor by its name.

    Actors of one name, which handle different events, are added up.
    """
    actors: dict[str, dict[str, Any]] = {}
    for each in backlogs:
        sums = actors.setdefault(
            each.actor, {"waiting": 0, "running": 0, "total": 0, "oldest": 0.0}
        )
        sums["waiting"] += each.waiting
        sums["running"] += each.running
        sums["total"] += each.waiting + each.running
        sums["oldest"] = _oldest((sums["oldest"], each.oldest))
    counts = ("waiting", "running", "total")
    return {
        **{name: sum(sums[name] for sums in actors.values()) for name in counts},
        "oldest": _oldest(sums["oldest"] for sums in actors.values()),
        "actors": actors,
    }


def _oldest(ages: Iterable[float | None]) -> float | None:
    known = [0.0]
    for age in ages:
        if age is None:
            return None
        known.append(age)
    return round(max(known), 3)
