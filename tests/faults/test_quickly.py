"""The most telling faults, with 1,000 events; `nox -s faults` runs all of them with 10,000."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import all_faults

pytestmark = pytest.mark.anyio

EVENTS = 1000

QUICK = [
    "server restarted",
    "server killed and started",
    "connections reset 5 times",
    "worker killed",
    "workers restarted in turn",
    "cluster: leader killed",
]


@pytest.mark.parametrize("name", QUICK)
async def test_nothing_is_lost(name: str, anyio_backend_name: str) -> None:
    result = await all_faults()[name](anyio_backend_name, EVENTS)
    assert not result.problems, result
