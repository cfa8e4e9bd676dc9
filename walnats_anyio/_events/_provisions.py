"""What `register` gives the streams of events for delays and expiry.

An event that is declared so gets it: a source with `delays=True`, the time to live with `ttl=True`.
And one whose schedules wait, while its stream does not source from them, gets its source back: its
stream was made anew, or walnats 1.2 has registered it.

Nothing fails for it: without, delayed events wait with their actors, and `emit(ttl=)` is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._plan import PlanEntry, plan_helper
from walnats_anyio._events._schedules import (
    ALLOW_TTL,
    STREAM,
    SUBJECTS,
    TTL_SINCE,
    add_source,
    create_schedules,
    due_subject,
    has_source,
    keeps_schedules,
    new_config,
    schedules_of,
    source_of,
)
from walnats_anyio._link import Link, ServerError, api, is_at_least, version_of

logger = logging.getLogger("walnats_anyio.events")


@dataclass(frozen=True, slots=True)
class Missing:
    """What the stream of an event lacks."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """The fields that it needs, with their whole values."""

    warnings: tuple[str, ...] = ()
    """What the event declares and cannot have, as sentences without their end."""


class Provisions:
    """Finds out what streams lack, during one `register`.

    Args:
        link: the connection.
        dry: only say it; without, the stream of schedules is made where an event needs it.
    """

    def __init__(self, link: Link, *, dry: bool = False) -> None:
        self._link = link
        self._dry = dry
        self._waiting: bool | None = None
        """Whether anything is scheduled at all; None until that was asked."""
        self._lock = anyio.Lock()

    async def missing_in(self, config: Mapping[str, Any], event: BaseEvent[Any]) -> Missing:
        """Give what the stream of an event lacks.

        Args:
            config: what the stream has; empty where it is not there yet.
            event: the event, in its namespace.
        """
        version = version_of(self._link, config)
        missing: dict[str, Any] = {}
        warnings: list[str] = []
        if event.ttl and not config.get(ALLOW_TTL):
            if is_at_least(version, TTL_SINCE):
                missing[ALLOW_TTL] = True
            else:
                warnings.append(f"ttl=True needs nats-server 2.11 or later, and this is {version}")
        source = source_of(event, self._link.prefixes)
        if not has_source(config, source) and await self._needs_source(event, version, warnings):
            missing |= add_source(config, source)
        return Missing(missing, tuple(warnings))

    async def _needs_source(self, event: BaseEvent[Any], version: str, warnings: list[str]) -> bool:
        if not keeps_schedules(version):
            if event.delays:
                what = "that delayed events wait in it needs nats-server 2.14"
                warnings.append(f"{what}, and this is {version}")
            return False
        try:
            if event.delays:
                # A plan takes it for granted that the stream of schedules can be made.
                return self._dry or await create_schedules(
                    self._link, event.replicas, event.dedup_window
                )
            return await self._is_anything_waiting() and await self._waits(event)
        except ServerError as error:
            if event.delays:
                warnings.append(f"it gets no schedules: {error}")
            else:
                logger.debug("event %r: it gets no schedules: %s", event.name, error)
            return False

    async def _is_anything_waiting(self) -> bool:
        async with self._lock:
            if self._waiting is None:
                self._waiting = False  # also for those who may not ask
                name = self._link.prefixes.stream(STREAM)
                answer = await api(self._link, f"STREAM.INFO.{name}", optional=True)
                self._waiting = bool(answer["state"]["messages"])
        return self._waiting

    async def _waits(self, event: BaseEvent[Any]) -> bool:
        prefixes, stream = self._link.prefixes, event.stream_name
        name = prefixes.stream(STREAM)
        kept = dict.fromkeys((SUBJECTS, schedules_of(prefixes.known_domain)))
        scheduled = (prefixes.subject(f"{each}.*.{stream}.>") for each in kept)
        for subject in (*scheduled, due_subject(prefixes, stream)):
            wanted = {"next_by_subj": subject, "seq": 1}
            try:
                await api(self._link, f"STREAM.MSG.GET.{name}", wanted, optional=True)
            except ServerError as error:
                if error.code != NO_MESSAGE:
                    raise
            else:
                return True
        return False


NO_MESSAGE = 10037
"""JetStream's error code that says that there is no such message."""


async def plan_schedules(link: Link, events: Iterable[BaseEvent[Any]]) -> tuple[PlanEntry, ...]:
    """Plan what becomes of the stream of schedules, where an event is declared with `delays`.

    Raises:
        ServerError: the server does not answer, or this user may not ask it.
    """
    delayed = [event for event in events if event.delays]
    if not delayed or not keeps_schedules(version_of(link)):
        return ()
    replicas = max(event.replicas for event in delayed)
    window = max(event.dedup_window for event in delayed)
    return (await plan_helper(link, new_config(replicas, window, link.prefixes)),)
