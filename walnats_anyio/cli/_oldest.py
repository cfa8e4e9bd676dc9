"""How old the oldest event is that an actor is not done with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from walnats_anyio._link import Link, ServerError, api

NOTHING_FOUND = 10037
"""The error code for: there is no such message."""


async def age_of_oldest(link: Link, stream: str, consumer: Mapping[str, Any]) -> float | None:
    """Seconds since the first event was emitted after those that a consumer is done with.

    It is counted on the clock of the server, which tells the time with a consumer since 2.10.

    Args:
        link: the connection.
        stream: the stream of the event.
        consumer: what the server says of the consumer (`CONSUMER.INFO`, ADR-31).

    Returns:
        0 when it was done with in the meantime; None when this user may not read the stream.

    Raises:
        ConnectionLostError: the link is closed for good.
    """
    wanted = {"seq": consumer["ack_floor"]["stream_seq"] + 1, "next_by_subj": ">"}
    try:
        answer = await api(link, f"STREAM.MSG.GET.{stream}", wanted, optional=True)
    except ServerError as error:
        return 0.0 if error.code == NOTHING_FOUND else None
    told = consumer.get("ts")
    now = datetime.fromisoformat(told) if isinstance(told, str) else datetime.now(UTC)
    return max(0.0, (now - datetime.fromisoformat(answer["message"]["time"])).total_seconds())
