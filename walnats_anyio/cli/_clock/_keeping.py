"""Having nats-server keep clocks, or forget them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from walnats_anyio._events import Clock, PlanAction, PlanEntry
from walnats_anyio._events._server_clock import ServerClock
from walnats_anyio._link import Link, ServerError


@dataclass(frozen=True)
class Removal:
    """A clock that was to be forgotten."""

    event: str
    name: str
    was_kept: bool
    """Whether nats-server kept it."""

    def as_json(self) -> dict[str, Any]:
        """It, for a program."""
        return {"event": self.event, "clock": self.name, "was_kept": self.was_kept}


async def register_clocks(
    link: Link, clocks: Iterable[Clock], *, dry: bool
) -> tuple[PlanEntry, ...]:
    """Have the server keep them; goes on where some fail. With `dry` nothing is changed.

    Raises:
        ServerError: the server does not answer, or this user may not look.
        ConnectionLostError: the link is closed for good.
    """
    entries: list[PlanEntry] = []
    for clock in clocks:
        keeper = ServerClock(clock, link)
        entry = await keeper.plan()
        if not dry and entry.changes_something:
            try:
                await keeper.register()
            except ServerError as error:
                entry = replace(entry, action=PlanAction.FAIL, changes=(), error=error)
        entries.append(entry)
    return tuple(entries)


async def unregister_clocks(link: Link, clocks: Iterable[Clock], *, dry: bool) -> list[Removal]:
    """Have the server forget them. With `dry` nothing is changed.

    Raises:
        ServerError: the server does not answer, or this user may not.
        ConnectionLostError: the link is closed for good.
    """
    removals: list[Removal] = []
    for clock in clocks:
        keeper = ServerClock(clock, link)
        kept = await (keeper.is_kept() if dry else keeper.unregister())
        removals.append(Removal(clock.event.name, clock.name, kept))
    return removals
