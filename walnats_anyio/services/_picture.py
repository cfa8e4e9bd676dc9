"""The picture at the top of a page: who emits, which events, who handles them.

Three columns from left to right. The boxes are links to the parts of the page, and the style sheet
of the page has the colors.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from walnats_anyio.services._flow import Flow
from walnats_anyio.services._markup import Markup, join, tag

ROW = 44
"""Pixels from one box to the next one below."""

HEIGHT = 30
"""Of a box."""

TITLE = 24
"""For the name of a service above its actors."""

EDGE = 12
"""From the boxes to the border of the picture, and from actors to that of their service."""

COLUMNS = ((EDGE, 210), (322, 260), (684, 230))
"""Where each column begins, and how wide its boxes are."""

WIDTH = 684 + 230 + 2 * EDGE

CHARACTER = 7.4
"""Pixels that a character takes at most, in the font of the style sheet."""


@dataclass(frozen=True)
class Box:
    """A box with a text."""

    kind: str
    text: str
    link: str
    column: int
    top: float

    @property
    def middle(self) -> float:
        return self.top + HEIGHT / 2

    @property
    def left(self) -> float:
        return COLUMNS[self.column][0]

    @property
    def width(self) -> float:
        return COLUMNS[self.column][1]

    def draw(self) -> Markup:
        """Draw it, with the whole text as what a mouse sees where it does not fit."""
        shape = {"x": self.left, "y": self.top, "width": self.width, "height": HEIGHT, "rx": 6}
        text = tag(
            "text", fitting(self.text, self.width), x=self.left + self.width / 2, y=self.middle + 4
        )
        inside = join(tag("title", self.text), tag("rect", **shape), text)
        return tag("a", inside, href=f"#{self.link}", class_=self.kind)


def picture(flow: Flow, link: Callable[[str, str], str]) -> Markup:
    """Draw the flow.

    Args:
        flow: what to draw.
        link: the id of the part of the page about a "service" or an "event" of this name.
    """
    events = {
        event.name: Box("event", event.name, link("event", event.name), 1, EDGE + ROW * row)
        for row, event in enumerate(flow.events)
    }
    boxes = list(events.values())
    lines: list[Markup] = []
    top: float = EDGE
    for service in flow.services:
        if not service.events:
            continue
        # Near the events it emits, below the service before it.
        wanted = sum(events[event.name].top for event in service.events) / len(service.events)
        box = Box("service", service.name, link("service", service.name), 0, max(top, wanted))
        top = box.top + ROW
        boxes.append(box)
        lines += [_line(box, events[event.name]) for event in service.events]
    frames, actors, bottom = _groups(flow, link)
    boxes += [box for box, _ in actors]
    lines += [_line(events[name], box) for box, name in actors]
    height = max(top, EDGE + ROW * len(events), bottom)
    return tag(
        "svg",
        *frames,
        *lines,
        *(box.draw() for box in boxes),
        viewBox=f"0 0 {WIDTH} {round(height)}",
        role="group",
        aria_label="Services that emit, events, and actors that handle them",
    )


def _groups(
    flow: Flow, link: Callable[[str, str], str]
) -> tuple[list[Markup], list[tuple[Box, str]], float]:
    """The services on the right, the actors in them with their events, and where they end."""
    frames: list[Markup] = []
    actors: list[tuple[Box, str]] = []
    top: float = EDGE
    left, width = COLUMNS[2]
    for service in flow.services:
        if not service.actors:
            continue
        height = TITLE + ROW * len(service.actors)
        shape = {"x": left - EDGE, "y": top, "width": width + 2 * EDGE, "height": height, "rx": 8}
        text = tag("text", fitting(service.name, width), x=left + width / 2, y=top + 17)
        inside = join(tag("title", service.name), tag("rect", **shape), text)
        target = link("service", service.name)
        frames.append(tag("a", inside, href=f"#{target}", class_="service"))
        for row, actor in enumerate(service.actors):
            box = Box("actor", actor.name, target, 2, top + TITLE + ROW * row)
            actors.append((box, actor.event.name))
        top += height + EDGE
    return frames, actors, top


def _line(source: Box, target: Box) -> Markup:
    start, end = source.left + source.width, target.left
    bend = (end - start) / 2
    way = f"M{start} {source.middle}c{bend} 0 {bend} {target.middle - source.middle} "
    return tag("path", d=f"{way}{end - start} {target.middle - source.middle}")


def fitting(text: str, width: float) -> str:
    """The text, cut where it would be wider than that many pixels."""
    room = int((width - EDGE) / CHARACTER)
    wide = [2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text]
    if sum(wide) <= room:
        return text
    taken = used = 0
    while used + wide[taken] < room:
        used += wide[taken]
        taken += 1
    return text[:taken] + "…"
