"""Who starts when, under one limit: on a clock that jumps, so that hours take no time."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from math import inf

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sweep import sweep
from walnats_anyio import Snooze
from walnats_anyio.decorators import RateLimitStatistics, rate_limit
from walnats_anyio.decorators._line import Line
from walnats_anyio.decorators._starts import RecentStarts
from walnats_anyio.decorators._turns import Claim, Turns
from walnats_anyio.decorators._windows import SLEW, ServerTime, Windows

EPSILON = 1e-6


def most_within(times: list[float], period: float) -> int:
    """The most of these times that lie within one period, wherever it begins."""
    return max(
        (sum(first <= time < first + period - EPSILON for time in times) for first in times),
        default=0,
    )


# in virtual time


@dataclass
class Simulation:
    """Processes that work off the events of one actor, as a server gives them out."""

    max_jobs: int
    period: float
    processes: int
    patience: float
    chance: random.Random
    started: dict[int, list[float]] = field(default_factory=dict)
    """When jobs started, by their process."""
    done: list[int] = field(default_factory=list)
    snoozes: int = 0

    async def run(self, arrivals: list[float], cancelled: set[int]) -> None:
        self.turns = [
            Turns(RecentStarts(self.max_jobs, self.period), self.period)
            for _ in range(self.processes)
        ]
        async with trio.open_nursery() as tasks:
            for number, arrival in enumerate(arrivals):
                tasks.start_soon(self._handle, number, arrival, number in cancelled)

    async def _handle(self, number: int, arrival: float, is_cancelled: bool) -> None:
        await trio.sleep(arrival)
        while number not in self.done:
            process = self.chance.randrange(self.processes)
            claim = Claim(arrival, number, ("events", number), self.patience)
            with trio.CancelScope() as scope:
                if is_cancelled:
                    # Once, somewhere in the middle; then it is handed back, and comes again.
                    is_cancelled = False
                    scope.deadline = trio.current_time() + self.chance.random() * self.period
                try:
                    await self.turns[process].take(claim)
                except Snooze as snooze:
                    self.snoozes += 1
                    await trio.sleep(snooze.delay + self.chance.random() * 0.01)
                    continue
                self.started.setdefault(process, []).append(trio.current_time())
                self.done.append(number)


@settings(deadline=None, max_examples=40)
@given(
    max_jobs=st.integers(1, 5),
    period=st.sampled_from([0.5, 7.0, 60.0]),
    processes=st.integers(1, 3),
    patience=st.sampled_from([0.0, 1.0, 100.0]),
    gaps=st.lists(st.sampled_from([0.0, 0.001, 0.4, 30.0]), min_size=1, max_size=25),
    cancelled=st.sets(st.integers(0, 24)),
    seed=st.integers(0, 1000),
)
def test_whatever_comes_the_limit_holds_and_everybody_starts(
    max_jobs: int,
    period: float,
    processes: int,
    patience: float,
    gaps: list[float],
    cancelled: set[int],
    seed: int,
) -> None:
    sim = Simulation(max_jobs, period, processes, patience, random.Random(seed))
    arrivals = [sum(gaps[:number]) for number in range(len(gaps))]

    async def main() -> None:
        # So long that a limit which leaves turns unused half of the time still passes.
        with trio.fail_after(arrivals[-1] + 10 + 3 * period * (len(gaps) // max_jobs + 2)):
            await sim.run(arrivals, cancelled)
        await trio.sleep(1 + period)
        for turns in sim.turns:
            turns.line.advance(trio.current_time())
            assert (len(turns.line.all), len(turns.line.here)) == (0, 0)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sorted(sim.done) == list(range(len(gaps)))
    for times in sim.started.values():
        assert most_within(times, period) <= max_jobs
    if patience == 100.0 and period < 60:
        assert not sim.snoozes or processes * max_jobs < len(gaps)


def in_an_hour(count: int, patience: float, seed: int = 1) -> Simulation:
    """So many events at once, under a limit of ten a minute, in one process."""
    sim = Simulation(10, 60.0, 1, patience, random.Random(seed))

    async def main() -> None:
        await sim.run([number * 1e-4 for number in range(count)], set())

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return sim


def test_the_oldest_event_goes_first_and_each_is_snoozed_once() -> None:
    sim = in_an_hour(50, patience=1.0)
    assert [sorted(sim.done[at : at + 10]) for at in range(0, 50, 10)] == [
        list(range(at, at + 10)) for at in range(0, 50, 10)
    ]
    assert sim.snoozes <= 45
    assert max(sim.started[0]) == pytest.approx(240, abs=1)


def test_an_event_is_away_for_minutes_at_most() -> None:
    """So that a higher limit takes effect soon."""
    delays: list[float] = []

    async def main() -> None:
        turns = Turns(RecentStarts(1, 3600.0), 3600.0)
        for number in range(3):
            try:
                turns.take_or_snooze(Claim(float(number), number, number))
            except Snooze as snooze:
                delays.append(snooze.delay)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert delays == [300.0, 300.0]


def test_outside_of_a_job_it_waits_for_as_long_as_it_takes() -> None:
    times: list[float] = []

    @rate_limit(2, period=3600)
    async def handle(message: int) -> None:
        times.append(trio.current_time())

    async def main() -> None:
        began = trio.current_time()
        async with trio.open_nursery() as tasks:
            for number in range(5):
                tasks.start_soon(handle, number)
        assert [round(time - began) for time in times] == [0, 0, 3600, 3600, 7200]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.anyio
async def test_the_handlers_of_one_limit_share_it() -> None:
    limit = rate_limit(2, period=60)
    handled: list[str] = []

    @limit
    async def waits(message: str) -> None:
        handled.append(message)

    @limit
    def plain(message: str) -> None:
        handled.append(message)

    await waits("a")
    plain("b")
    with pytest.raises(Snooze) as raised:
        plain("c")
    assert 59 < raised.value.delay <= 60
    with anyio.move_on_after(0.02):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waits, "d")
            await anyio.wait_all_tasks_blocked()
            assert limit.statistics() == RateLimitStatistics(waiting=1, snoozed=0)
    assert limit.statistics() == RateLimitStatistics(waiting=0, snoozed=0)
    assert handled == ["a", "b"]


@pytest.mark.anyio
async def test_cancelled_anywhere_no_turn_is_lost() -> None:
    """The first job has the turn, and the others wait for theirs."""
    turns: Turns

    async def scenario() -> None:
        nonlocal turns
        turns = Turns(RecentStarts(1, 0.004), 0.004)
        for number in range(4):
            await turns.take(Claim(float(number)))

    async def check() -> None:
        assert len(turns.line.all) == 0
        with anyio.fail_after(5):
            await turns.take(Claim(3.0))

    assert await sweep(scenario, check, bounded_by=5) >= 3


def started_at(*jobs: tuple[float, Claim, float]) -> list[float | None]:
    """When jobs start under a limit of one a minute.

    Args:
        jobs: of each when it comes, its claim, and how long it waits until it is cancelled.
    """
    times: list[float | None] = [None] * len(jobs)

    async def main() -> None:
        turns, began = Turns(RecentStarts(1, 60.0), 60.0), trio.current_time()

        async def come(number: int, at: float, claim: Claim, within: float) -> None:
            await trio.sleep(at)
            with trio.move_on_after(within), contextlib.suppress(Snooze):
                await turns.take(claim)
                times[number] = trio.current_time() - began

        async with trio.open_nursery() as tasks:
            for number, job in enumerate(jobs):
                tasks.start_soon(come, number, *job)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return [None if time is None else round(time, 2) for time in times]


FIRST = (0.0, Claim(0.0), inf)
"""A job that has the turn of the first minute."""


def test_who_is_cancelled_gives_the_turn_to_the_next() -> None:
    assert started_at(
        FIRST, (1.0, Claim(1.0), 9.0), (2.0, Claim(2.0), inf), (3.0, Claim(3.0), inf)
    ) == [0, None, 60, 120]


def test_a_new_event_does_not_overtake_one_that_is_about_to_come_back() -> None:
    older = Claim(1.0, key="older", patience=5.0)
    assert started_at(
        FIRST, (1.0, older, inf), (60.01, Claim(50.0, patience=5.0), inf), (60.05, older, inf)
    ) == [0, None, None, 60.05]


def test_it_has_the_turn_of_one_that_does_not_come_back() -> None:
    """As another process has it."""
    older = Claim(1.0, key="older", patience=5.0)
    assert started_at(FIRST, (1.0, older, inf), (60.01, Claim(50.0, patience=5.0), inf)) == [
        0,
        None,
        61,
    ]


def test_a_job_that_ended_takes_no_turn() -> None:
    async def main() -> None:
        turns = Turns(RecentStarts(1, 60.0), 60.0)
        await turns.take(Claim(0.0))
        with pytest.raises(RuntimeError, match="the job ended before its turn came"):
            await turns.take(Claim(1.0, is_over=lambda: True))
        assert len(turns.line.all) == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# pure parts


@settings(max_examples=50)
@given(
    max_jobs=st.integers(1, 4),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 9)), max_size=10),
)
def test_when_is_when_it_may_start(max_jobs: int, steps: list[tuple[float, int]]) -> None:
    """As many as it foretold start when it foretold."""
    starts, now = RecentStarts(max_jobs, 2.0), 0.0
    for pause, before in steps:
        now += pause
        foretold = [starts.when(place, now) for place in range(before + 1)]
        assert foretold == sorted(foretold)
        for time in foretold:
            assert time + EPSILON >= now  # rounded like `now`
            now = max(now, time + EPSILON)
            assert starts.free(now) >= 1
            starts.take(time)


def test_a_place_is_kept_for_a_moment_after_it_was_due() -> None:
    line = Line(grace=0.5)
    first, second = line.arrive(1.0, key="a"), line.arrive(2.0, key="b")
    line.send_away(first, due=10.0)
    assert (line.all.before(second), line.here.before(second), line.away) == (1, 0, 1)
    line.advance(10.0)
    assert (line.late.before(second), line.next_drop) == (1, 10.5)
    line.advance(10.5)
    assert (line.all.before(second), line.away, line.next_drop) == (0, 0, float("inf"))
    back = line.arrive(1.0, key="a")
    assert line.here.first is back


def test_an_event_that_comes_back_has_its_place_again() -> None:
    line = Line(grace=0.5)
    older = line.arrive(1.0, key="a")
    line.send_away(older, due=10.0)
    younger = line.arrive(2.0, key="b")
    back = line.arrive(1.0, key="a")
    assert (line.all.before(younger), line.away, line.here.first) == (1, 0, back)
    line.leave(older)
    assert len(line.all) == 2
    line.send_away(back, due=20.0)
    twin = line.arrive(1.0, key="c")
    line.send_away(twin, due=30.0)
    line.advance(10.0)
    assert line.next_drop == float("inf")


def test_the_time_of_the_server_is_moved_by_little_under_a_mock_clock() -> None:
    time = ServerTime()
    assert time.is_stale(5.0)
    time.measured(1000.0, now=5.0, real=70.0)
    assert (time.at(5.0), time.local(1001.0)) == (1000.0, 6.0)
    # The clock of the event loop has jumped by an hour, and the server's has not.
    assert time.is_stale(3605.0)
    time.measured(1000.1, now=3605.0, real=70.1)
    assert time.at(3605.0) == pytest.approx(4600.0 - SLEW * 3600)
    time.measured(4570.0, now=3705.0, real=70.2)
    assert time.at(3705.0) == pytest.approx(4664.0 - SLEW * 100)


@pytest.mark.parametrize("jump", [-7200.0, 28800.0])
def test_a_clock_that_was_set_is_followed_at_once(jump: float) -> None:
    """Or a machine that slept: other processes count in the windows of the server's time."""
    server = Server()
    turns = windows(server)
    turns.ask(1, now=0.0)
    turns.granted(100, 1, True, now=0.1)
    turns.time.measured(6061.0 + jump, now=61.0, real=161.5)
    turns.ask(1, now=61.0)
    assert server.asked == [(100, 1), (101 + jump / 60, 1)]
    assert turns.free(61.0) == 0
    turns.granted(100, 1, False, now=61.1)  # too late, and of another window
    assert turns.free(61.1) == 0


