"""Pausing a consumer on the server: then none of its processes gets events (2.11 and later).

The server is told the moment at which the pause ends, on its own clock, and answers how long that
is from now. Where that is not what was asked for, as its clock is not ours or the request took
long, it is told once more, by its clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from walnats_anyio._link import Link, ServerError, api

SINCE = (2, 11)
"""The version of nats-server that was the first to pause consumers."""

AGES = timedelta(days=100 * 365)
"""What is meant by a pause without an end."""

MOMENT = timedelta(milliseconds=50)
"""How far ahead the end of a pause must be for pull requests that wait to hear of it.

A resume with an empty body, or with a moment that has passed, does not wake them (measured on
2.15.1): they get no events until they expire.
"""

TRIES = 4
"""Times that the server is told the end of a pause, until it is what was asked for."""

SLACK = timedelta(seconds=1)
"""What a pause may be longer or shorter; a hundredth of it, if that is more."""


@dataclass(frozen=True)
class Pause:
    """What the server has been told about a consumer."""

    paused: bool
    """Whether it is paused now, rather than resumed."""

    until: datetime | None
    """When the pause ends, in UTC; None: when somebody resumes it, or it is over."""


async def pause_consumer(
    link: Link, stream: str, consumer: str, seconds: float | None, *, replicas: int = 1
) -> Pause:
    """Pause a consumer, or change when its pause ends.

    Args:
        link: the connection.
        stream: the stream.
        consumer: the durable consumer.
        seconds: how long from now; None: until somebody resumes it.
        replicas: of the stream.

    Raises:
        ServerError: the server is too old, there is no such consumer, the user may not pause it,
            or the server does not answer.
    """
    _check_version(link)
    lasts = AGES if seconds is None else timedelta(seconds=min(seconds, AGES.total_seconds()))
    await _set(link, stream, consumer, lasts, replicas)
    return Pause(True, None if seconds is None else datetime.now(UTC) + lasts)


async def prolong_pause(
    link: Link, stream: str, consumer: str, seconds: float, *, replicas: int = 1
) -> None:
    """Pause a consumer for at least so long: where somebody has paused it for longer, that stays.

    Raises:
        ServerError: as of `pause_consumer`.
    """
    _check_version(link)
    try:
        info = await api(link, f"CONSUMER.INFO.{stream}.{consumer}", replicas=replicas)
    except ServerError:
        info = {}  # this user may pause, and not look
    if not info.get("paused") or info.get("pause_remaining", 0) < seconds * 1e9:
        await pause_consumer(link, stream, consumer, seconds, replicas=replicas)


async def resume_consumer(link: Link, stream: str, consumer: str, *, replicas: int = 1) -> Pause:
    """End the pause of a consumer, within 50 ms and the time that a few requests take.

    Raises:
        ServerError: as of `pause_consumer`.
    """
    _check_version(link)
    await _set(link, stream, consumer, MOMENT, replicas, must_come=True)
    return Pause(False, None)


async def _set(
    link: Link,
    stream: str,
    consumer: str,
    lasts: timedelta,
    replicas: int,
    *,
    must_come: bool = False,
) -> None:
    """Have a pause end in so long.

    Args:
        link: the connection.
        stream: the stream.
        consumer: the durable consumer.
        lasts: how long from now.
        replicas: of the stream.
        must_come: whether the end is to be ahead when the server hears of it, however late.
    """
    name = f"{stream}.{consumer}"
    ahead = timedelta()
    for _ in range(TRIES):
        sent = link.now()
        until = datetime.now(UTC) + ahead + lasts
        told = {"pause_until": until.isoformat().replace("+00:00", "Z")}
        answer = await api(link, f"CONSUMER.PAUSE.{name}", told, replicas=replicas)
        if _is_as_asked(answer, lasts):
            return
        took = timedelta(seconds=link.now() - sent)
        if must_come:
            lasts = MOMENT + 2 * took
        elif lasts < took and not answer.get("paused"):
            return  # it was over before it could begin
        try:
            ahead = await _server_ahead(link, name, replicas)
        except ServerError:
            return  # this user may pause, and not look: by our clock, then


def _is_as_asked(answer: dict[str, Any], lasts: timedelta) -> bool:
    if not answer.get("paused"):
        return False
    left = answer.get("pause_remaining")  # nanoseconds
    return left is None or abs(timedelta(microseconds=left / 1000) - lasts) <= max(
        SLACK, lasts / 100
    )


async def _server_ahead(link: Link, consumer: str, replicas: int) -> timedelta:
    """How far the clock of the server is ahead of ours."""
    before = datetime.now(UTC)
    info = await api(link, f"CONSUMER.INFO.{consumer}", replicas=replicas)
    after = datetime.now(UTC)
    # Servers that can pause tell their time, with nanoseconds.
    return datetime.fromisoformat(info["ts"]) - (before + (after - before) / 2)


def _check_version(link: Link) -> None:
    version = link.info.version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < SINCE:
        needed = ".".join(map(str, SINCE))
        raise ServerError(
            f"to pause an actor in all processes needs nats-server {needed} or later, and this is "
            f"{version}: pause it in each process"
        )
