"""The actor as it is measured: the user's handler, with names and streams of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from walnats_anyio._actors import Actor
from walnats_anyio._events import BaseEvent, Limits
from walnats_anyio.tune._window import Recorder


def measured_event(event: BaseEvent[Any]) -> BaseEvent[Any]:
    """The event, with a stream that holds as many messages as are wanted, on a single server."""
    return dataclasses.replace(event, limits=Limits(), replicas=1)


def measured_actor(
    actor: Actor[Any, Any], event: BaseEvent[Any], max_jobs: int, top: int, recorder: Recorder
) -> Actor[Any, Any]:
    """The actor at one level.

    A message is handled once: one that failed would come again at a time of its own, and be counted
    as another job.
    """
    return dataclasses.replace(
        actor,
        event=event,
        middlewares=(*actor.middlewares, recorder),
        max_jobs=max_jobs,
        max_attempts=1,
        dead_letters=False,
        # The same at all levels, as it belongs to the consumer on the server.
        max_ack_pending=max(actor.max_ack_pending, 2 * top),
    )
