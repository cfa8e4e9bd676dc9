"""Who emits what, and who handles it: what all diagrams show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from walnats_anyio._actors import Actor, Actors
    from walnats_anyio._events import BaseEvent, Events

_MODULES = re.compile(r"""('[^']*'|"[^"]*")|(?<![\w.])(?:[^\W\d][\w<>]*\.|<locals>\.)+(?=\w)""")
"""What stands before the name of a class. Texts are left alone: `Literal["a.b"]`."""


@dataclass(frozen=True)
class Service:
    """One service of a system: a program, or several that are developed together."""

    name: str
    """What people call it."""

    version: str
    """The version of what it emits and handles, as AsyncAPI documents show it."""

    emits: Events | None
    """The events that it emits; None: none."""

    defines: Actors | None
    """The actors that it runs; None: none."""

    description: str | None = None
    """What it is for; None: nothing is shown. AsyncAPI documents take CommonMark."""

    @property
    def events(self) -> tuple[BaseEvent[Any], ...]:
        """The events that it emits, in their order."""
        return tuple(self.emits or ())

    @property
    def actors(self) -> tuple[Actor[Any, Any], ...]:
        """The actors that it runs, in their order."""
        return tuple(self.defines or ())


class Flow:
    """Services, the events of all of them, and who is at either end of each event."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = tuple(services)
        events = [event for service in services for event in service.events]
        events += [actor.event for service in services for actor in service.actors]
        self.events: tuple[BaseEvent[Any], ...] = tuple(dict.fromkeys(events))

    def emitters(self, event: BaseEvent[Any]) -> list[Service]:
        """Which services emit the event."""
        return [service for service in self.services if event in service.events]

    def handlers(self, event: BaseEvent[Any]) -> Iterator[tuple[Service, Actor[Any, Any]]]:
        """Which actors handle the event, and of which service."""
        for service in self.services:
            for actor in service.actors:
                if actor.event == event:
                    yield service, actor


def schema_name(schema: object) -> str:
    """The type of messages in one line, as people read it: without modules."""
    if isinstance(schema, type) and not get_args(schema):
        shown = schema.__name__
    else:
        shown = _MODULES.sub(r"\1", str(schema))
    return "".join(char if char.isprintable() else "?" for char in shown)
