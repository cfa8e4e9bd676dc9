"""The options of the commands: where the server is, and which letters are meant."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from walnats_anyio.cli._choices import (
    Backend,
    BackendOption,
    DebugOption,
    JsonOption,
    check_backend,
)
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._durations import duration
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal
from walnats_anyio.cli._report import to_standard_output
from walnats_anyio.cli._screen import out
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.dead_letters import DeadLetters, Reason


@dataclass(frozen=True)
class Desk:
    """The options that all commands have: where the letters are, and how to tell of them."""

    connection: Connection = field(default=Connection())
    backend: BackendOption = Backend.ASYNCIO
    json: JsonOption = None
    debug: DebugOption = False

    @property
    def screen(self) -> Console:
        """Where a person reads the results."""
        return out(for_program=to_standard_output(self.json))

    def run(self, body: Callable[[DeadLetters], Awaitable[None]]) -> None:
        """Connect and run the body, which signals cancel.

        Raises:
            typer.Exit: a signal ended it.
        """
        check_backend(self.backend)
        server, options = self.connection.arguments("walnats-anyio dead")

        async def connected(stop: Stop) -> None:
            async with DeadLetters.connect(server, **options) as dead:
                await body(dead)

        stop = anyio.run(stoppable, connected, backend=self.backend.value)
        if stop.first is not None:
            raise typer.Exit(code_of_signal(stop.first))


@dataclass(frozen=True)
class Filters:
    """The options that say which letters are meant."""

    event: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only letters of this event.")
    ] = None
    actor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only letters of this actor.")
    ] = None
    reason: Annotated[
        Reason | None,
        typer.Option(metavar="REASON", help=f"Only letters given up for it: {', '.join(Reason)}."),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only letters given up since then: 90s, 30m, 2h, 3d, 1w ago, or a time such as "
            "2026-01-31T15:00, in local time unless it says otherwise.",
        ),
    ] = None
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only letters given up before then.")
    ] = None
    error_type: Annotated[
        str | None,
        typer.Option(
            "--error-type", metavar="CLASS", help="Only letters whose exception was of this class."
        ),
    ] = None
    fingerprint: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Only letters of this error, as `groups` shows them."),
    ] = None

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        names = [name for name, value in vars(self).items() if value is not None]
        return [f"--{name.replace('_', '-')}" for name in names]

    @property
    def by_name_only(self) -> bool:
        """Whether the server can count them."""
        return set(self.given) <= {"--event", "--actor"}

    def arguments(self) -> dict[str, Any]:
        """The arguments of `DeadLetters.letters`.

        Raises:
            Problem: a time that is none.
        """
        now = datetime.now(UTC)
        return {
            "event": self.event,
            "actor": self.actor,
            "reason": self.reason,
            "since": _moment("--since", self.since, now),
            "until": _moment("--until", self.until, now),
            "error_type": self.error_type,
            "fingerprint": self.fingerprint,
        }


def _rate(rate: float | None) -> float | None:
    if rate is not None and not 0 < rate < math.inf:
        raise typer.BadParameter(f"{rate:g} is no number of letters a second above 0.")
    return rate


@dataclass(frozen=True)
class Bulk:
    """The options of what is done to many letters."""

    rate: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            callback=_rate,
            help="Letters a second at most, such as 50 or 0.2.",
            show_default="as fast as it goes",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Show what would be done, and change nothing."),
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it is done.")] = False


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        if (ago := duration(text)) is not None:
            return now - ago
        # One that names no zone is by the clock of whoever types it.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise Problem(
            f"{option} {text!r} is no time",
            hint="say how long ago, such as 30m, 2h or 3d, or a time such as 2026-01-31T15:00",
            code=ExitCode.USAGE,
        ) from None
