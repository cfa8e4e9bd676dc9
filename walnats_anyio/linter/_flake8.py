"""The plugin for flake8, which finds it by its entry point."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from walnats_anyio import __version__
from walnats_anyio.linter._codes import CODES
from walnats_anyio.linter._engine import check_tree


class Flake8Plugin:
    """Checks one file for flake8, which makes an object for each.

    flake8 does the rest: which files, which codes, `# noqa`.

    Args:
        tree: the file, parsed.
        lines: its lines.
    """

    name = "walnats-anyio"
    version = __version__

    _named: ClassVar[frozenset[str]] = frozenset()
    """The codes that somebody has named in full, in options or configuration."""

    def __init__(self, tree: ast.Module, lines: Sequence[str]) -> None:
        self._tree = tree
        self._lines = lines

    @classmethod
    def parse_options(cls, options: Any) -> None:
        """See which codes were asked for; flake8 calls it before the first file."""
        cls._named = frozenset([*(options.select or ()), *(options.extend_select or ())])

    def run(self) -> Iterator[tuple[int, int, str, type[Flake8Plugin]]]:
        """Give line, column (from 0) and text of each mistake."""
        for found in check_tree(self._tree, self._lines):
            if CODES[found.code].by_default or found.code in self._named:
                text = f"{found.code} {found.message}"
                yield found.line, found.column - 1, text, type(self)
