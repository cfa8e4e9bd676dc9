"""`walnats-anyio dead limits`: see and set how long and how many dead letters are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, NoReturn

import typer

from walnats_anyio._events import Limits
from walnats_anyio.cli._dead._acting import ask
from walnats_anyio.cli._dead._options import Desk
from walnats_anyio.cli._dead._view import in_words
from walnats_anyio.cli._durations import duration
from walnats_anyio.cli._endings import ExitCode, Problem, explained
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._sizes import parse_size
from walnats_anyio.dead_letters import DeadLetters

NONE = "none"
"""What takes a limit away."""


@dataclass(frozen=True)
class Wanted:
    """The options that set limits."""

    age: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Keep letters so long: 12h, 30d, 8w; none is for ever."),
    ] = None
    messages: Annotated[
        str | None,
        typer.Option(metavar="N", help="Keep so many letters; none is any number."),
    ] = None
    bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Keep so much of them: 500MB, 2GiB; none is any."),
    ] = None

    @property
    def any(self) -> bool:
        """Whether one is to be set."""
        return any(value is not None for value in vars(self).values())

    def on(self, limits: Limits) -> Limits:
        """The limits that there are with those that are wanted.

        Raises:
            Problem: one of them is none.
            ValueError: one of them is too large.
        """
        changes: dict[str, Any] = {}
        if self.age is not None:
            changes["age"] = None if self.age == NONE else _seconds(self.age)
        if self.messages is not None:
            changes["messages"] = None if self.messages == NONE else _count(self.messages)
        if self.bytes is not None:
            changes["bytes"] = None if self.bytes == NONE else _size(self.bytes)
        return replace(limits, **changes)


def limits(
    *,
    wanted: Wanted,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before a limit becomes lower.")
    ] = False,
    desk: Desk,
) -> None:
    """Show how long and how many dead letters are kept, or set it.

    What is not given stays as it is. At a limit the oldest letters go. Before a limit becomes lower
    than it is, so that letters may go at once, it asks.

    Exit codes: 0 done; 1 something broke, or you said no; 2 the command is wrong; 3 no connection
    to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        wanted.on(Limits())  # so that what is wrong is told before anything is done
        found = [Limits()]
        count = [0]

        async def look(dead: DeadLetters) -> None:
            found[0] = await dead.limits()
            count[0] = await dead.count()

        desk.run(look)
        [before], after = found, wanted.on(found[0])
        if count[0] and not yes and _is_lower(before, after):
            question = f"Beyond these limits the oldest of {in_words(count[0])} go for good. Go on?"
            ask(question, "dead letters would go", "nothing is changed")

        async def register(dead: DeadLetters) -> None:
            await dead.register(limits=after)

        if wanted.any:
            desk.run(register)
        for name, value in _in_words(after):
            desk.screen.print(f"{name:<10}{value}", markup=False)
        report = {"age": after.age, "messages": after.messages, "bytes": after.bytes}
        write_report(desk.json, report)


def _is_lower(before: Limits, after: Limits) -> bool:
    pairs = (
        (before.age, after.age),
        (before.messages, after.messages),
        (before.bytes, after.bytes),
    )
    return any(new is not None and (old is None or new < old) for old, new in pairs)


def _in_words(limits: Limits) -> list[tuple[str, str]]:
    return [
        ("age", "no limit" if limits.age is None else str(timedelta(seconds=limits.age))),
        ("messages", "no limit" if limits.messages is None else str(limits.messages)),
        ("bytes", "no limit" if limits.bytes is None else str(limits.bytes)),
    ]


def _seconds(text: str) -> float:
    try:
        found = duration(text)
    except OverflowError:
        found = None
    if found is None or not found:
        _refuse("--age", text, "a time such as 12h, 30d or 8w, or none")
    return found.total_seconds()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        _refuse("--messages", text, "a number from 1 on, or none")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except typer.BadParameter:
        _refuse("--bytes", text, "a number with a unit, such as 500MB or 2GiB, or none")


def _refuse(option: str, text: str, right: str) -> NoReturn:
    raise Problem(f"{option} {text!r} is no limit", hint=f"give {right}", code=ExitCode.USAGE)
