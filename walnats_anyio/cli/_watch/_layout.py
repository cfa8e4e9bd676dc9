"""A table of names and numbers that fits into a terminal.

Numbers are never cut, as half a number is a wrong one. Names are, in the middle, as those that
belong together often begin alike; but two that differ are shown differently. Where that is not
enough, the less important numbers are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.text import Text

GAP = 2
"""Columns of the terminal between two of the table."""

LEAST = 12
"""Columns of the terminal for each name, as long as there are numbers to leave out."""


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    title: str
    cells: Sequence[str]
    is_name: bool = False
    """Whether it is a name, which may be cut."""

    is_note: bool = False
    """Whether it is text that is not cut; else a number."""

    rank: int = 0
    """Numbers of a higher rank are left out first; 0: never."""

    style: Sequence[str] = ()
    """The style of each cell, where they have one."""

    @property
    def width(self) -> int:
        """Columns of the terminal that it takes if nothing is cut."""
        return max(cell_len(text) for text in (self.title, *self.cells))


def lines_of(columns: Sequence[Column], width: int | None, ellipsis: str = "…") -> list[Text]:
    """Lay a table out, a line for the titles and one for each row.

    Args:
        columns: the columns; those without a title and without any text are left out.
        width: columns of the terminal; None: as many as needed.
        ellipsis: what stands for what was cut out.
    """
    shown = [column for column in columns if column.width]
    if width is not None:
        shown = _fitting(shown, width)
    widths = _widths(shown, width)
    cut = [
        _cut_names(column.cells, wide, ellipsis) if column.is_name else column.cells
        for column, wide in zip(shown, widths, strict=True)
    ]
    lines = [_line([(column.title, "bold") for column in shown], shown, widths)]
    for row in range(len(columns[0].cells)):
        cells = [
            (texts[row], column.style[row] if column.style else "")
            for texts, column in zip(cut, shown, strict=True)
        ]
        lines.append(_line(cells, shown, widths))
    return lines


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Leave out numbers until names have enough."""
    kept = list(columns)
    while True:
        names = sum(min(column.width, LEAST) for column in kept if column.is_name)
        numbers = sum(column.width for column in kept if not column.is_name)
        ranks = [column.rank for column in kept]
        if names + numbers + GAP * (len(kept) - 1) <= width or not max(ranks, default=0):
            return kept
        kept.pop(ranks.index(max(ranks)))


def _widths(columns: Sequence[Column], width: int | None) -> list[int]:
    widths = [column.width for column in columns]
    if width is None:
        return widths
    excess = sum(widths) + GAP * (len(columns) - 1) - width
    names = [number for number, column in enumerate(columns) if column.is_name]
    while excess > 0 and names:
        longest = max(names, key=widths.__getitem__)
        if widths[longest] <= 1:
            break
        widths[longest] -= 1
        excess -= 1
    return widths


def _cut_names(names: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """Cut names so that those that differ are shown differently, if that is possible."""
    shown: dict[str, str] = {}
    left: list[str] = list(dict.fromkeys(names))
    for cut in (_in_the_middle, _at_the_beginning, _at_the_end):
        made = {name: cut(name, width, ellipsis) for name in left}
        counts = Counter([*made.values(), *shown.values()])
        shown |= {name: text for name, text in made.items() if counts[text] == 1}
        left = [name for name in left if name not in shown]
    for number, name in enumerate(left, 1):
        mark = f"#{number}"
        shown[name] = _at_the_end(name, max(1, width - len(mark)), ellipsis) + mark
    return [shown[name] for name in names]


def _in_the_middle(name: str, width: int, ellipsis: str) -> str:
    room = width - len(ellipsis)
    if cell_len(name) <= width or room < 2:
        return _at_the_end(name, width, ellipsis)
    return _begin(name, room - room // 2) + ellipsis + _end(name, room // 2)


def _at_the_beginning(name: str, width: int, ellipsis: str) -> str:
    if cell_len(name) <= width:
        return name
    return ellipsis + _end(name, max(0, width - len(ellipsis)))


def _at_the_end(name: str, width: int, ellipsis: str) -> str:
    if cell_len(name) <= width:
        return name
    return _begin(name, max(0, width - len(ellipsis))) + ellipsis


def _begin(text: str, width: int) -> str:
    return chop_cells(text, width)[0] if text and width > 0 else ""


def _end(text: str, width: int) -> str:
    return _begin(text[::-1], width)[::-1]


def _line(
    cells: Sequence[tuple[str, str]], columns: Sequence[Column], widths: Sequence[int]
) -> Text:
    line = Text(no_wrap=True)
    for number, ((text, style), column, wide) in enumerate(
        zip(cells, columns, widths, strict=True)
    ):
        space = " " * max(0, wide - cell_len(text))
        if number:
            line.append(" " * GAP)
        if column.is_name or column.is_note:
            line.append(text, style)
            line.append(space)
        else:
            line.append(space)
            line.append(text, style)
    line.rstrip()
    return line


def in_short(number: int) -> str:
    """A count as a person reads it: in full up to seven digits, then `12.3 M`, `4.56 G`."""
    if number < 10_000_000:
        return f"{number:,}"
    for size, unit in ((10**6, "M"), (10**9, "G")):
        if number < 999.5 * size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 10**12:,.3g} T" if number < 999.5 * 10**12 else f"{number:.3g}"
