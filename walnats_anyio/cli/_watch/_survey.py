"""What the server says about all actors: nothing of it comes from the processes that run them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import anyio

from walnats_anyio._letters._letter import STREAM as LETTERS
from walnats_anyio._letters._letter import SUBJECTS as LETTER_SUBJECTS
from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api
from walnats_anyio.cli._oldest import age_of_oldest

AT_ONCE = 16
"""Streams that are asked about at the same time."""


@dataclass(frozen=True)
class StreamState:
    """A stream that keeps an event."""

    name: str
    event: str
    """The subject that it takes, without the namespace."""

    messages: int
    """Events that some actor is not done with."""

    config: dict[str, Any]


@dataclass(frozen=True)
class ActorState:
    """An actor, as the server knows it: a durable consumer."""

    actor: str
    """Its name, without the namespace."""

    event: str
    stream: str
    consumer: str
    waiting: int
    """Events that no process has got yet."""

    held: int
    """Events that processes hold: jobs that run, wait for a slot, or for their retry."""

    redelivered: int
    """Events of these that were delivered more than once."""

    requests: int
    """Pull requests that wait for events: somebody listens, and has free slots."""

    done: int
    """Deliveries that are over, since the consumer was made."""

    oldest: float | None
    """Seconds since the oldest event was emitted that it is not done with; None: there is none, or
    it cannot be seen."""

    dead: int
    """Dead letters of it."""

    paused: float | None
    """Seconds for which it is paused in all processes; None: it is not."""

    config: dict[str, Any]

    @property
    def left(self) -> int:
        """Events that it is not done with."""
        return self.waiting + self.held


class Survey:
    """Asks the server, again and again."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._letters: Counter[tuple[str, str]] = Counter()
        self._letters_seen: tuple[int, int] | None = None

    async def streams(self) -> list[StreamState]:
        """Find the streams that keep events, in the order of their names.

        Raises:
            ServerError: the user may not list them, or the server does not answer.
            ConnectionLostError: the link is closed for good.
        """
        prefix = self._link.prefixes.subject("")
        found: list[StreamState] = []
        async for info in self._pages("STREAM.LIST", "streams"):
            config = info["config"]
            subjects: list[str] = config.get("subjects") or []
            if config.get("retention") != "interest" or len(subjects) != 1:
                continue
            [subject] = subjects
            if subject.startswith(prefix) and config["name"] == subject.replace(".", "-"):
                event = subject.removeprefix(prefix)
                found.append(StreamState(config["name"], event, info["state"]["messages"], config))
        return sorted(found, key=lambda stream: stream.name)

    async def actors(self, names: Iterable[str] | None = None) -> list[ActorState]:
        """Find all actors, in the order of events and names.

        Args:
            names: those of the actors; None: all of them.

        Raises:
            ServerError: the user may not list streams or consumers, or the server does not answer.
            ConnectionLostError: the link is closed for good.
        """
        wanted = None if names is None else set(names)
        streams = await self.streams()
        await self._read_letters()
        found: list[ActorState] = []
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def look(stream: StreamState) -> None:
            async with limiter:
                async for info in self._pages(f"CONSUMER.LIST.{stream.name}", "consumers"):
                    state = await self._actor(stream, info, wanted)
                    if state is not None:
                        found.append(state)

        async with anyio.create_task_group() as tasks:
            for stream in streams:
                tasks.start_soon(look, stream)
        return sorted(found, key=lambda actor: (actor.event, actor.actor))

    async def _pages(self, subject: str, what: str) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            page = await api(self._link, subject, {"offset": offset})
            items: list[dict[str, Any]] = page.get(what) or []
            for item in items:
                yield item
            offset += len(items)
            if not items or offset >= page["total"]:
                return

    async def _actor(
        self, stream: StreamState, info: dict[str, Any], wanted: set[str] | None
    ) -> ActorState | None:
        config, consumer = info["config"], info["name"]
        prefix = self._link.prefixes.consumer("")
        if not config.get("durable_name") or config.get("deliver_subject"):
            return None
        name = consumer.removeprefix(prefix)
        if not consumer.startswith(prefix) or (wanted is not None and name not in wanted):
            return None
        waiting, held = info.get("num_pending", 0), info.get("num_ack_pending", 0)
        oldest = None
        if waiting or held:
            oldest = await age_of_oldest(self._link, stream.name, info) or None
        return ActorState(
            actor=name,
            event=stream.event,
            stream=stream.name,
            consumer=consumer,
            waiting=waiting,
            held=held,
            redelivered=info.get("num_redelivered", 0),
            requests=info.get("num_waiting", 0),
            done=info["delivered"]["consumer_seq"] - held,
            oldest=oldest,
            dead=self._letters[stream.name, consumer],
            paused=info.get("pause_remaining", 0) / 1e9 if info.get("paused") else None,
            config=config,
        )

    async def _read_letters(self) -> None:
        """Count the dead letters of each actor, if there are others than before."""
        prefixes = self._link.prefixes
        subject = f"STREAM.INFO.{prefixes.stream(LETTERS)}"
        try:
            state = (await api(self._link, subject, optional=True))["state"]
            seen = (state["messages"], state["last_seq"])
            if seen == self._letters_seen:
                return
            letters = prefixes.subject(LETTER_SUBJECTS)
            wanted = {"subjects_filter": f"{letters}.*.*.*"}
            answer = await api(self._link, subject, wanted, optional=True)
        except ServerError as error:
            if error.code == STREAM_NOT_FOUND:
                self._letters.clear()
            return  # this user may not look
        self._letters.clear()
        subjects: dict[str, int] = answer["state"].get("subjects") or {}
        for each, count in subjects.items():
            stream, actor, _ = each.removeprefix(f"{letters}.").split(".")
            self._letters[stream, actor] += count
        self._letters_seen = seen
