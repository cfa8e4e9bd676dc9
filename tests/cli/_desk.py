"""The command `walnats-anyio dead`, run in this process, and what really is on the server."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import anyio
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, Office, a_letter, office, register
from walnats_anyio._events._publication import publish
from walnats_anyio._letters import STREAM
from walnats_anyio.cli._app import app
from walnats_anyio.dead_letters import DeadLetter

T = TypeVar("T")

NOW = datetime.now(UTC)

COLUMNS = 100
"""How wide a terminal would be."""


def some_letters() -> list[DeadLetter]:
    return [
        a_letter(event="shop.placed", actor="pack", died_at=NOW - timedelta(days=2)),
        a_letter(event="shop.placed", actor="send", reason="rejected", died_at=NOW),
        a_letter(event="paid", actor="pack", died_at=NOW - timedelta(hours=3)),
    ]


class Desk:
    """The command on a server of its own, and what really is there."""

    def __init__(self, url: str, backend: str) -> None:
        self.url = url
        self._backend = backend

    def run(self, *words: str, keys: str = "") -> tuple[int, str]:
        """Run `walnats-anyio dead WORDS`; gives the exit code and all it printed."""
        result = CliRunner().invoke(
            app,
            ["dead", *words, "--server", self.url, "--backend", self._backend],
            input=keys,
            env={"COLUMNS": str(COLUMNS), "TERM": "dumb"},
        )
        return result.exit_code, result.output

    def write(self, *letters: DeadLetter) -> None:
        self._do(lambda office: office.write(*letters))

    def write_rubbish(self, subject: str, header: str, payload: bytes) -> None:
        """Store what is no letter, as any program may that can publish there."""
        block = f"NATS/1.0\r\nWalnats-Dead: {header}\r\n\r\n".encode()

        async def store(office: Office) -> None:
            await publish(office.link, STREAM, subject, payload, block)

        self._do(store)

    def left(self) -> list[DeadLetter]:
        async def read(office: Office) -> list[DeadLetter]:
            return [letter async for letter in office.dead]

        return self._do(read)

    def emitted(self) -> int:
        """How many events were put back."""

        async def count(office: Office) -> int:
            return len(await office.emitted(PLACED))

        return self._do(count)

    def payloads(self) -> list[bytes]:
        """The payloads of the events that were put back."""

        async def read(office: Office) -> list[bytes]:
            return [b64decode(each["data"]) for each in await office.emitted(PLACED)]

        return self._do(read)

    def register(self, *actors: walnats.Actor[Any, Any]) -> None:
        anyio.run(partial(register, self.url, *actors))

    def _do(self, act: Callable[[Office], Awaitable[T]]) -> T:
        async def do() -> T:
            async with office(self.url) as opened:
                return await act(opened)

        return anyio.run(do)
