"""The fenced code blocks of README and docs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

FENCE = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>[\w-]*)(?: title=\"(?P<title>[^\"]+)\")?[ ]*\n"
    r"(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
SNIPPET = re.compile(r'^--8<-- "(?P<path>[^"]+)"$')


@dataclass(frozen=True)
class Block:
    """One fenced block, its snippet read in."""

    page: Path
    line: int
    language: str
    title: str | None
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def dedent(text: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def with_snippet(text: str) -> str:
    """Read the file that a block includes instead of showing text of its own."""
    snippet = SNIPPET.match(text.strip())
    return (ROOT / snippet["path"]).read_text() if snippet else text


def blocks_of(page: Path) -> list[Block]:
    """Find the fenced blocks of a page, in order."""
    source = page.read_text()
    return [
        Block(
            page=page,
            line=source.count("\n", 0, found.start()) + 1,
            language=found["language"],
            title=found["title"],
            text=with_snippet(dedent(found["text"], found["indent"])),
        )
        for found in FENCE.finditer(source)
    ]


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]
