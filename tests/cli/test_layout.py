"""Tables of `top` and `status`: numbers are whole, names can be told apart, nothing is wrapped."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from walnats_anyio.cli._watch._layout import Column, in_short, lines_of
from walnats_anyio.cli._watch._survey import ActorState
from walnats_anyio.cli._watch._view import most_urgent_first, show, table_of

LONG = "archive-invoices-of-the-department-of-purchases-north-and-east"

NAMES = st.text("ab-é漢", min_size=1, max_size=60)


def actor(name: str, waiting: int = 0, event: str = "company.department.placed") -> ActorState:
    return ActorState(
        actor=name, event=event, stream=event.replace(".", "-"), consumer=name, waiting=waiting,
        held=3, redelivered=1, requests=2, done=5, oldest=90.0, dead=7, paused=None, config={},
    )  # fmt: skip


def screen_of(width: int, *, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


@given(st.lists(st.tuples(NAMES, NAMES, st.integers(0, 10**15)), min_size=1), st.integers(60, 200))
def test_lines_fit_and_numbers_are_whole(rows: list[tuple[str, str, int]], width: int) -> None:
    columns = [
        Column("actor", [name for name, _, _ in rows], is_name=True),
        Column("event", [event for _, event, _ in rows], is_name=True),
        Column("waiting", [in_short(count) for _, _, count in rows]),
        Column("requests", ["0"] * len(rows), rank=1),
    ]
    titles, *lines = (line.plain for line in lines_of(columns, width))
    assert all(cell_len(line) <= width for line in (titles, *lines))
    assert "waiting" in titles
    for line, (_, _, count) in zip(lines, rows, strict=True):
        assert in_short(count) in line


@given(st.lists(NAMES, unique=True, min_size=1, max_size=30), st.integers(8, 70))
def test_names_that_differ_look_different(names: list[str], width: int) -> None:
    lines = [line.plain for line in lines_of([Column("", names, is_name=True)], width)]
    assert len(set(lines[1:])) == len(names)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_that_matter_less_are_left_out_first(width: int) -> None:
    actors = [actor(f"{LONG}-a", 123_456_789_012), actor(f"{LONG}-b")]
    screen = screen_of(width)
    titles, first, second = (line.plain for line in table_of(actors, screen, {}))
    assert "123 G" in first
    assert first.split()[0] != second.split()[0]
    assert all(title in titles for title in ("waiting", "held", "dead"))
    assert ("redelivered" in titles) == (width == 120)


def test_without_a_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    screen = screen_of(80, terminal=False)
    show(table_of([actor(LONG)], screen), screen)
    assert isinstance(screen.file, io.StringIO)
    _, line = screen.file.getvalue().splitlines()
    assert line.split()[:2] == [LONG, "company.department.placed"]


def test_what_has_no_place_is_counted() -> None:
    actors = most_urgent_first([actor(f"a{n:02}", waiting=n) for n in range(50)])
    lines = [line.plain for line in table_of(actors, screen_of(80), {}, rows=10)]
    assert len(lines) == 10
    assert lines[1].startswith("a49")
    assert lines[-1] == f"and 42 more actors, with {sum(range(42)):,} waiting; --actor NAME"
    assert len(table_of(actors, screen_of(80), {}, rows=51)) == 51


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0"), (9_999_999, "9,999,999"), (12_345_678, "12.3 M"), (999_600_000, "1 G"),
        (123_456_789_012, "123 G"), (5 * 10**12, "5 T"), (10**16, "1e+16"),
    ],
)  # fmt: skip
def test_counts_in_short(count: int, said: str) -> None:
    assert in_short(count) == said


def test_a_terminal_without_unicode() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = Console(file=file, width=60, force_terminal=True, color_system=None)
    lines = [line.plain for line in table_of([actor(LONG)], screen)]
    assert all(line.isascii() for line in lines)
