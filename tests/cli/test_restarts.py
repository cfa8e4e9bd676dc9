"""How long a replacement waits, and when there is none."""

from __future__ import annotations

import pytest

from walnats_anyio.cli._restarts import (
    FIRST_DELAY,
    LONGEST_DELAY,
    STEADY_AFTER,
    Backoff,
    Restart,
    Restarts,
)


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


class Ends:
    """Two workers that end."""

    def __init__(self, max_restarts: int) -> None:
        self.restarts = Restarts(2, max_restarts)

    def hopeless(
        self, number: int, code: int | None, ready_for: float | None = None, *, others: bool = False
    ) -> str | None:
        restart = Restart(number, 1, code, None, "", "")
        decided = self.restarts.ended(restart, ready_for, others=others)
        return decided if isinstance(decided, str) else None


def test_ends_before_ready_are_counted_for_each_worker() -> None:
    ends = Ends(max_restarts=2)
    for _ in range(2):
        assert ends.hopeless(1, 7) is None
        assert ends.hopeless(2, 7) is None
    assert ends.hopeless(2, 7) == "not ready in 3 starts in a row"


def test_a_worker_that_is_ready_makes_the_count_begin_again() -> None:
    ends = Ends(max_restarts=2)
    for _ in range(5):
        assert ends.hopeless(1, 7) is None
        assert ends.hopeless(1, 7) is None
        ends.restarts.ready()


def test_nothing_is_hopeless_while_another_worker_is_ready() -> None:
    ends = Ends(max_restarts=0)
    ends.restarts.ready()
    assert [ends.hopeless(1, code, others=True) for code in (7, 3, 1, -9)] == [None] * 4


def test_nothing_is_hopeless_after_having_been_ready() -> None:
    ends = Ends(max_restarts=0)
    ends.restarts.ready()
    assert [ends.hopeless(1, code, 1.0) for code in (7, 3, 2, 1, 0, -9)] == [None] * 6


@pytest.mark.parametrize("others", [False, True])
def test_wrong_usage_is_hopeless_at_once(others: bool) -> None:
    assert Ends(10).hopeless(1, 2, others=others) == "starting it again does not help"


@pytest.mark.parametrize("codes", [(1, 3), (3, 3), (None, None)])
def test_workers_that_all_say_at_first_why_they_fail(codes: tuple[int | None, ...]) -> None:
    ends = Ends(10)
    assert ends.hopeless(1, codes[0]) is None
    assert ends.hopeless(2, codes[1]) == "no worker could start"


@pytest.mark.parametrize("codes", [(1, 7), (-9, 1), (0, 0)])
def test_workers_that_do_not_say_why_are_tried_again(codes: tuple[int, int]) -> None:
    ends = Ends(10)
    assert [ends.hopeless(number, code) for number, code in enumerate(codes, 1)] == [None, None]


def test_workers_that_fail_later_are_tried_again() -> None:
    ends = Ends(10)
    ends.restarts.ready()
    assert [ends.hopeless(1, 1), ends.hopeless(2, 1)] == [None, None]
