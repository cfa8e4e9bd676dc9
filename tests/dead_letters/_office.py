"""What tests of dead letters need around them: letters, and a connection to write and read them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import walnats_anyio as walnats
from walnats_anyio._letters import STREAM, create_stream, write_letter
from walnats_anyio._link import Link, api, open_link
from walnats_anyio.dead_letters import DeadLetter, DeadLetters

PLACED = walnats.Event("shop.placed", int)

START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)

_serial = itertools.count(1)


def a_letter(**changes: Any) -> DeadLetter:
    """A letter of an event of its own; each one died a minute after the one before."""
    number = next(_serial)
    values: dict[str, Any] = {
        "event": "shop.placed",
        "actor": "pack",
        "payload": b"1",
        "headers": {"Walnats-Trace": "t-1", "Shop": "Käthe's"},
        "reason": "exhausted",
        "error_type": "shop.SoldOutError",
        "error": "nothing left\nat all",
        "traceback": "Traceback (most recent call last):\n  ...",
        "attempts": 3,
        "seq_number": number,
        "emitted_at": START,
        "died_at": START + timedelta(minutes=number),
    }
    values |= changes
    return DeadLetter(stream=values["event"].replace(".", "-"), **values)


@dataclass(frozen=True)
class Office:
    """A connection that writes letters, as actors do, and one that reads them."""

    url: str
    link: Link
    dead: DeadLetters

    async def write(self, *letters: DeadLetter) -> None:
        for letter in letters:
            await write_letter(self.link, letter)

    async def config(self) -> dict[str, Any]:
        """The configuration of the stream."""
        answer = await api(self.link, f"STREAM.INFO.{STREAM}")
        return dict(answer["config"])

    async def emitted(self, event: walnats.Event[Any]) -> list[dict[str, Any]]:
        """What the stream of an event holds, as the server tells it."""
        state = (await api(self.link, f"STREAM.INFO.{event.stream_name}"))["state"]
        return [
            (await api(self.link, f"STREAM.MSG.GET.{event.stream_name}", {"seq": number}))[
                "message"
            ]
            for number in range(max(1, state["first_seq"]), state["last_seq"] + 1)
        ]


@asynccontextmanager
async def office(url: str, *, stream: bool = True) -> AsyncIterator[Office]:
    """Connect; the stream of dead letters is there unless told otherwise."""
    async with open_link(url) as link, DeadLetters.connect(url) as dead:
        if stream:
            await create_stream(link, 1)
        yield Office(url, link, dead)


async def register(url: str, *actors: walnats.Actor[Any, Any]) -> None:
    """Make the streams and consumers of actors, without running them."""
    events = walnats.Events(*dict.fromkeys(actor.event for actor in actors))
    async with (
        events.connect(url) as emitting,
        walnats.Actors(*actors).connect(url) as conn,
    ):
        await emitting.register()
        await conn.register()
