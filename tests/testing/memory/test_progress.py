"""How far a consumer is: what holds whatever is delivered and acknowledged, in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio.testing._memory._progress import Pending, Progress

STEPS = st.lists(st.tuples(st.sampled_from(["new", "again", "ack"]), st.integers(0, 7)))


class Play:
    """Deliveries and acknowledgements such as a consumer reports."""

    def __init__(self, ack_policy: str) -> None:
        self.progress = Progress(ack_policy, 10)
        self.first: dict[int, int] = {}
        self._seq, self._delivery = 10, 0

    def step(self, kind: str, number: int) -> None:
        if kind == "new":
            self._seq += 1 + number % 3
            self._delivery += 1
            self.first[self._seq] = self._delivery
            self.progress.deliver(self._seq, self._delivery, 1, -1)
        elif self.first:
            seq = sorted(self.first)[number % len(self.first)]
            if kind == "again":
                self._delivery += 1
                self.progress.deliver(seq, self._delivery, 2, -1)
            else:
                self.acknowledge(seq)

    def acknowledge(self, seq: int) -> None:
        self.progress.acknowledge(seq, self.first[seq])
        every = self.progress.floor[1] >= seq
        self.first = {
            each: first
            for each, first in self.first.items()
            if each != seq and not (every and each <= self.progress.floor[1])
        }


@pytest.mark.parametrize("ack_policy", ["explicit", "all"])
@settings(max_examples=40)
@given(steps=STEPS)
def test_the_floor_follows_what_is_done_with(ack_policy: str, steps: list[tuple[str, int]]) -> None:
    play = Play(ack_policy)
    before = play.progress.floor
    for kind, number in steps:
        play.step(kind, number)
        floor, delivered = play.progress.floor, play.progress.delivered
        assert before[0] <= floor[0] <= delivered[0]
        assert before[1] <= floor[1] <= delivered[1]
        assert all(floor[1] < seq for seq in play.first)
        before = floor
    if ack_policy == "explicit":
        for seq in list(play.first):
            play.acknowledge(seq)
        assert play.progress.floor == play.progress.delivered


def test_what_is_older_or_wrong_is_not_taken_over() -> None:
    progress = Progress("explicit", 0)
    progress.deliver(3, 2, 1, -1)
    for delivered, floor, pending in [
        ((1, 3), (0, 2), {}),
        ((3, 4), (4, 3), {}),
        ((3, 4), (2, 5), {}),
        ((3, 4), (2, 3), {3: Pending(2)}),
    ]:
        progress.replace(delivered, floor, pending)
        assert (progress.delivered, progress.floor) == ((2, 3), (0, 0))
    progress.replace((3, 4), (2, 3), {4: Pending(3)})
    assert (progress.delivered, progress.floor) == ((3, 4), (2, 3))
