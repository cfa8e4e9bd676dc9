"""Tables that are lists on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from walnats_anyio.services._markup import Markup, tag


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Make a table whose first column names the rows; a column that is empty is left out."""
    lines = list(rows)
    used = [index for index in range(len(columns)) if any(line[index] for line in lines)]
    head = tag("tr", *(tag("th", columns[index], scope="col") for index in used))
    body = [
        tag("tr", *(_cell(index, columns[index], line[index]) for index in used)) for line in lines
    ]
    return tag("table", tag("thead", head), tag("tbody", *body))


def _cell(index: int, column: str, content: str) -> Markup:
    if index == 0:
        return tag("th", content, scope="row")
    # The style sheet shows the name of the column beside the cell where there is no room for both.
    return tag("td", content, data_column=column if content else None)
