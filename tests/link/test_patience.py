"""How long something outside this program may take."""

from __future__ import annotations

import math

import anyio
import pytest

from tests.support.errors import OwnError
from tests.support.waiting import DEADLINE
from walnats_anyio._link._patience import Patience

pytestmark = pytest.mark.anyio


def patience_for(seconds: float, at_most: float = math.inf) -> Patience:
    return Patience(seconds, at_most=at_most, now=anyio.current_time)


async def test_what_comes_in_time_is_given() -> None:
    async def act() -> int:
        return 7

    assert await patience_for(DEADLINE).wait_for(act) == 7


async def test_what_is_raised_comes_out_as_itself() -> None:
    async def act() -> None:
        raise OwnError

    with pytest.raises(OwnError):
        await patience_for(DEADLINE).wait_for(act)


@pytest.mark.parametrize("limit", ["seconds", "at_most", "renewed"])
async def test_what_takes_longer_is_cancelled(limit: str) -> None:
    """After the seconds, at a moment, or after the seconds that it was given instead."""
    seconds = 0.01 if limit == "seconds" else DEADLINE * 2
    at_most = anyio.current_time() + 0.01 if limit == "at_most" else math.inf
    patience = patience_for(seconds, at_most)
    if limit == "renewed":
        patience.renew(0.01)
    with anyio.move_on_after(DEADLINE) as scope, pytest.raises(TimeoutError):
        await patience.wait_for(anyio.sleep_forever)
    assert not scope.cancelled_caught
