"""Events for the actor: a stream of its own that is filled, emptied and deleted."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any

import anyio

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events import BaseEvent, ConnectedEvents, Events
from walnats_anyio._link import Link, Prefixes, ServerError, api, open_link, stream_names
from walnats_anyio.tune._window import SENT

logger = logging.getLogger("walnats_anyio.tune")

TO_CLEAN_UP = 5.0
"""Seconds for deleting the streams at the end."""

SHORTEST_NAP = 0.001
"""Seconds between two looks at what is due."""


class Feed:
    """Emits messages to the stream of one event. Made by `feed`."""

    def __init__(
        self, connected: ConnectedEvents, event: BaseEvent[Any], link: Link, messages: Sequence[Any]
    ) -> None:
        self._connected, self._event, self._link = connected, event, link
        self._messages = cycle(messages)
        self._stream = link.prefixes.stream(event.stream_name)
        self._random = random.Random(1)

    async def waiting(self) -> int:
        """How many events the stream holds, those included that are being handled."""
        info = await api(self._link, f"STREAM.INFO.{self._stream}")
        return int(info["state"]["messages"])

    async def fill(self, count: int) -> None:
        """See to it that the stream holds at least so many events."""
        missing = count - await self.waiting()
        if missing > 0:
            await self._connected.emit_many(self._event, islice(self._messages, missing))
            await self._connected.flush()

    async def empty(self) -> None:
        """Remove all events from the stream; those that are being handled are not stopped."""
        await api(self._link, f"STREAM.PURGE.{self._stream}")

    async def pace(self, rate: float, seconds: float) -> None:
        """Emit events at random times, so many per second on average; each says when it was."""
        due = time.monotonic()
        end = due + seconds
        while due < end:
            while due <= time.monotonic():
                sent = f"{SENT}{time.monotonic_ns()}"
                await self._connected.emit(self._event, next(self._messages), trace_id=sent)
                due += self._random.expovariate(rate)
            await anyio.sleep(max(SHORTEST_NAP, min(due, end) - time.monotonic()))


@asynccontextmanager
async def feed(
    connect: dict[str, Any], actor: Actor[Any, Any], messages: Sequence[Any]
) -> AsyncIterator[Feed]:
    """Make the stream and the consumer of the actor, and delete all streams at the end.

    Args:
        connect: the arguments of `connect`, with a namespace that nobody else has.
        actor: as it is measured.
        messages: what is emitted, again and again.
    """
    events = Events(actor.event)
    async with events.connect(**connect) as connected, _link(connect) as link:
        try:
            await connected.register()
            async with Actors(actor).connect(**connect) as registering:
                await registering.register()
            yield Feed(connected, actor.event, link, messages)
        finally:
            with anyio.move_on_after(TO_CLEAN_UP, shield=True) as scope:
                await _delete_streams(link)
            if scope.cancelled_caught:
                logger.warning(
                    "the streams of %r may be left on the server", link.prefixes.namespace
                )


def _link(connect: dict[str, Any]) -> Any:
    options = dict(connect)
    names = [options.pop(name, None) for name in ("domain", "js_prefix", "namespace")]
    server = options.pop("server", None)
    return open_link(server, options=options, prefixes=Prefixes.of(*names))


async def _delete_streams(link: Link) -> None:
    try:
        for name in await stream_names(link):
            await api(link, f"STREAM.DELETE.{name}")
    except ServerError as error:
        namespace = link.prefixes.namespace
        logger.warning("the streams of %r are left on the server: %s", namespace, error)
