"""The options of the commands: where the server is, and which letters are meant."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import anyio
import typer

from walnats_anyio.cli._choices import Backend, check_backend
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.dead_letters import DeadLetters, Reason

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")

ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="A NATS server; repeat it for those of a cluster.",
        show_default="$NATS_SERVER, else nats://localhost:4222",
    ),
]

EventOption = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Only letters of this event.")
]

ActorOption = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Only letters of this actor.")
]

ReasonOption = Annotated[
    Reason | None, typer.Option("--reason", help="Only letters given up for this reason.")
]

SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only letters given up since then: 90s, 30m, 2h, 3d, 1w ago, or a time such as "
        "2026-01-31T15:00, in local time unless it says otherwise.",
    ),
]

UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Only letters given up before then."),
]


@dataclass(frozen=True)
class Place:
    """Where the letters are."""

    servers: list[str] | None
    """URLs of NATS servers; None for the default ones."""

    backend: Backend
    """The event loop."""

    def run(self, body: Callable[[DeadLetters], Awaitable[None]]) -> None:
        """Connect and run the body, which signals cancel.

        Raises:
            typer.Exit: a signal ended it.
        """
        check_backend(self.backend)

        async def connected(stop: Stop) -> None:
            async with DeadLetters.connect(self.servers, name="walnats-anyio dead") as dead:
                await body(dead)

        stop = anyio.run(stoppable, connected, backend=self.backend.value)
        if stop.first is not None:
            raise typer.Exit(code_of_signal(stop.first))


@dataclass(frozen=True)
class Filters:
    """Which letters are meant."""

    event: str | None
    actor: str | None
    reason: Reason | None
    since: str | None
    until: str | None

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        return [f"--{name}" for name, value in vars(self).items() if value is not None]

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
        }


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    ago = AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{UNITS[ago[2]]: float(ago[1])})
        # One that names no zone is by the clock of whoever types it.
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise Problem(
            f"{option} {text!r} is no time",
            hint="say how long ago, such as 30m, 2h or 3d, or a time such as 2026-01-31T15:00",
            code=ExitCode.USAGE,
        ) from None