def test_a_clock_that_is_a_little_behind_opens_no_window_again() -> None:
    server = Server()
    turns = windows(server)
    turns.ask(1, now=59.99)
    assert turns.free(60.0) == 0
    turns.ask(1, now=60.0)
    turns.granted(101, 1, False, now=60.01)
    turns.time.measured(6059.9, now=61.0, real=161.0)
    assert turns.free(61.0) == 1


class Server:
    """Notes what is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def request(self, window: int, wanted: int) -> None:
        self.asked.append((window, wanted))


def windows(server: Server, max_jobs: int = 10) -> Windows:
    made = Windows(max_jobs, 60.0, server.request)
    made.time.measured(6000.0, now=0.0, real=100.0)
    return made


def test_one_request_at_a_time_for_as_many_as_wait() -> None:
    server = Server()
    turns = windows(server)
    turns.ask(3, now=0.0)
    turns.ask(5, now=0.1)
    assert server.asked == [(100, 3)]
    turns.granted(100, 3, False, now=0.2)
    assert turns.free(0.2) == 3
    turns.ask(3, now=0.2)
    turns.ask(50, now=0.2)
    assert server.asked == [(100, 3), (100, 7)]


def test_a_window_that_is_used_up_is_not_asked_again() -> None:
    server = Server()
    turns = windows(server)
    turns.ask(4, now=0.0)
    turns.granted(100, 2, True, now=0.2)
    turns.take(0.2)
    turns.ask(9, now=0.2)
    assert len(server.asked) == 1
    assert turns.when(0, 0.2) == pytest.approx(60, abs=0.01)
    assert turns.when(9, 0.2) == pytest.approx(60, abs=0.01)
    assert turns.when(10, 0.2) == pytest.approx(120, abs=0.01)
    # What is left of a window is gone with it.
    assert (turns.free(59.9), turns.free(60.1)) == (1, 0)
    turns.ask(1, now=60.1)
    assert server.asked[1:] == [(101, 1)]


def test_events_come_back_as_this_process_gets_turns() -> None:
    server = Server()
    turns = windows(server)
    for window in range(9):
        now = 60.0 * window + 1
        turns.ask(4, now)
        turns.granted(100 + window, 2, True, now)
    assert turns.when(5, 60.0 * 9 + 1) <= 60.0 * 9 + 1
    turns.ask(4, 60.0 * 9 + 1)
    turns.granted(109, 0, True, 60.0 * 9 + 1)
    assert turns.when(5, 60.0 * 9 + 1) == pytest.approx(60.0 * 12, abs=0.01)


def test_an_answer_that_comes_too_late_gives_nothing() -> None:
    server = Server()
    turns = windows(server)
    turns.ask(4, now=59.0)
    turns.granted(100, 4, True, now=61.0)
    assert turns.free(61.0) == 0
    turns.ask(4, now=61.0)
    assert server.asked[1:] == [(101, 4)]


def test_of_a_high_limit_a_block_is_taken() -> None:
    server = Server()
    turns = windows(server, max_jobs=5000)
    turns.ask(1, now=0.0)
    assert server.asked == [(100, 50)]


def test_after_trouble_it_waits_before_it_asks_again() -> None:
    server = Server()
    turns = windows(server)
    turns.ask(1, now=0.0)
    turns.failed(now=1.0)
    assert (turns.is_in_trouble(5.9), turns.when(0, 5.9)) == (True, 6.0)
    turns.ask(1, now=5.9)
    assert len(server.asked) == 1
    turns.ask(1, now=6.0)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_jobs": 0}, ValueError, "max_jobs must be at least 1, not 0"),
        ({"max_jobs": 1.5}, TypeError, "max_jobs must be an int"),
        ({"period": 0}, ValueError, "period must be 0.001 to"),
        ({"period": "1m"}, TypeError, "period must be a number of seconds"),
        ({"max_wait": -1}, ValueError, "max_wait must be 0 to"),
        ({"shared": "a.b"}, ValueError, "shared must be 1 to 64 of the letters"),
        ({"shared": ""}, ValueError, "shared must be 1 to 64 of the letters"),
        ({"shared": "x" * 65}, ValueError, "shared must be 1 to 64 of the letters"),
        ({"shared": True}, TypeError, "shared must be a name or None"),
        ({"shared": "x", "period": 0.05}, ValueError, "allow more jobs in a longer period"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=f"rate_limit: .*{says}"):
        rate_limit(**{"max_jobs": 1, "period": 1} | arguments)  # type: ignore[arg-type] # as said


def test_it_shows_what_it_is() -> None:
    assert repr(rate_limit(3, 60)) == "rate_limit(3, 60, max_wait=1)"
    assert repr(rate_limit(3, 0.5, shared="sms")) == "rate_limit(3, 0.5, shared='sms', max_wait=1)"
