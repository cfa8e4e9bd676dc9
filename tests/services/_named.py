"""Services with names of any characters, as Hypothesis finds them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

import walnats_anyio as walnats

ODD = "ab A-_.1\"'`<>&#;%$\\{}[]()|*~!?@:/=,+^ü日\N{SNOWMAN}"

service_names = st.text(ODD, min_size=1, max_size=8).filter(str.strip)
actor_names = st.text(sorted(set(ODD) - set(" .*>/\\")), min_size=1, max_size=8)
event_names = actor_names.filter(lambda name: not name.startswith("$"))


async def handle(message: int) -> None:
    """Do nothing."""


@st.composite
def systems(draw: st.DrawFn) -> tuple[walnats.Services, list[str]]:
    """Two services, and every text that a diagram shows."""
    emitting, handling = draw(st.lists(service_names, min_size=2, max_size=2, unique=True))
    names = draw(st.lists(event_names, min_size=1, max_size=3, unique=True))
    actors = draw(st.lists(actor_names, min_size=1, max_size=3, unique=True))
    plain = [walnats.Event(name, int) for name in names]
    answered = draw(st.booleans())
    events: list[Any] = [event.with_response(str) for event in plain] if answered else list(plain)
    services = walnats.Services()
    services.add(emitting, emits=walnats.Events(*events))
    services.add(
        handling,
        defines=walnats.Actors(
            *(
                walnats.Actor(name, events[index % len(events)], handle)
                for index, name in enumerate(actors)
            )
        ),
    )
    return services, [emitting, handling, *names, *actors]
