"""Atomic batches of one stream (ADR-50): messages kept aside until the last one commits them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from walnats_anyio.testing._memory._answers import ApiError
from walnats_anyio.testing._memory._commands import Publish, with_headers
from walnats_anyio.testing._memory._timers import SECOND, Timer, Timers

HEADER = "Nats-Batch-Id"
"""The header that makes a message one of a batch."""

COMMIT = "Nats-Batch-Commit"

IDLE = 10 * SECOND
"""After so long without another message, a batch is dropped."""

MOST = 1000
"""Messages of a batch."""

MOST_OPEN = 50
"""Batches of a stream that are not committed."""

LONGEST = 64
"""Characters of the id of a batch."""


@dataclass
class _Open:
    """A batch that is not committed."""

    timer: Timer
    messages: list[Publish] = field(default_factory=list[Publish])
    last: int = 0
    """The number of the message that came last."""


class Batches:
    """The batches that are kept aside.

    Args:
        timers: the time.
        commit: stores all messages of a batch or none, and answers.
    """

    def __init__(self, timers: Timers, commit: Callable[[list[Publish]], dict[str, Any]]) -> None:
        self._timers = timers
        self._commit = commit
        self._open: dict[str, _Open] = {}

    def take(self, publish: Publish, headers: dict[str, str]) -> dict[str, Any] | None:
        """A message of a batch came; gives the answer, or None while it is only kept aside.

        Raises:
            ApiError: it is refused, and mostly all of its batch.
        """
        name, number = headers[HEADER], _number(headers)
        if len(name) > LONGEST:
            raise ApiError(400, 10179, "atomic publish batch ID is invalid")
        if number is None:
            raise ApiError(400, 10175, "atomic publish sequence is missing")
        commit = headers.get(COMMIT)
        size = number - (commit == "eob")
        batch = self._open.get(name) or self._begin(name, number, size)
        if commit not in (None, "1", "eob"):
            self.drop(name)
            raise ApiError(400, 10200, "atomic publish batch commit is invalid")
        batch.last += 1
        if batch.last != number or (number == 1 and commit == "eob"):
            self.drop(name)
            raise _incomplete()
        if size > MOST:
            self.drop(name)
            raise _too_large()
        batch.timer.cancel()
        batch.timer = self._end_later(name)
        if commit != "eob":
            batch.messages.append(publish)
        if commit is None:
            return None
        self.drop(name)
        if commit == "eob":
            last = batch.messages[-1]
            header = with_headers(last.header, {COMMIT: "1"})
            batch.messages[-1] = Publish(last.subject, last.reply, header, last.payload)
        return self._commit(batch.messages) | {"batch": name, "count": len(batch.messages)}

    def drop(self, name: str) -> None:
        """Forget a batch."""
        batch = self._open.pop(name, None)
        if batch is not None:
            batch.timer.cancel()

    def close(self) -> None:
        """Forget all of them."""
        for name in list(self._open):
            self.drop(name)

    def _begin(self, name: str, number: int, size: int) -> _Open:
        if number != 1:
            raise _too_large() if size > MOST else _incomplete()
        if len(self._open) >= MOST_OPEN:
            raise ApiError(429, 10210, "atomic publish too many inflight")
        batch = self._open[name] = _Open(self._end_later(name))
        return batch

    def _end_later(self, name: str) -> Timer:
        return self._timers.after(IDLE, lambda: self.drop(name))


def _number(headers: dict[str, str]) -> int | None:
    text = headers.get("Nats-Batch-Sequence", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _incomplete() -> ApiError:
    return ApiError(400, 10176, "atomic publish batch is incomplete")


def _too_large() -> ApiError:
    return ApiError(400, 10199, f"atomic publish batch is too large: {MOST}")
