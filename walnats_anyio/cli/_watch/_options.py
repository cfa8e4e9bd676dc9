"""The options that the commands have, and the connection that they need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from signal import Signals
from typing import Annotated

import anyio
import typer
from rich.console import Console

from walnats_anyio._link import Link
from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._report import to_standard_output
from walnats_anyio.cli._screen import out
from walnats_anyio.cli._signals import Stop, stoppable

ActorsOption = Annotated[
    list[str] | None,
    typer.Option("--actor", metavar="NAME", help="Only this actor, and others given so."),
]


@dataclass(frozen=True)
class Post:
    """The options that all of them have: what is looked at, and how to tell of it."""

    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False

    @property
    def screen(self) -> Console:
        """Where a person reads the results."""
        return out(for_program=to_standard_output(self.json))

    def run(self, name: str, body: Callable[[Link], Awaitable[None]]) -> Signals | None:
        """Connect and run the body, which signals cancel.

        Returns:
            The signal that ended it, if one did.
        """
        check_backend(self.backend)

        async def connected(stop: Stop) -> None:
            async with self.connection.open_link(f"walnats-anyio {name}") as link:
                await body(link)

        return anyio.run(stoppable, connected, backend=self.backend.value).first
