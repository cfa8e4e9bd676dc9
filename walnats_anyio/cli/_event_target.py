"""Finding the events that `module:NAME` names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events import BaseEvent, Events
from walnats_anyio.cli._target import TargetProblem, Wanted, kind_of, load

EVENTS = Wanted(
    "events",
    (Events, BaseEvent, Actors, Actor),
    "events:EVENTS for EVENTS in events.py",
    "EVENTS = Events(...)",
)

EVENT = Wanted(
    "event",
    (BaseEvent, Events),
    "events:ORDER_PLACED for ORDER_PLACED in events.py",
    "ORDER_PLACED = Event(...)",
)


def load_events(target: str) -> Events:
    """Import the module and give the events: an `Events`, an `Event`, or those of actors.

    Raises:
        TargetProblem: no such module or name, a module that cannot be imported, or no events.
    """
    found, shown = load(target, EVENTS)
    if isinstance(found, Events):
        return found
    if _is_event(found):
        return Events(found)
    if isinstance(found, Actors):
        return Events(*_events_of(found))
    if _is_actor(found):
        return Events(found.event)
    raise TargetProblem(
        f"{shown} holds no events, but {kind_of(found)}",
        "name an Events, an Event, an Actors, an Actor, or a function that returns one of them",
    )


def load_event(target: str, name: str | None) -> BaseEvent[Any]:
    """Import the module and give the event: an `Event`, or the one of an `Events` with the name.

    Raises:
        TargetProblem: no such module or name, a module that cannot be imported, or not one event.
    """
    found, shown = load(target, EVENT)
    if _is_event(found):
        found = Events(found)
    if not isinstance(found, Events):
        raise TargetProblem(
            f"{shown} holds no event, but {kind_of(found)}",
            "name an Event, an Events, or a function that returns one of them",
        )
    if name is None and len(found) > 1:
        names = ", ".join(event.name for event in found)
        raise TargetProblem(f"{shown} has {len(found)} events: {names}", "choose one with --event")
    [event] = chosen(found, None if name is None else [name])
    return event


def chosen(events: Events, names: Iterable[str] | None) -> list[BaseEvent[Any]]:
    """Give the events of these names; None: all.

    Raises:
        TargetProblem: there is no event of such a name.
    """
    known = {event.name: event for event in events}
    for name in names or ():
        if name not in known:
            raise TargetProblem(
                f"there is no event {name!r}", f"there is {', '.join(known) or 'none at all'}"
            )
    return list(known.values()) if names is None else [known[name] for name in dict.fromkeys(names)]


def _events_of(actors: Actors) -> list[BaseEvent[Any]]:
    return list({actor.event.name: actor.event for actor in actors}.values())


def _is_event(found: object) -> TypeGuard[BaseEvent[Any]]:
    return isinstance(found, BaseEvent)


def _is_actor(found: object) -> TypeGuard[Actor[Any, Any]]:
    return isinstance(found, Actor)
