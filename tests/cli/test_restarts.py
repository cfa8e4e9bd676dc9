"""How long a replacement waits."""

from __future__ import annotations

import pytest

from walnats_anyio.cli._restarts import FIRST_DELAY, LONGEST_DELAY, STEADY_AFTER, Backoff


@pytest.mark.parametrize("ready_for", [None, 0.0, STEADY_AFTER - 1])
def test_every_end_doubles_the_delay_up_to_a_limit(ready_for: float | None) -> None:
    backoff = Backoff()
    for ends in range(2000):
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(ends, 10))
        assert longest / 2 <= backoff.ended(ready_for) <= longest


def test_a_long_life_makes_the_next_end_the_first_one() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.ended(1.0)
    assert backoff.ended(STEADY_AFTER) <= FIRST_DELAY
    assert backoff.ended(1.0) <= FIRST_DELAY * 2


def test_workers_that_end_together_do_not_come_back_together() -> None:
    assert len({Backoff().ended(None) for _ in range(20)}) > 10


def test_only_ends_before_ready_are_failures() -> None:
    backoff = Backoff()
    for ready_for in (None, 1.0, None):
        backoff.ended(ready_for)
    assert backoff.failures == 2
