"""What commands do with the server beside listening: registering, and seeing what is left."""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from walnats_anyio._actors import Actors
from walnats_anyio._actors._consumers import plan_consumers, register_consumers
from walnats_anyio._actors._helpers import plan_helpers, register_helpers
from walnats_anyio._actors.declare._actor import on_server
from walnats_anyio._events import Events, PlanAction, PlanEntry, RegisterOptions, in_namespace
from walnats_anyio._events._streams import plan_streams, register_streams
from walnats_anyio._link import Link, WalnatsError, api
from walnats_anyio.cli._plan import Plan

LOOK_WITHIN = 2.0
"""Seconds in which the server is asked what is left; it is a courtesy, so it must not take long."""


@dataclass(frozen=True)
class Declared:
    """What a module declares."""

    events: Events
    """The events whose streams are meant."""

    actors: Actors | None = None
    """The actors whose consumers are meant, if any."""


async def plan_all(
    link: Link, declared: Declared, options: RegisterOptions
) -> tuple[PlanEntry, ...]:
    """Find out what `register_all` would do. Sends no request that changes anything.

    Raises:
        WalnatsError: the server does not answer, or this user may not ask it.
        ExceptionGroup: more than one request failed.
    """
    events = [in_namespace(event, link.prefixes) for event in declared.events]
    streams = await plan_streams(link, events, options)
    if declared.actors is None:
        return streams
    coming = {each.name for each in streams if each.action is PlanAction.CREATE}
    actors = [on_server(actor, link.prefixes) for actor in declared.actors]
    consumers = await plan_consumers(link, actors, options, coming)
    return (*streams, *consumers, *await plan_helpers(link, actors, options))


async def register_all(
    link: Link, declared: Declared, options: RegisterOptions
) -> tuple[PlanEntry, ...]:
    """Register streams, then consumers and the library's own streams; goes on where some fail.

    Raises:
        WalnatsError: the server does not answer, or this user may not ask it.
    """
    events = [in_namespace(event, link.prefixes) for event in declared.events]
    streams = await register_streams(link, events, set(), options)
    if declared.actors is None:
        return streams
    actors = [on_server(actor, link.prefixes) for actor in declared.actors]
    consumers = await register_consumers(link, actors, options)
    return (*streams, *consumers, *await register_helpers(link, actors, options))


async def register(actors: Actors, plan: Plan) -> None:
    """Make the streams and consumers of the actors on the server what is declared.

    Raises:
        ConnectError: no server was reached.
        WalnatsError: a stream or a consumer was refused.
        ValueError: two actors declare one event differently.
    """
    server, options = plan.connection_arguments()
    events = Events(*(actor.event for actor in actors))
    async with events.connect(server, **options) as connected:
        await connected.register()
    async with actors.connect(server, **options) as connected_actors:
        await connected_actors.register()


async def left_in_nats(actors: Actors, plan: Plan) -> dict[str, int] | None:
    """How many events wait for each actor, those included that are with other processes.

    None when the server does not answer quickly.
    """
    left: dict[str, int] = {}
    with anyio.move_on_after(LOOK_WITHIN):
        try:
            async with plan.open_link() as link:
                for actor in (on_server(each, link.prefixes) for each in actors):
                    info = await api(
                        link, f"CONSUMER.INFO.{actor.event.stream_name}.{actor.consumer_name}"
                    )
                    count = int(info["num_pending"]) + int(info["num_ack_pending"])
                    left[actor.name] = left.get(actor.name, 0) + count
        except WalnatsError:
            return None
        return left
    return None
