"""The same things said at random to nats-server and to the engine: both answer the same.

`WALNATS_WALKS=1000:1200` takes those walks rather than a few; `nox -s memory` takes many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.testing.memory._pair import play
from tests.testing.memory._walk import Walk
from walnats_anyio.testing import NatsServer

STEPS = 60


def seeds() -> range:
    begin, _, end = os.environ.get("WALNATS_WALKS", "0:6").partition(":")
    return range(int(begin), int(end))


@pytest.fixture(scope="module")
def real() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.mark.parametrize("seed", seeds())
def test_both_servers_say_the_same(real: NatsServer, seed: int) -> None:
    play(real, lambda pair: Walk(pair, seed).go(STEPS))
