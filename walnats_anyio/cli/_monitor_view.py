"""How a message of the live feed looks, to a person and to a program."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from typing import Any

from rich.console import Console
from rich.text import Text

from walnats_anyio._events import FeedMessage
from walnats_anyio.cli._dead._view import text_of, visible

WIDE = 1_000_000
"""Columns where there is no terminal, so that nothing is cut."""

BEFORE = 9
"""Columns before the second line of a message: those of the time, and a space."""

BYTES_SHOWN = 24
"""Bytes that are shown of a payload that is no text and could not be decoded."""


class View:
    """Writes messages as text for one screen, whose width it keeps to if it is a terminal."""

    def __init__(self, screen: Console, *, limited: bool) -> None:
        self._screen = screen
        if not limited:
            screen.width = WIDE

    def message(self, message: FeedMessage[Any]) -> str:
        """A message in one line, and in a second one what it has beside its payload."""
        when = message.received_at.astimezone().strftime("%H:%M:%S")
        first = Text().append(f"{when} ", "dim")
        first.append(visible(message.event.name), "bold cyan").append(" ")
        first.append(_payload(message))
        lines = [first]
        if message.error is not None:
            # What its cause says comes first: a terminal may have no room for the rest.
            why = _one_line(str(message.error.__cause__ or message.error))
            lines.append(Text(f"{'':{BEFORE}}cannot be decoded: {why}", "red"))
        if headers := _headers(message):
            lines.append(Text(f"{'':{BEFORE}}{headers}", "dim"))
        return self._lines([*_gaps(message), *lines])

    def _lines(self, lines: list[Text]) -> str:
        with self._screen.capture() as captured:
            for line in lines:
                self._screen.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        return captured.get()


def as_json(message: FeedMessage[Any]) -> dict[str, Any]:
    """A message for a program."""
    text = text_of(message.payload)
    return {
        "event": message.event.name,
        "subject": message.subject,
        "received_at": message.received_at.isoformat(),
        "uid": message.uid,
        "trace_id": message.trace_id,
        "actor": message.actor,
        "headers": message.headers,
        "message": _json_value(text),
        "payload": text,
        "payload_base64": b64encode(message.payload).decode() if text is None else None,
        "error": None if message.error is None else str(message.error),
        "dropped": message.dropped,
        "reconnected": message.reconnected,
        "lost": message.lost,
    }


def in_words(count: int) -> str:
    """So many messages."""
    return f"{count or 'no'} message{'' if count == 1 else 's'}"


def _gaps(message: FeedMessage[Any]) -> list[Text]:
    gaps: list[Text] = []
    if message.reconnected:
        gaps.append(Text("-- the connection was lost: what was emitted then is missing", "red"))
    if message.lost:
        gaps.append(Text(f"-- {in_words(message.lost)} of this event missed", "red"))
    if message.dropped:
        gaps.append(Text(f"-- {in_words(message.dropped)} dropped: too many at once", "yellow"))
    return gaps


def _payload(message: FeedMessage[Any]) -> str:
    text = text_of(message.payload)
    if text is not None:
        return _one_line(text)
    if message.error is None:
        return _one_line(repr(message.message))
    start = message.payload[:BYTES_SHOWN].hex(" ")
    more = " ..." if len(message.payload) > BYTES_SHOWN else ""
    return f"{len(message.payload)} bytes: {start}{more}"


def _headers(message: FeedMessage[Any]) -> str:
    own = {"uid": message.uid, "trace": message.trace_id, "for": message.actor}
    shown = {**own, **message.meta}
    return _one_line("  ".join(f"{name}={value}" for name, value in shown.items() if value))


def _one_line(text: str) -> str:
    return visible(" ".join(text.splitlines()))


def _json_value(text: str | None) -> Any:
    """What a payload is as JSON; None where it is none."""
    if text is None:
        return None
    try:
        # A program that reads JSON need not take NaN and Infinity, nor write them for 1e999.
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
