"""Reading a file: encodings, what is no Python, comments that excuse, which codes are wanted."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

import walnats_anyio
from walnats_anyio.linter import CODES, Finding, Selection, check_source
from walnats_anyio.linter._arguments import ACTOR, ACTOR_DEFAULTS, EVENT, LIMITS
from walnats_anyio.linter._declarations import LONGEST_DESCRIPTION, SHORTEST_AGE

WRONG = "import walnats_anyio as w\n"


def lines_with(source: str) -> list[int]:
    return [found.line for found in check_source(WRONG + source)]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "#noqa",
        "# NOQA: WNS001",
        "# noqa:WNS001",
        "# noqa: E501, WNS001",
        "# noqa: E501 WNS001",
        "# noqa: WNS",
        "# it is checked elsewhere  # noqa: WNS0",
    ],
)
def test_a_comment_excuses_its_line(comment: str) -> None:
    assert lines_with(f"w.Event('', int)  {comment}") == []
    assert lines_with(f"w.Event(\n  '',  {comment}\n  int,\n)\nw.Event('', int)") == [6]
    assert lines_with(f'w.Event("""\n""" * 0, int)  {comment}\nw.Event("", int)') == [4]
    assert lines_with(f"if x:\n  w.Event('', int)  {comment}\n  w.Event('', int)") == [4]
    assert lines_with(f"{comment}\nw.Event('', int)") == [3]
    assert lines_with(f"w.Event('', int)\n{comment}") == [2]
    assert lines_with(f"w.Event(\n  '',\n  int,\n)  {comment}") == [3]


@pytest.mark.parametrize("comment", ["# noqa: E501", "# noqa: WNS002", "# no qa", "# n: WNS001"])
def test_another_comment_does_not(comment: str) -> None:
    assert lines_with(f"w.Event('', int)  {comment}") == [2]


def test_text_is_no_comment() -> None:
    assert lines_with("w.Event('', int, None, '# noqa')") == [2]


@pytest.mark.parametrize(
    "source",
    [
        "def f(:",
        "print 'walnats_anyio'",
        "x = 1\n\x00",
        "(" * 5000,
        "-" * 100_000 + "1",
        "# coding: no-such-encoding",
        "# coding: rot13",
        b"# coding: utf-8\nx = '\xff'",
        b"# coding: undefined\nx = 1",
        "'\ud800'",
    ],
    ids=range(10),
)
def test_what_cannot_be_read_is_one_finding(source: str | bytes) -> None:
    data = source.encode(errors="surrogatepass") if isinstance(source, str) else source
    # What is about encodings has to stay in the first line.
    data = data + b"\n" + WRONG.encode() if b"coding" in data else WRONG.encode() + data
    [found] = check_source(data)
    assert found.code == "WNS000"
    assert found.line >= 1
    assert found.column >= 1
    assert "\n" not in found.message


def test_it_says_why_a_file_cannot_be_read() -> None:
    [found] = check_source(f"# coding: rot13\n{WRONG}".encode())
    assert "not a text encoding" in found.message
    assert (found.line, found.column) == (1, 1)


def test_what_has_nothing_to_do_with_the_library_is_not_read() -> None:
    assert check_source("def f(:") == []
    assert check_source(b"\xff") == []


def test_a_file_has_its_own_encoding() -> None:
    text = "# coding: latin-1\nimport walnats_anyio as w\nÄ = 'ü'; w.Event('', int)\n"
    [found] = check_source(text.encode("latin-1"))
    assert (found.line, found.column) == (3, 18)
    [found] = check_source(b"\xef\xbb\xbf" + text.replace("latin-1", "utf-8").encode())
    assert (found.line, found.column) == (3, 18)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_end_as_python_has_it(newline: str) -> None:
    text = (
        "import walnats_anyio as w\n'\x0c\u2028'; 'ä'\nw.Event('', int)\nw.Event('', int) # noqa\n"
    )
    for source in (text.replace("\n", newline), text.replace("\n", newline).encode()):
        assert [found.line for found in check_source(source)] == [3]


FOUND = [Finding(1, 1, code, "") for code in CODES]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(), CODES.keys() - {"WNS033"}),
        (Selection(extend_select=("WNS033",)), CODES.keys()),
        (Selection(select=("WNS033",)), {"WNS033"}),
        (
            Selection(select=("WNS03",), ignore=("WNS031", "WNS032", "WNS034")),
            {"WNS035", "WNS036", "WNS037"},
        ),
        (Selection(select=("WNS01", "WNS021")), {"WNS011", "WNS012", "WNS021"}),
        (Selection(ignore=("WNS",)), set()),
        (Selection(select=("WNS033",), ignore=("WNS03",)), set()),
    ],
    # The order of a set differs between the processes of pytest-xdist.
    ids=lambda value: repr(value) if isinstance(value, Selection) else "",
)
def test_a_selection(selection: Selection, wanted: set[str]) -> None:
    assert {found.code for found in selection.wanted(FOUND)} == wanted


@pytest.mark.parametrize("code", ["WNS9", "E501", "wns001", "WNS0011"])
def test_a_selection_of_nothing_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=f"no code begins with '{code}': there are WNS000, "):
        Selection(ignore=(code,))


def test_arguments_and_defaults_are_those_of_the_classes() -> None:
    for cls, names in (
        (walnats_anyio.Event, EVENT),
        (walnats_anyio.Limits, LIMITS),
        (walnats_anyio.Actor, ACTOR),
    ):
        by_position = [field.name for field in fields(cls) if not field.kw_only and field.init]
        assert tuple(by_position) == names
    declared = {field.name: field.default for field in fields(walnats_anyio.Actor)}
    assert {name: declared[name] for name in ACTOR_DEFAULTS} == ACTOR_DEFAULTS
    walnats_anyio.Limits(age=SHORTEST_AGE)
    walnats_anyio.Event("a", int, description="a" * LONGEST_DESCRIPTION)
    with pytest.raises(ValueError, match="description"):
        walnats_anyio.Event("a", int, description="a" * (LONGEST_DESCRIPTION + 1))


def test_it_imports_nothing_of_the_rest_of_the_library() -> None:
    """So checking a file costs what reading it costs, and the package itself."""
    room = Path(walnats_anyio.__file__).parent / "linter"
    imported = {
        line
        for file in room.glob("*.py")
        for line in map(str.strip, file.read_text().splitlines())
        if line.startswith(("from walnats_anyio", "import walnats_anyio"))
    }
    allowed = ("from walnats_anyio.linter", "from walnats_anyio import __version__")
    assert [line for line in imported if not line.startswith(allowed)] == []
