"""What `run` does with the server beside listening: registering, and seeing what is left."""

from __future__ import annotations

import anyio

from walnats_anyio._actors import Actors
from walnats_anyio._actors.declare._actor import on_server
from walnats_anyio._events import Events
from walnats_anyio._link import WalnatsError, api
from walnats_anyio.cli._plan import Plan

LOOK_WITHIN = 2.0
"""Seconds in which the server is asked what is left; it is a courtesy, so it must not take long."""


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
