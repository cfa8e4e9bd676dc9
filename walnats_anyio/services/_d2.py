"""The diagram for D2 (https://d2lang.com)."""

from __future__ import annotations

from collections.abc import Iterator

from walnats_anyio.services._flow import Flow, schema_name
from walnats_anyio.services._names import UniqueNames

_CLASSES = (
    "classes: {",
    '  service: {style: {fill: "#f4f4f5"; stroke: "#71717a"}}',
    '  event: {style: {fill: "#ffedd5"; stroke: "#c2410c"}}',
    '  actor: {style: {fill: "#dbeafe"; stroke: "#1d4ed8"}}',
    "}",
)


def d2(flow: Flow, direction: str, colors: bool) -> str:
    """Write the diagram; every text is a quoted label, and names within it are made here."""
    return "\n".join(_lines(flow, direction, colors)) + "\n"


def _lines(flow: Flow, direction: str, colors: bool) -> Iterator[str]:
    # D2 does not tell A from a, and has reserved words: each name begins with what it is.
    names = UniqueNames("a-z0-9_", lower=True)
    yield f"direction: {direction}"
    if colors:
        yield from _CLASSES
    for service in flow.services:
        name = names.give(f"service_{service.name}", service.name)
        yield f"{name}: {_quoted(service.name)} {{"
        yield from _style("service", colors)
        for actor in service.actors:
            own = names.give(f"actor_{actor.name}", (actor.event.name, actor.name))
            yield f"  {own}: {_quoted(actor.name)} {{"
            yield from (f"  {line}" for line in _style("actor", colors))
            yield "  }"
        yield "}"
    for event in flow.events:
        name = names.give(f"event_{event.name}", (event.name,))
        yield f"{name}: {_quoted(event.name)} {{"
        yield "  shape: oval"
        yield from _style("event", colors)
        yield "}"
        for service in flow.emitters(event):
            source = names.give("", service.name)
            yield f"{source} -> {name}: {_quoted(schema_name(event.schema))}"
        for service, actor in flow.handlers(event):
            target = f"{names.give('', service.name)}.{names.give('', (event.name, actor.name))}"
            yield f"{name} -> {target}"


def _style(kind: str, colors: bool) -> Iterator[str]:
    if colors:
        yield f"  class: {kind}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
