"""What `register` gives the streams of events for delays and expiry.

An event that is declared so gets it: a source with `delays=True`, the time to live with `ttl=True`.
And one whose schedules wait, while its stream does not source from them, gets its source back: its
stream was made anew, or walnats 1.2 has registered it.

Nothing fails for it: without, delayed events wait with their actors, and `emit(ttl=)` is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import anyio

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._schedules import (
    ALLOW_TTL,
    STREAM,
    SUBJECTS,
    TTL_SINCE,
    add_source,
    at_least,
    create_schedules,
    due_subject,
    has_source,
    keeps_schedules,
    source_of,
    version_of,
)
from walnats_anyio._link import Link, ServerError, api

logger = logging.getLogger("walnats_anyio.events")


class Provisions:
    """Finds out what streams lack, during one `register`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: bool | None = None
        """Whether anything is scheduled at all; None until that was asked."""
        self._lock = anyio.Lock()

    async def missing_in(self, config: Mapping[str, Any], event: BaseEvent[Any]) -> dict[str, Any]:
        """Give the fields that the stream of an event lacks.

        Args:
            config: what the stream has; empty where it is not there yet.
            event: the event, in its namespace.
        """
        version = version_of(config, self._link)
        missing: dict[str, Any] = {}
        if event.ttl and not config.get(ALLOW_TTL):
            if at_least(version, TTL_SINCE):
                missing[ALLOW_TTL] = True
            else:
                _say(event, "ttl=True needs nats-server 2.11 or later", version)
        source = source_of(event, self._link.prefixes)
        if not has_source(config, source) and await self._needs_source(event, version):
            missing |= add_source(config, source)
        return missing

    async def _needs_source(self, event: BaseEvent[Any], version: str) -> bool:
        if not keeps_schedules(version):
            if event.delays:
                _say(event, "that delayed events wait in it needs nats-server 2.14", version)
            return False
        try:
            if event.delays:
                return await create_schedules(self._link, event.replicas, event.dedup_window)
            return await self._is_anything_waiting() and await self._waits(event)
        except ServerError as error:
            level = logging.WARNING if event.delays else logging.DEBUG
            logger.log(level, "event %r: it gets no schedules: %s", event.name, error)
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
        scheduled = prefixes.subject(f"{SUBJECTS}.*.{stream}.>")
        for subject in (scheduled, due_subject(prefixes, stream)):
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


def _say(event: BaseEvent[Any], what: str, version: str) -> None:
    logger.warning("event %r: %s, and this is %s", event.name, what, version)
