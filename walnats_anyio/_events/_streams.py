"""Making a stream on the server what its event declares."""

from __future__ import annotations

from typing import Any

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._link import (
    STREAM_NAME_IN_USE,
    Link,
    ServerError,
    StreamConfigError,
    StreamExistsError,
    api,
    differences,
    stream_config,
)


async def register_stream(link: Link, event: BaseEvent[Any], *, create: bool, update: bool) -> None:
    """Create the event's stream, or update it where its configuration differs.

    What the event does not declare (compression, placement, ...) is left as the server has it.

    Raises:
        StreamExistsError: it exists with another configuration and `update` is False.
        StreamConfigError: it is missing and `create` is False, or the server refuses it.
    """
    declared = event.stream_config()
    actual = await stream_config(link, event.stream_name, replicas=event.replicas)
    if actual is None:
        if not create:
            raise StreamConfigError(
                f"event {event.name!r}: there is no stream {event.stream_name!r}: "
                "register it with create=True"
            )
        if await _create(link, event, declared):
            return
        # Another process was faster by a moment.
        actual = await stream_config(link, event.stream_name, replicas=event.replicas) or {}
    changes = differences(declared, actual)
    if not changes:
        return
    if not update:
        told = ", ".join(
            f"{name} is {have!r}, not {want!r}" for name, (want, have) in changes.items()
        )
        raise StreamExistsError(
            f"event {event.name!r}: stream {event.stream_name!r} exists with another configuration "
            f"({told}): register it with update=True, or declare the event as it is"
        )
    await _request(link, "UPDATE", event, actual | declared)


async def _create(link: Link, event: BaseEvent[Any], config: dict[str, Any]) -> bool:
    try:
        await _request(link, "CREATE", event, config)
    except StreamConfigError as exc:
        cause = exc.__cause__
        if isinstance(cause, ServerError) and cause.code == STREAM_NAME_IN_USE:
            return False
        raise
    return True


async def _request(link: Link, verb: str, event: BaseEvent[Any], config: dict[str, Any]) -> None:
    try:
        await api(link, f"STREAM.{verb}.{event.stream_name}", config, replicas=event.replicas)
    except ServerError as exc:
        if exc.code is None:
            raise
        raise StreamConfigError(
            f"event {event.name!r}: the server refuses stream {event.stream_name!r}: {exc}"
        ) from exc


def raise_all(what: str, errors: list[Exception]) -> None:
    """Raise the only error as it is, several as a group, nothing for none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup(f"{len(errors)} {what}", errors)
