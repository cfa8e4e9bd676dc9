"""An event with a response, an actor that answers, and what a caller gets to hear."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.actors._stage import Stage, running
from walnats_anyio import Actor, ActorError
from walnats_anyio.types import ActorStatistics, EventWithResponse

Asked = EventWithResponse[int, str]


def asked() -> Asked:
    """An event of one test alone."""
    event = walnats.Event(f"asked-{secrets.token_hex(6)}", int, storage="memory")
    return event.with_response(str)


class Slow:
    """A handler that waits until it is cancelled, and notes what became of each run."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.running = 0
        self.cancelled: list[int] = []

    async def __call__(self, message: int) -> str:
        self.started.append(message)
        self.running += 1
        try:
            await anyio.sleep_forever()
        except BaseException:
            self.cancelled.append(message)
            raise
        finally:
            self.running -= 1
        raise AssertionError("it never wakes up by itself")


@asynccontextmanager
async def answering(
    url: str,
    event: Asked,
    handler: Callable[[int], Awaitable[str]] | Callable[[int], str],
    *,
    at_once: int = 16,
    **options: Any,
) -> AsyncIterator[Stage]:
    """One actor that answers, listening around the body."""
    actor: Actor[int, Any] = Actor("price", event, handler, **options)
    async with running(url, actor, max_jobs=at_once) as on:
        yield on


async def refused(on: Stage, event: Asked, message: int, **options: Any) -> ActorError:
    """The error that the caller gets."""
    with pytest.raises(ActorError) as caught:
        await on.events.request(event, message, **options)
    return caught.value


def handled(on: Stage) -> ActorStatistics:
    """What the actor did so far."""
    return on.actors.statistics().actors[0]
