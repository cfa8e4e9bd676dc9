"""The diagram for Mermaid (https://mermaid.js.org), which GitHub and many wikis draw."""

from __future__ import annotations

import re
from collections.abc import Iterator

from walnats_anyio.services._flow import Flow, schema_name
from walnats_anyio.services._names import UniqueNames

_DIRECTIONS = {"right": "LR", "left": "RL", "down": "TB", "up": "BT"}

_CLASSES = (
    "  classDef service fill:#f4f4f5,stroke:#71717a,color:#18181b",
    "  classDef event fill:#ffedd5,stroke:#c2410c,color:#431407",
    "  classDef actor fill:#dbeafe,stroke:#1d4ed8,color:#172554",
)

_SPECIAL = re.compile(r"[^\w ()\[\].,/+=-]")
"""What is written as a number: all that Mermaid, Markdown or HTML could take for their own.

Also `:`, as Mermaid draws an icon for `fa:fa-user`.
"""


def mermaid(flow: Flow, direction: str, colors: bool) -> str:
    """Write the diagram; every text is a quoted label, and names within it are made here."""
    return "\n".join(_lines(flow, direction, colors)) + "\n"


def _lines(flow: Flow, direction: str, colors: bool) -> Iterator[str]:
    # A word such as `end` would end a part of the diagram: each name begins with what it is.
    names = UniqueNames("A-Za-z0-9_")
    yield f"flowchart {_DIRECTIONS[direction]}"
    classes: dict[str, list[str]] = {"service": [], "event": [], "actor": []}
    for service in flow.services:
        name = names.give(f"service_{service.name}", service.name)
        classes["service"].append(name)
        if not service.actors:
            yield f"  {name}[{_quoted(service.name)}]"
            continue
        yield f"  subgraph {name}[{_quoted(service.name)}]"
        for actor in service.actors:
            own = names.give(f"actor_{actor.name}", (actor.event.name, actor.name))
            classes["actor"].append(own)
            yield f"    {own}[{_quoted(actor.name)}]"
        yield "  end"
    for event in flow.events:
        name = names.give(f"event_{event.name}", (event.name,))
        classes["event"].append(name)
        yield f"  {name}({_quoted(event.name)})"
        for service in flow.emitters(event):
            told = _quoted(schema_name(event.schema))
            yield f"  {names.give('', service.name)} -->|{told}| {name}"
        for _, actor in flow.handlers(event):
            yield f"  {name} --> {names.give('', (event.name, actor.name))}"
    if colors:
        yield from _CLASSES
        yield from (f"  class {','.join(own)} {kind}" for kind, own in classes.items() if own)


def _quoted(text: str) -> str:
    escaped = _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)
    return f'"{escaped}"'
