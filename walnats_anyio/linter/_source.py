"""Checking source text: parsing it, and leaving out what a comment excuses."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from walnats_anyio.linter._codes import UNREADABLE, Finding
from walnats_anyio.linter._engine import PACKAGE, check_tree

NOQA = re.compile(
    r"# ?noqa(?::[\s]?(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*))?", re.IGNORECASE
)
"""As flake8 reads it: without codes it excuses everything."""


def check_source(source: bytes | str) -> list[Finding]:
    """Find the mistakes in the text of a Python file, those of all codes.

    What a comment `# noqa: CODE` excuses is left out; it applies to the line that it stands in, and
    to all lines of a string that ends there, as it does in flake8. A file that has to do with this
    library and is not Python is one finding: `WNS000`.

    Args:
        source: the file as it is, with its own encoding, or as text.

    Returns:
        What was found, in the order of the lines.
    """
    if (PACKAGE not in source) if isinstance(source, str) else (PACKAGE.encode() not in source):
        return []
    try:
        text = source if isinstance(source, str) else _decoded(source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes, say, are for others to report
            module = ast.parse(text)
    except SyntaxError as error:
        return [_unreadable(error.msg, error.lineno or 1, error.offset or 1)]
    except (ValueError, LookupError, RecursionError, MemoryError) as error:
        return [_unreadable(str(error) or type(error).__name__)]
    found = check_tree(module, lines_of(text))
    return [*_not_excused(found, text)] if found else []


def lines_of(text: str) -> list[str]:
    """The lines as Python counts them: a form feed, say, begins none."""
    return io.StringIO(text, newline=None).readlines()


def _decoded(source: bytes) -> str:
    """Read the text as Python does, its byte order mark and its `coding` comment respected."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return io.TextIOWrapper(io.BytesIO(source), encoding).read()


def _unreadable(why: str, line: int = 1, column: int = 1) -> Finding:
    return Finding(max(line, 1), max(column, 1), UNREADABLE, f"cannot be read as Python: {why}")


def _not_excused(found: list[Finding], text: str) -> Iterator[Finding]:
    excuses = _excuses(text)
    return (each for each in found if not each.code.startswith(excuses.get(each.line, ())))


def _excuses(text: str) -> dict[int, tuple[str, ...]]:
    """The codes that are excused in each line; an empty text stands for all of them."""
    excuses: dict[int, tuple[str, ...]] = {}
    first: int | None = None  # a string may begin some lines before the line ends
    codes: list[str] = []
    for token in _tokens(text):
        if token.type == tokenize.COMMENT:
            codes += _codes_in(token.string)
        if token.type not in (tokenize.DEDENT, tokenize.ENDMARKER):
            first = first or token.start[0]
        if token.type in (tokenize.NEWLINE, tokenize.NL):
            excuses |= dict.fromkeys(range(first or 1, token.end[0] + 1), tuple(codes))
            first, codes = None, []
    return excuses


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    lines = iter(lines_of(text))
    # What the parser took, the tokenizer may still refuse, in the last line for instance.
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        yield from tokenize.generate_tokens(lambda: next(lines, ""))


def _codes_in(comment: str) -> list[str]:
    found = NOQA.search(comment)
    if found is None:
        return []
    listed = found["codes"]
    return [""] if listed is None else re.findall(r"\w+", listed.upper())
