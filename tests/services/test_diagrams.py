"""Diagrams: what they show, whatever the names are.

The programs that draw them are not needed here. Each line has to be one that they take, and what
they would read out of the quotes has to be the name.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Literal, Optional

from hypothesis import given, settings

import walnats_anyio as walnats
from tests.services._named import handle, systems

PLACED = walnats.Event("order.placed", int)
SENT = walnats.Event("parcel.sent", list[int])


def shop() -> walnats.Services:
    services = walnats.Services()
    services.add("checkout", emits=walnats.Events(PLACED))
    services.add(
        "warehouse",
        emits=walnats.Events(SENT),
        defines=walnats.Actors(walnats.Actor("pack", PLACED, handle)),
    )
    return services


D2 = """\
direction: down
service_checkout: "checkout" {
}
service_warehouse: "warehouse" {
  actor_pack: "pack" {
  }
}
event_order_placed: "order.placed" {
  shape: oval
}
service_checkout -> event_order_placed: "int"
event_order_placed -> service_warehouse.actor_pack
event_parcel_sent: "parcel.sent" {
  shape: oval
}
service_warehouse -> event_parcel_sent: "list[int]"
"""

MERMAID = """\
flowchart TB
  service_checkout["checkout"]
  subgraph service_warehouse["warehouse"]
    actor_pack["pack"]
  end
  event_order_placed("order.placed")
  service_checkout -->|"int"| event_order_placed
  event_order_placed --> actor_pack
  event_parcel_sent("parcel.sent")
  service_warehouse -->|"list[int]"| event_parcel_sent
"""


def test_d2() -> None:
    assert shop().get_d2("down", colors=False) == D2


def test_mermaid() -> None:
    assert shop().get_mermaid("down", colors=False) == MERMAID


def test_colors() -> None:
    d2, mermaid = shop().get_d2(), shop().get_mermaid()
    assert d2.count("  class: event") == 2
    assert d2.count("  event: {style: ") == mermaid.count("  classDef event ") == 1
    assert "  class event_order_placed,event_parcel_sent event" in mermaid
    assert "  class service_checkout,service_warehouse service" in mermaid


def test_mermaid_makes_no_icon_of_a_name() -> None:
    services = walnats.Services()
    services.add("fa:fa-user", emits=walnats.Events(walnats.Event("placed", int)))
    assert '["fa#58;fa-user"]' in services.get_mermaid()


D2_LINE = re.compile(
    r"""direction:\ right
    |\ *[a-z0-9_]+:\ (?P<label>"(?:[^"\\$]|\\["\\$])*")\ \{
    |[a-z0-9_]+\ ->\ [a-z0-9_]+:\ "int"
    |[a-z0-9_]+\ ->\ [a-z0-9_]+\.[a-z0-9_]+
    |\ *shape:\ oval
    |\ *\}""",
    re.VERBOSE,
)

MERMAID_LABEL = r""""((?:[\w ()\[\].,/+=-]|\#\d+;)*)\""""
MERMAID_LINE = re.compile(
    rf"""flowchart\ LR
    |\ *(?:subgraph\ )?[A-Za-z0-9_]+\[{MERMAID_LABEL}\]
    |\ \ event_[A-Za-z0-9_]+\({MERMAID_LABEL}\)
    |\ \ [A-Za-z0-9_]+\ -->\|"int"\|\ [A-Za-z0-9_]+
    |\ \ [A-Za-z0-9_]+\ -->\ [A-Za-z0-9_]+
    |\ \ end""",
    re.VERBOSE,
)


@given(systems())
@settings(max_examples=60, deadline=None)
def test_d2_of_any_names(system: tuple[walnats.Services, list[str]]) -> None:
    services, names = system
    found = [D2_LINE.fullmatch(line) for line in services.get_d2(colors=False).splitlines()]
    assert all(found)
    labels = [match["label"][1:-1] for match in found if match and match["label"]]
    assert Counter(re.sub(r"\\(.)", r"\1", label) for label in labels) == Counter(names)
    made = [match[0].split(":")[0].strip() for match in found if match and match["label"]]
    assert len(set(made)) == len(names)


@given(systems())
@settings(max_examples=60, deadline=None)
def test_mermaid_of_any_names(system: tuple[walnats.Services, list[str]]) -> None:
    services, names = system
    found = [
        MERMAID_LINE.fullmatch(line) for line in services.get_mermaid(colors=False).splitlines()
    ]
    assert all(found)
    labels = [match[1] or match[2] for match in found if match and (match[1] or match[2])]
    shown = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label) for label in labels]
    assert Counter(shown) == Counter(names)
    made = [
        re.split(r"[\[(]", match[0])[0].split()[-1]
        for match in found
        if match and (match[1] or match[2])
    ]
    assert len(set(made)) == len(names)


class Inner:
    """A class inside of another name."""


def test_types_are_named_without_their_modules() -> None:
    class Local:
        pass

    class Own:
        def encode(self, message: object) -> bytes:
            return b""

        def decode(self, data: bytes) -> object:
            return None

    cases: list[tuple[Any, str]] = [
        (Inner, "Inner"),
        (Local, "Local"),
        (list[Inner], "list[Inner]"),
        (Optional[Local], "Optional[Local]"),  # noqa: UP045 - it is shown differently
        (Literal["a.b", 'c"d.e'], """Literal['a.b', 'c"d.e']"""),
    ]
    for schema, shown in cases:
        services = walnats.Services()
        services.add("some", emits=walnats.Events(walnats.Event("event", schema, Own())))
        document = services.get_async_api()
        assert document["components"]["messages"]["event"]["title"] == shown
