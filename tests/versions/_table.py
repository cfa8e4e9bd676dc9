"""The table of docs/guides/versions.md, made from what the tries gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.docs._blocks import ROOT
from tests.versions._rows import FEATURES
from tests.versions._site import COLUMNS, Feature, Outcome

PAGE = ROOT / "docs" / "guides" / "versions.md"

HEAD = ["feature", *COLUMNS, "where it does not work"]


def row_of(feature: Feature, outcomes: Iterable[Outcome]) -> str:
    """A row of the table; `outcomes` in the order of the columns."""
    return f"| {' | '.join([feature.name, *outcomes, feature.older])} |".replace("  ", " ")


def table_of(outcomes: Mapping[str, Mapping[str, Outcome]]) -> list[str]:
    """All of the table.

    Args:
        outcomes: by column, and then by the name of the feature.
    """
    head = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    rows = [
        row_of(feature, [outcomes[column][feature.name] for column in COLUMNS])
        for feature in FEATURES
    ]
    return head + rows


def table_in_the_docs() -> list[str]:
    """The lines of the table that the page has."""
    before, _, rest = PAGE.read_text().partition("\n| feature ")
    assert rest, f"there is no table in {PAGE} after {len(before)} characters"
    return f"| feature {rest}".partition("\n\n")[0].splitlines()


def cells_in_the_docs() -> dict[str, dict[str, str]]:
    """What the page says, by column, and then by the name of the feature."""
    lines = [[cell.strip() for cell in line[1:].split("|")] for line in table_in_the_docs()]
    return {
        column: {line[0]: line[number] for line in lines[2:]}
        for number, column in enumerate(COLUMNS, 1)
    }


def write(outcomes: Mapping[str, Mapping[str, Outcome]]) -> None:
    """Put a new table in place of the one that the page has."""
    old = "\n".join(table_in_the_docs())
    page = PAGE.read_text().replace(old, "\n".join(table_of(outcomes)))
    PAGE.write_text(page)
