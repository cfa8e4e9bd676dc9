"""No false alarm on this project: library, examples, benchmarks, and what the docs show.

The tests declare wrong things on purpose, and are left out.
"""

from __future__ import annotations

from pathlib import Path

from tests.docs._blocks import ALL_BLOCKS, ROOT
from walnats_anyio.linter import Selection, check_source
from walnats_anyio.linter._files import python_files

DEFAULT = Selection()
PAGE_OF_MISTAKES = "linter.md"
ON_PURPOSE = {
    "events.md: event name 'orders placed' contains ' ', which it cannot have: use '-' instead"
}
"""The page shows what the library says to that."""


def test_no_alarm_on_files() -> None:
    roots = [ROOT / "walnats_anyio", ROOT / "docs", ROOT / "benchmarks", ROOT / "noxfile.py"]
    files = [*python_files(roots)]
    alarms = [
        f"{file}:{found}"
        for file in files
        for found in DEFAULT.wanted(check_source(file.read_bytes()))
    ]
    assert alarms == []
    assert ROOT / "docs" / "examples" / "quickstart" / "subscribe.py" in files


def test_no_alarm_on_what_the_docs_show() -> None:
    """A page is one program."""
    pages: dict[Path, list[str]] = {}
    for block in ALL_BLOCKS:
        if block.language == "python" and block.page.name != PAGE_OF_MISTAKES:
            pages.setdefault(block.page, []).append(block.text)
    alarms = {
        f"{page.name}: {found.message}"
        for page, texts in pages.items()
        for text in (*texts, "".join(texts))
        for found in DEFAULT.wanted(check_source(text))
    }
    assert alarms == ON_PURPOSE
    assert len(pages) > 10
