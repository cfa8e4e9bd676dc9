"""How long dead letters are kept."""

from __future__ import annotations

from typing import Any

from walnats_anyio._events import Limits
from walnats_anyio._letters import STREAM, new_config
from walnats_anyio._link import (
    Link,
    ServerError,
    StreamConfigError,
    differences,
    ensure_helper_stream,
    stream_config,
    update_stream,
)

MAX_REPLICAS = 5

DEDUP_WINDOW = 120.0
"""What a server sets by itself; it cannot be longer than letters are kept."""


def check_limits(limits: object, replicas: object) -> None:
    """Refuse what the stream of the dead letters cannot have.

    Raises:
        TypeError: one of them is of a wrong type.
        ValueError: one of them is of no use.
    """
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be a Limits or None, not {limits!r}")
    for name in ("message_size", "consumers"):
        value = getattr(limits, name, None)
        if value is not None:
            why = (
                "a letter is as large as its event, and one that is refused cannot be kept"
                if name == "message_size"
                else "dead letters are read without any"
            )
            raise ValueError(
                f"limits.{name} ({value}) is no limit for dead letters: {why}; set age, messages "
                "or bytes"
            )
    if replicas is None:
        return
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise TypeError(f"replicas must be an int or None, not {replicas!r}")
    if not 1 <= replicas <= MAX_REPLICAS:
        raise ValueError(f"replicas must be 1 to {MAX_REPLICAS}, not {replicas}")


async def register_stream(link: Link, limits: Limits | None, replicas: int | None) -> None:
    """What `DeadLetters.register` documents."""
    wanted = _settings(limits, replicas)
    try:
        actual = await ensure_helper_stream(link, new_config(replicas or 1, link.prefixes) | wanted)
        if differences(wanted, actual):
            await update_stream(link, actual | wanted)
    except ServerError as exc:
        if exc.code is None:
            raise
        raise StreamConfigError(
            f"the server refuses stream {link.prefixes.stream(STREAM)!r} for dead letters: {exc}"
        ) from exc


async def stream_limits(link: Link) -> Limits:
    """What `DeadLetters.limits` documents."""
    config = await stream_config(link, link.prefixes.stream(STREAM)) or {}
    age = config.get("max_age", 0) / 10**9
    messages, size = config.get("max_msgs", -1), config.get("max_bytes", -1)
    return Limits(
        age=age if age > 0 else None,
        messages=messages if messages > 0 else None,
        bytes=size if size > 0 else None,
    )


def _settings(limits: Limits | None, replicas: int | None) -> dict[str, Any]:
    settings: dict[str, Any] = {} if replicas is None else {"num_replicas": replicas}
    if limits is not None:
        age = limits.age or 0
        settings |= {
            "max_age": round(age * 10**9),
            "max_msgs": limits.messages or -1,
            "max_bytes": limits.bytes or -1,
            "duplicate_window": round(min(age or DEDUP_WINDOW, DEDUP_WINDOW) * 10**9),
        }
    return settings
