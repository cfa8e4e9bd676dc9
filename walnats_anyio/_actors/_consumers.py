"""Making a consumer on the server what its actor declares, and seeing whether it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events import raise_all
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    ConsumerConfigError,
    Link,
    ServerError,
    StreamConfigError,
    api,
    consumer_config,
    differences,
)

AT_ONCE = 16
"""Consumers handled at the same time."""

IN_WORDS = ("description",)
"""What may differ without any effect on how events are handled."""


async def for_each(
    actors: Iterable[Actor[Any, Any]],
    act: Callable[[Link, Actor[Any, Any]], Awaitable[None]],
    link: Link,
) -> None:
    """Act on every actor, several at once; raise what failed when all are done."""
    errors: list[Exception] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def act_on(actor: Actor[Any, Any]) -> None:
        async with limiter:
            try:
                await act(link, actor)
            except Exception as error:  # noqa: BLE001 - raised below, all of them together
                errors.append(error)

    async with anyio.create_task_group() as tasks:
        for actor in actors:
            tasks.start_soon(act_on, actor)
    raise_all("actors failed", errors)


async def register_consumer(link: Link, actor: Actor[Any, Any]) -> None:
    """Create the actor's consumer, or update it where its configuration differs.

    Raises:
        StreamConfigError: there is no stream for the actor's event.
        ConsumerConfigError: the server refuses the configuration.
    """
    declared = actor.consumer_config()
    stream, replicas = actor.event.stream_name, actor.event.replicas
    actual = await consumer_config(link, stream, actor.consumer_name, replicas=replicas)
    if actual is not None and not differences(declared, actual):
        return
    if actual is not None and actual.get("deliver_subject"):
        raise ConsumerConfigError(
            f"actor {actor.name!r}: stream {stream!r} has a push consumer of that name, which "
            "cannot become a pull consumer: delete it, or choose another name for the actor"
        )
    body = {
        "stream_name": stream,
        "config": (actual or {}) | declared,
        "action": "" if actual is None else "update",
    }
    try:
        await api(link, f"CONSUMER.CREATE.{stream}.{actor.consumer_name}", body, replicas=replicas)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            raise StreamConfigError(
                f"actor {actor.name!r}: there is no stream {stream!r} for event "
                f"{actor.event.name!r}: register the event first (ConnectedEvents.register)"
            ) from exc
        if exc.code is None:
            raise
        raise ConsumerConfigError(
            f"actor {actor.name!r}: the server refuses consumer {actor.consumer_name!r} "
            f"of stream {stream!r}: {exc}"
        ) from exc


async def check_consumer(link: Link, actor: Actor[Any, Any]) -> None:
    """See whether the actor's consumer is on the server, and as declared.

    Raises:
        ConsumerConfigError: it is missing, or configured otherwise.
    """
    stream, replicas = actor.event.stream_name, actor.event.replicas
    actual = await consumer_config(link, stream, actor.consumer_name, replicas=replicas)
    if actual is None:
        raise ConsumerConfigError(
            f"actor {actor.name!r}: there is no consumer {actor.consumer_name!r} on stream "
            f"{stream!r}: register it first (await conn.register())"
        )
    declared = {
        name: value for name, value in actor.consumer_config().items() if name not in IN_WORDS
    }
    changes = differences(declared, actual)
    if actual.get("deliver_subject"):
        changes["deliver_subject"] = (None, actual["deliver_subject"])
    if changes:
        told = ", ".join(
            f"{name} is {have!r} on the server and {want!r} in the declaration"
            for name, (want, have) in changes.items()
        )
        raise ConsumerConfigError(
            f"actor {actor.name!r}: consumer {actor.consumer_name!r} of stream {stream!r} is not "
            f"as declared: {told}. Update it with await conn.register(), or change the declaration"
        )
