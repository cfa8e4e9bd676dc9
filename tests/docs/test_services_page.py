"""The guide on services shows what its program writes."""

from __future__ import annotations

import html
import re
import runpy

import pytest

import walnats_anyio as walnats
from tests.docs._blocks import EXAMPLES, ROOT
from tests.services._official import problems

WRITTEN = ROOT / "docs" / "assets" / "services"


@pytest.fixture(scope="module")
def services() -> walnats.Services:
    found: walnats.Services = runpy.run_path(str(EXAMPLES / "services" / "services.py"))["SERVICES"]
    return found


def test_the_document_is_right(services: walnats.Services) -> None:
    assert problems(services.get_async_api()) == []
    assert [problems(document) for document in services.get_async_apis()] == [[], [], []]


def test_what_is_shown_is_what_it_writes(services: walnats.Services) -> None:
    """Write the files again as the guide says, and draw the pictures from them."""
    assert (WRITTEN / "shop.html").read_text() == services.get_html()
    assert (WRITTEN / "shop.mmd").read_text() == services.get_mermaid()
    assert (WRITTEN / "shop.d2").read_text() == services.get_d2()


@pytest.mark.parametrize("picture", ["shop-mermaid.svg", "shop-d2.svg"])
def test_the_pictures_show_all(services: walnats.Services, picture: str) -> None:
    drawn = (WRITTEN / picture).read_text()
    shown = {html.unescape(text) for text in re.findall(r">([^<>]+)<", drawn)}
    names = {service.name for service in services}
    names |= {event.name for service in services for event in service.events}
    names |= {actor.name for service in services for actor in service.actors}
    assert names <= shown
    assert "<script" not in drawn
