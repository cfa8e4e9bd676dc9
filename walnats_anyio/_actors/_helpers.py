"""The streams of the library's own that actors need: dead letters, and notes of attempts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from walnats_anyio import _letters
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.settle import _attempts
from walnats_anyio._events import (
    PlanAction,
    PlanEntry,
    RegisterOptions,
    plan_helper,
)
from walnats_anyio._link import (
    Link,
    Prefixes,
    ServerError,
    StreamConfigError,
    StreamExistsError,
    ensure_helper_stream,
)


async def plan_helpers(
    link: Link, actors: Iterable[Actor[Any, Any]], options: RegisterOptions
) -> tuple[PlanEntry, ...]:
    """Find out what `register_helpers` would do. Sends no request that changes anything.

    Raises:
        ServerError: the server does not answer, or this user may not ask it.
    """
    configs = _configs(actors, link.prefixes)
    return tuple([_allowed(await plan_helper(link, config), options) for config in configs])


async def register_helpers(
    link: Link, actors: Iterable[Actor[Any, Any]], options: RegisterOptions
) -> tuple[PlanEntry, ...]:
    """Create the streams, or raise their replicas.

    Returns:
        What was done about each; for one that failed why.
    """
    return tuple(
        [await _register(link, config, options) for config in _configs(actors, link.prefixes)]
    )


async def _register(link: Link, config: dict[str, Any], options: RegisterOptions) -> PlanEntry:
    name = config["name"]
    entry = PlanEntry("helper stream", name, name, None, PlanAction.FAIL)
    try:
        entry = _allowed(await plan_helper(link, config), options)
        if entry.changes_something:
            await ensure_helper_stream(link, config)
    except ServerError as error:
        return replace(entry, action=PlanAction.FAIL, error=error)
    return entry


def _configs(actors: Iterable[Actor[Any, Any]], prefixes: Prefixes) -> list[dict[str, Any]]:
    actors = list(actors)
    # As safe as the safest of the events.
    replicas = max(actor.event.replicas for actor in actors)
    configs = [_attempts.new_config(replicas, prefixes)]
    if any(actor.dead_letters for actor in actors):
        configs.append(_letters.new_config(replicas, prefixes))
    return configs


def _allowed(entry: PlanEntry, options: RegisterOptions) -> PlanEntry:
    if entry.action is PlanAction.CREATE and not options.create:
        missing = f"there is no stream {entry.name!r}: register it with create=True"
        return replace(entry, action=PlanAction.FAIL, error=StreamConfigError(missing))
    if entry.action is PlanAction.UPDATE and not options.update:
        told = ", ".join(map(str, entry.changes))
        differs = f"stream {entry.name!r} differs ({told}): register it with update=True"
        return replace(entry, action=PlanAction.FAIL, error=StreamExistsError(differs))
    return entry
