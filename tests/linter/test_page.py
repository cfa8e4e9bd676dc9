"""docs/guides/linter.md: its table is that of the code, and its examples show what they say."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.docs._blocks import ROOT, Block, blocks_of
from walnats_anyio.linter import CODES, Code, Selection, check_source

PAGE = ROOT / "docs" / "guides" / "linter.md"
TEXT = PAGE.read_text()
BLOCKS = blocks_of(PAGE)


def section_of(code: Code) -> list[Block]:
    """The blocks under the heading of a code."""
    headings = [*re.finditer(r"^##+ .*$", TEXT, re.MULTILINE)]
    ends = [*(heading.start() for heading in headings[1:]), len(TEXT)]
    [(start, end)] = [
        (TEXT.count("\n", 0, heading.start()), TEXT.count("\n", 0, end))
        for heading, end in zip(headings, ends, strict=True)
        if heading[0] == f"### {code.name}: {code.title}"
    ]
    return [block for block in BLOCKS if start < block.line <= end]


def slug(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower())


def test_the_table_is_that_of_the_code() -> None:
    rows = [
        f"| [{code.name}](#{slug(f'{code.name}: {code.title}')}) | {code.title} "
        f"| {'yes' if code.by_default else 'when named'} |"
        for code in CODES.values()
    ]
    assert [line for line in TEXT.splitlines() if line.startswith("| [")] == rows


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """Worker processes look the handler up in its module."""
    made = ModuleType("example_of_the_linter")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_the_wrong_example_gives_this_code_and_the_right_one_runs(
    code: Code, module: ModuleType
) -> None:
    selection = Selection(extend_select=() if code.by_default else (code.name,))
    wrong, right = section_of(code)
    found = selection.wanted(check_source(wrong.text))
    assert [each.code for each in found] == [code.name]
    assert selection.wanted(check_source(right.text)) == []
    exec(compile(right.text, right.place, "exec"), module.__dict__)
