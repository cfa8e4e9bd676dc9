"""Pausing a consumer on the server: then none of its processes gets events (2.11 and later)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from walnats_anyio._link import Link, ServerError, api

SINCE = (2, 11)
"""The version of nats-server that was the first to pause consumers."""

AGES = timedelta(days=100 * 365)
"""What is meant by a pause without an end."""

MOMENT = timedelta(milliseconds=50)
"""How far ahead the end of a pause must be for pull requests that wait to hear of it.

A resume with an empty body does not wake them (measured on 2.15.1): they get no events until they
expire.
"""


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
    until = datetime.now(UTC) + lasts
    await _set(link, stream, consumer, until, replicas)
    return Pause(True, None if seconds is None else until)


async def resume_consumer(link: Link, stream: str, consumer: str, *, replicas: int = 1) -> Pause:
    """End the pause of a consumer, within 50 ms.

    Raises:
        ServerError: as of `pause_consumer`.
    """
    _check_version(link)
    await _set(link, stream, consumer, datetime.now(UTC) + MOMENT, replicas)
    return Pause(False, None)


async def _set(link: Link, stream: str, consumer: str, until: datetime, replicas: int) -> None:
    text = until.isoformat().replace("+00:00", "Z")
    await api(link, f"CONSUMER.PAUSE.{stream}.{consumer}", {"pause_until": text}, replicas=replicas)


def _check_version(link: Link) -> None:
    version = link.info.version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < SINCE:
        needed = ".".join(map(str, SINCE))
        raise ServerError(
            f"to pause an actor in all processes needs nats-server {needed} or later, and this is "
            f"{version}: pause it in each process"
        )
