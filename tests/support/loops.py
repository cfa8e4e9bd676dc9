"""On which event loops a test runs that is about what another process does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

import pytest

LOOPS = ("asyncio", "trio")


def in_turn(
    name: str, cases: Sequence[object], backend: str = "anyio_backend"
) -> pytest.MarkDecorator:
    """Parametrize a test: on Python 3.11 each case on one event loop, in turn, later on both.

    For many cases of something that depends little on the event loop. `.ci/run` has 3.12 run what
    is on trio and 3.13 what is on asyncio, so together they run each case on both. `backend` is the
    name of the argument that takes the event loop.
    """
    if sys.version_info < (3, 12):
        pairs = [(LOOPS[number % 2], case) for number, case in enumerate(cases)]
    else:
        pairs = list(product(LOOPS, cases))
    return pytest.mark.parametrize((backend, name), pairs)
