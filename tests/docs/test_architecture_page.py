"""docs/architecture.md describes the house that is there."""

from __future__ import annotations

import re

from tests.docs._blocks import ROOT
from tests.test_architecture import STOREYS

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGE = ROOT / "walnats_anyio"
ROW = re.compile(r"^\| (?P<storey>\d+) \| `(?P<room>[\w/]+)` \|", re.MULTILINE)
ROOMS = {row["room"].replace("/", "."): int(row["storey"]) for row in ROW.finditer(PAGE)}


def test_the_rooms_of_the_page_are_those_of_the_package() -> None:
    there = {room for room in STOREYS if (PACKAGE / room.replace(".", "/")).is_dir()}
    assert {room: STOREYS[room] for room in there} == ROOMS


def test_the_files_of_the_page_are_there() -> None:
    named = re.findall(r"`(\w+/[\w/]+\.py)`", PAGE)
    assert named
    assert [path for path in named if not (PACKAGE / path).exists() and "tests/" not in path] == []
