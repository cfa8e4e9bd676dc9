"""What is left to do for some actors, as the server says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events._schedules import (
    STREAM,
    due_subject,
    keeps_schedules,
    schedule_subject,
    schedules_of,
)
from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api


@dataclass(frozen=True)
class Left:
    """What the server says of one consumer."""

    pending: int
    """Events that it has not delivered yet."""

    unsettled: int
    """Events that it has delivered, and that nobody has settled; retries that wait among them."""

    delivered: int
    """Deliveries so far."""

    delivered_up_to: int
    """The place in its stream of the last event that it has delivered for the first time."""

    paused: bool
    """Whether it delivers nothing, as somebody has paused it on the server."""

    copies: int
    """Events whose copies wait in the server for their next attempt."""

    delayed: int
    """Events that the server keeps until they are due, for all actors of the event."""

    @property
    def is_all(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.pending or self.unsettled or self.copies or self.delayed)

    @property
    def count(self) -> int:
        """How many events are left."""
        return self.pending + self.unsettled + self.copies + self.delayed


class Backlog:
    """Asks the server what is left for some actors, as the server has them."""

    def __init__(self, link: Link, actors: Iterable[Actor[Any, Any]]) -> None:
        self.actors = tuple(actors)
        self._link = link
        self._subjects: dict[str, int] = {}
        """How many messages the stream of schedules has, by their subjects."""
        self._reads_schedules = True

    async def left(self) -> list[Left] | None:
        """What is left; None as soon as it is known that something is.

        Raises:
            ServerError: the server refuses an answer, or gives none.
        """
        await self.read_schedules()
        found: list[Left] = []
        for actor in self.actors:
            found.append(await self.left_for(actor))
            if not found[-1].is_all:
                return None
        return found

    async def count(self) -> int:
        """How many events are left, over all actors.

        Raises:
            ServerError: the server refuses an answer, or gives none.
        """
        await self.read_schedules()
        return sum([(await self.left_for(actor)).count for actor in self.actors])

    async def left_for(self, actor: Actor[Any, Any]) -> Left:
        """What is left for one actor; what is delayed, as of the last `read_schedules`.

        Raises:
            ServerError: the server refuses an answer, or gives none.
        """
        stream, consumer = actor.event.stream_name, actor.consumer_name
        answer = await api(self._link, f"CONSUMER.INFO.{stream}.{consumer}")
        return Left(
            pending=int(answer.get("num_pending", 0)),
            unsettled=int(answer.get("num_ack_pending", 0)),
            delivered=int(answer["delivered"]["consumer_seq"]),
            delivered_up_to=int(answer["delivered"]["stream_seq"]),
            paused=bool(answer.get("paused")),
            copies=self._scheduled("retry", stream, consumer),
            delayed=self._scheduled("delay", stream) + self._due(stream),
        )

    async def ends(self) -> dict[str, int]:
        """The place of the last event in each stream that has any; none of those that are empty.

        Where this user may not ask, it is left out.

        Raises:
            ServerError: the server refuses an answer, or gives none.
        """
        ends: dict[str, int] = {}
        for stream in dict.fromkeys(actor.event.stream_name for actor in self.actors):
            try:
                answer = await api(self._link, f"STREAM.INFO.{stream}", optional=True)
            except ServerError as error:
                if not isinstance(error.__cause__, PermissionError):
                    raise
                continue
            if answer["state"]["messages"]:
                ends[stream] = int(answer["state"]["last_seq"])
        return ends

    async def read_schedules(self) -> None:
        """Ask what waits in the stream of schedules.

        It comes first: what is due goes from there to the stream of its event.

        Raises:
            ServerError: the server refuses an answer, or gives none.
        """
        prefixes = self._link.prefixes
        keeps = keeps_schedules(self._link.info.version) or prefixes.elsewhere
        if not keeps or not self._reads_schedules:
            return
        subject = f"STREAM.INFO.{prefixes.stream(STREAM)}"
        try:
            answer = await api(self._link, subject, {"subjects_filter": ">"}, optional=True)
        except ServerError as error:
            if isinstance(error.__cause__, PermissionError):
                self._reads_schedules = False
            elif error.code != STREAM_NOT_FOUND:
                raise
            self._subjects = {}
            return
        self._subjects = answer["state"].get("subjects") or {}

    def _scheduled(self, kind: Any, stream: str, *tokens: str) -> int:
        """How many schedules of a kind there are.

        A client that does not know its domain has other subjects than one that does.
        """
        prefixes = self._link.prefixes
        known = schedule_subject(prefixes, kind, stream, *tokens, "")
        ours = {known, known.replace(schedules_of(prefixes.known_domain), schedules_of(None), 1)}
        return sum(
            count for subject, count in self._subjects.items() if subject.startswith(tuple(ours))
        )

    def _due(self, stream: str) -> int:
        """How many events are on the way from the stream of schedules; they stay for a second."""
        return self._subjects.get(due_subject(self._link.prefixes, stream), 0)
