"""What the docs say of versions of nats-server is what happens there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.versions._rows import FEATURES
from tests.versions._site import COLUMNS, Outcome, server_of
from tests.versions._table import HEAD, cells_in_the_docs, table_in_the_docs, table_of
from tests.versions._trying import try_all
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

BACKENDS = ("asyncio", "trio")

ON = [
    pytest.param(column, BACKENDS[number % 2], id=f"{column}-{BACKENDS[number % 2]}")
    for number, column in enumerate(COLUMNS)
]
"""Each server on one event loop; `nox -s versions` tries both."""


@pytest.fixture
def server(column: str) -> Iterator[NatsServer]:
    with server_of(COLUMNS[column]) as running:
        yield running


@pytest.mark.parametrize(("column", "anyio_backend"), ON)
async def test_the_table_says_what_happens(server: NatsServer, column: str) -> None:
    """Where it does not: correct the library, or run `nox -s versions -- --write`."""
    assert await try_all(server) == cells_in_the_docs()[column]


def test_the_table_has_every_feature() -> None:
    cells = cells_in_the_docs()
    outcomes = {
        column: {feature.name: Outcome(cells[column][feature.name]) for feature in FEATURES}
        for column in COLUMNS
    }
    assert table_in_the_docs() == table_of(outcomes)
    assert [cell.strip() for cell in table_in_the_docs()[0].strip("|").split("|")] == HEAD


def test_where_it_does_not_work_is_told() -> None:
    cells = cells_in_the_docs()
    for feature in FEATURES:
        everywhere = all(cells[column][feature.name] == Outcome.WORKS for column in COLUMNS)
        assert everywhere == (not feature.older), feature.name
