"""When a connection counts as lost: pure, told what was seen at each look."""

from __future__ import annotations

from collections import Counter

import pytest

from walnats_anyio._link._keepalive import FRAME_GROWTH, LOOKS, PATIENCE, Action, Keepalive, Seen


def looks(most: int, *, pings: int = 2, **growth: int) -> list[Action]:
    """What is done at each look until the connection is cut, as something grows from look to look.

    Nothing else is seen, and no answer to any PING.
    """
    keepalive = Keepalive(pings)
    done: list[Action] = []
    for number in range(1, most + 1):
        seen = {name: 1_000_000 + by * number for name, by in growth.items()}
        done.append(keepalive.look(Seen(**seen)))
        if done[-1] is Action.CUT:
            break
    return done


def test_a_server_that_answers_is_asked_at_each_interval() -> None:
    keepalive = Keepalive(2)
    pongs, done = 0, Counter[Action]()
    for _ in range(10 * LOOKS):
        action = keepalive.look(Seen(pongs=pongs))
        done[action] += 1
        pongs += action is Action.PING
    assert done == {Action.PING: 10, Action.NOTHING: 10 * (LOOKS - 1)}


@pytest.mark.parametrize("pings", [1, 2, 5])
def test_silence(pings: int) -> None:
    """It is asked at each interval, and cut as the last of these answers is due."""
    done = looks(1000, pings=pings)
    assert done[-1] is Action.CUT
    assert len(done) == LOOKS * (pings + 1)
    assert done.count(Action.PING) == pings


def test_an_upload_over_a_slow_line_is_not_cut() -> None:
    """The PING itself waits behind it."""
    assert Action.CUT not in looks(10_000, unsent=-1)


def test_an_upload_that_stands_still() -> None:
    assert looks(1000, unsent=0) == looks(1000)
    assert looks(1000, unsent=1) == looks(1000)


@pytest.mark.parametrize("growth", [{"messages": 1}, {"buffered": FRAME_GROWTH}], ids=str)
def test_what_comes_is_no_proof_for_long(growth: dict[str, int]) -> None:
    """It may still come where nothing that is sent arrives."""
    done = looks(1000, **growth)
    assert done[-1] is Action.CUT
    assert len(done) == LOOKS * (PATIENCE + 1)
    assert done.count(Action.PING) == 1


def test_a_message_that_hardly_grows_is_no_progress() -> None:
    assert looks(1000, buffered=FRAME_GROWTH - 1) == looks(1000)


def test_an_answer_after_a_long_time_makes_it_begin_anew() -> None:
    keepalive = Keepalive(2)
    for _ in range(LOOKS * 3 - 1):
        assert keepalive.look(Seen(pongs=1)) is not Action.CUT
    silence = [keepalive.look(Seen(pongs=2)) for _ in range(LOOKS * 3)]
    assert silence[-1] is Action.CUT
    assert silence.count(Action.PING) == 2


def test_looks_that_would_find_nothing_are_left_out() -> None:
    """Two in an interval are left: one that sends a PING, and one that finds the answer."""
    keepalive = Keepalive(2)
    pongs, waits = 0, list[int]()
    for _ in range(7):
        waits.append(keepalive.pause)
        pongs += keepalive.look(Seen(pongs=pongs), waits[-1]) is Action.PING
    assert waits == [LOOKS, 1, LOOKS - 1, 1, LOOKS - 1, 1, LOOKS - 1]
    assert pongs == 4
