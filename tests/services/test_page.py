"""The page: whole, self-contained, and harmless whatever the texts in it are."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import walnats_anyio as walnats
from tests.services._named import handle, systems
from walnats_anyio.services._picture import fitting

ALONE = {"meta"}


class Reader(HTMLParser):
    """Reads a page as a browser does, and notes what is in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def values(self, attribute: str) -> list[str | None]:
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]


class Line(msgspec.Struct):
    product: Annotated[str, msgspec.Meta(min_length=2, description="What it is.")]


class Order(msgspec.Struct):
    """What was bought."""

    id: int
    lines: list[Line]
    note: str | None = None


PLACED = walnats.Event(
    "order.placed", Order, description="Paid.", limits=walnats.Limits(age=60, messages=5)
)
IDS = walnats.Event("ids", dict[str, tuple[int, str]])
RAW = walnats.Event("raw", bytes)


def shop() -> walnats.Services:
    services = walnats.Services(title="Shop", version="2.0", servers={"main": "nats://a"})
    services.add("checkout", version="1.1", emits=walnats.Events(PLACED, IDS, RAW))
    pack = walnats.Actor("pack", PLACED, handle, "Packs.", max_attempts=3, job_timeout=7.5)  # type: ignore[arg-type]  # it is never run
    services.add("warehouse", description="A hall.", defines=walnats.Actors(pack))
    return services


def check(page: str) -> Reader:
    """Whatever the page is about, this holds."""
    read = Reader(page)
    assert read.open == []
    assert page.startswith("<!DOCTYPE html>\n")
    page.encode()
    names = {name for name, _ in read.elements}
    assert not names & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert read.values("style") == read.values("src") == []
    assert not [key for _, attrs in read.elements for key in attrs if key.startswith("on")]
    ids = read.values("id")
    assert len(set(ids)) == len(ids)
    assert {f"#{each}" for each in ids} >= set(read.values("href"))
    return read


def test_a_person_finds_what_is_there() -> None:
    page = shop().get_html()
    shown = " ".join(" ".join(check(page).texts).split()).replace(" ,", ",")
    for text in (
        "Shop",
        "Version 2.0",
        "main nats://a:4222",
        "checkout Version 1.1 Emits order.placed ids raw",
        "warehouse Version 0.0.0 A hall. Actors",
        "pack order.placed 3 7.5 s Packs.",
        "Stream order-placed Limits 60 s of age, 5 messages Message Order",
        "Sent as application/json Emitted by checkout Handled by pack of warehouse",
        "Message What was bought.",
        "lines list of Line yes",
        "note string or null default: null no",
        "object with values of tuple of integer, string",
        "raw Subject raw Stream raw Message bytes Sent as application/octet-stream",
        "product string minLength: 2 yes What it is.",
    ):
        assert text in shown, shown


class Receipt(msgspec.Struct):
    """What was paid."""

    amount: int


def test_the_response_to_an_event_is_shown_with_it() -> None:
    services = walnats.Services()
    pay = walnats.Event("pay", Order).with_response(Receipt)
    services.add("shop", emits=walnats.Events(pay, IDS.with_response(int), RAW))
    shown = " ".join(" ".join(check(services.get_html()).texts).split())
    assert "Response Receipt" in shown
    assert "Response What was paid. Field" in shown
    assert "Message object with values of tuple of integer, string" in shown
    assert "Response integer JSON Schema" in shown


def test_types_of_others_have_a_place_to_link_to() -> None:
    ids = check(shop().get_html()).values("id")
    assert [each for each in ids if each and each.startswith("type-")] == ["type-Line"]


def test_a_browser_may_run_and_load_nothing() -> None:
    page = shop().get_html()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policies = [attrs["content"] for _, attrs in check(page).elements if "http-equiv" in attrs]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'"]
    assert not re.search(r"@import|url\(", style[1])


def test_a_page_without_services() -> None:
    assert "application" in check(walnats.Services().get_html()).texts


@given(systems())
@settings(max_examples=20, deadline=None)
def test_any_names(system: tuple[walnats.Services, list[str]]) -> None:
    services, names = system
    assert set(names) <= set(check(services.get_html()).texts)


EVIL = [
    "<script>alert(1)</script>",
    "</style><script>",
    '" onmouseover="x',
    "--> <!--",
    "&lt;b&gt; &amp;#60;",
    "]]>",
    "a\nb\r\n\tc",
]


@pytest.mark.parametrize("text", EVIL)
def test_texts_are_texts(text: str) -> None:
    line: Any = msgspec.defstruct(
        "Line", [("x", Annotated[str, msgspec.Meta(description=text)], text)]
    )
    line.__doc__ = text
    services = walnats.Services(description=text)
    services.add("a", description=text)
    event = walnats.Event("e", line, description=text)
    services.add("b", emits=walnats.Events(event))
    services.add("c", defines=walnats.Actors(walnats.Actor("d", event, handle, text)))
    texts = [" ".join(each.split()) for each in check(services.get_html()).texts]
    # Of the whole, a service, an event, an actor, the type, its field.
    assert texts.count(" ".join(text.split())) == 6


def test_characters_that_no_page_may_have() -> None:
    services = walnats.Services(description="a\ud800b\x00c\x1bd\u202ee\x85")
    read = check(services.get_html())
    assert "a\ufffdb\ufffdc\ufffdd\ufffde\ufffd" in read.texts


@given(st.text(min_size=1, max_size=40))
def test_a_text_in_a_box_is_cut_where_there_is_no_room(text: str) -> None:
    shown = fitting(text, 100)
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))
    assert len(shown) <= 12


def test_wide_letters_take_the_room_of_two() -> None:
    assert fitting("x" * 11, 100) == "x" * 11
    assert fitting("日" * 11, 100) == "日" * 5 + "…"
