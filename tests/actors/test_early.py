"""Events that come a moment before they are due, and are held by the process that gets them."""

from __future__ import annotations

import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors._stage import Stage, listening, running, stage
from tests.support.servers import server_binary
from tests.support.waiting import until
from walnats_anyio import Actor, Batch, Event, Reject, Retry, current_context
from walnats_anyio._actors.pull import _due, _early
from walnats_anyio._actors.pull._due import FRESH, LONGEST_LEAD, LeadTimes
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import CancelResult

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What comes early is held for as long as it says, so that a test can look at it."""
    monkeypatch.setattr(_due, "LONGEST_LEAD", HOUR)
    return monkeypatch


class Seen:
    """A handler that notes what came when, and as which attempt."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}
        self.attempts: list[int] = []

    async def __call__(self, message: int) -> None:
        self.times[message] = time.time()
        self.attempts.append(current_context().attempts)


async def emit_early(on: Stage, *messages: int, lead: float = HOUR) -> float:
    """Emit events as they are when the server has just put them into their stream."""
    due = time.time() + lead
    for message in messages:
        meta = {"Walnats-Due": f"{due:.6f}"}
        await on.events.emit(on.event, message, uid=f"number-{message}", meta=meta, sync=True)
    return due


async def until_held(on: Stage, actor: Actor[int, None], count: int) -> None:
    async def held() -> bool:
        return (await on.consumer(actor)).taken == count

    await until(held)


async def test_it_runs_when_it_is_due_as_a_first_delivery(url: str, event: Event[int]) -> None:
    seen = Seen()
    actor = Actor("a", event, seen, max_jobs=20, max_attempts=1)
    async with running(url, actor) as on:
        due = await emit_early(on, *range(20), lead=0.3)
        await until(lambda: len(seen.times) == 20)
        await on.until_done(actor)
        done = on.actors.statistics().actors[0]
    assert min(seen.times.values()) >= due
    assert seen.attempts == [1] * 20
    assert (done.handled, done.redelivered, done.parked) == (20, 0, 0)


async def test_the_server_has_it_in_its_stream_before_it_is_due(
    url: str, event: Event[int]
) -> None:
    """So many are due that the server, which looks four times a second, would be late with all."""
    stored: dict[int, float] = {}
    times: dict[int, float] = {}

    async def handle(message: int) -> None:
        times[message] = time.time()
        stored[message] = current_context().metadata.timestamp.timestamp()

    async with running(url, Actor("a", event, handle)) as on:
        begin = time.time() + 0.6
        due = {number: begin + number / 200 for number in range(60)}
        for number in due:
            await on.events.emit(event, number, delay=due[number] - time.time())
        await until(lambda: len(times) == 60)
    # `delay` is counted from the call, a moment after the test has looked at the time.
    assert all(times[number] >= due[number] for number in due)
    assert sum(stored[number] < due[number] for number in due) > 40


@pytest.mark.usefixtures("long")
async def test_it_takes_no_slot_and_a_stop_hands_it_back(url: str, event: Event[int]) -> None:
    seen = Seen()
    actor = Actor("a", event, seen, max_jobs=1, max_attempts=1)
    async with stage(url, actor) as on:
        async with listening(on.actors):
            await emit_early(on, *range(5))
            await on.emit(7, 8, 9)
            await until(lambda: sorted(seen.times) == [7, 8, 9])
            await until_held(on, actor, 5)
            assert on.actors.statistics().actors[0].waiting == 0
        # `listen` ends at once, and what it held comes again.
        _due.LONGEST_LEAD = LONGEST_LEAD
        async with listening(on.actors):
            await until(lambda: len(seen.times) == 8)
            await on.until_done(actor)
    assert seen.attempts == [1] * 8


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("batch", [None, Batch(2, 0.01)])
async def test_it_is_cancelled(url: str, event: Event[int], batch: Batch | None) -> None:
    ran: list[object] = []
    actor = Actor("a", event, ran.append, batch=batch)
    async with running(url, actor) as on:
        await emit_early(on, 1, 2)
        await until_held(on, actor, 2)
        assert await on.events.cancel("number-1") is CancelResult.WAITING
        await until_held(on, actor, 1)
        assert await on.events.cancel("number-2") is CancelResult.WAITING
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].cancelled == 2
        # Its slots are free: nothing is left behind in the counts.
        await on.emit(3, 4)
        await until(lambda: ran in ([3, 4], [[3, 4]], [[3], [4]]))


@pytest.mark.usefixtures("long")
async def test_a_pause_hands_it_back(url: str, event: Event[int]) -> None:
    seen = Seen()
    actor = Actor("a", event, seen, max_jobs=1, max_attempts=1)
    async with running(url, actor) as on:
        await emit_early(on, 1, 2)
        await until_held(on, actor, 2)
        await on.actors.pause("a")
        assert on.actors.statistics().actors[0].handed_back == 2
        _due.LONGEST_LEAD = LONGEST_LEAD
        await on.actors.resume("a")
        await until(lambda: len(seen.times) == 2)
    assert seen.attempts == [1, 1]


async def test_who_has_no_slot_when_it_is_due_hands_it_back(url: str, event: Event[int]) -> None:
    free, seen = anyio.Event(), Seen()

    async def handle(message: int) -> None:
        if message == 0:
            await free.wait()
        await seen(message)

    actor = Actor("a", event, handle, max_jobs=1, max_attempts=1)
    async with running(url, actor) as on:
        await emit_early(on, 1, 2, lead=0.4)
        await on.emit(0)
        await until(lambda: on.actors.statistics().actors[0].handed_back == 2)
        free.set()
        await on.until_done(actor)
    assert sorted(seen.times) == [0, 1, 2]
    assert seen.attempts == [1, 1, 1]


async def test_an_event_does_not_wait_for_a_job_while_another_process_has_a_slot(
    url: str, event: Event[int]
) -> None:
    """One was asked for while another, which takes no slot until it is due, was held."""
    free, seen = anyio.Event(), Seen()

    async def handle(message: int) -> None:
        await seen(message)
        if message == 0:
            await free.wait()

    actor = Actor("a", event, handle, max_jobs=1, max_attempts=1)
    async with stage(url, actor) as on, stage(url, actor) as other, listening(on.actors):
        await emit_early(on, 0, lead=0.3)
        await until(lambda: 0 in seen.times)
        async with listening(other.actors):
            await on.emit(1, 2, 3)
            await until(lambda: len(seen.times) == 4)
            assert other.actors.statistics().actors[0].handled == 3
            free.set()
            await on.until_done(actor)
    assert seen.attempts == [1] * 4


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize(("limit", "size"), [("MOST", 0), ("MOST_BYTES", 1)])
async def test_the_server_holds_what_is_too_many(
    url: str, event: Event[int], monkeypatch: pytest.MonkeyPatch, limit: str, size: int
) -> None:
    """One that is cancelled makes room for another."""
    monkeypatch.setattr(_early, "_size", lambda _: size)
    monkeypatch.setattr(_early, limit, 2)
    actor = Actor("a", event, Seen())
    async with running(url, actor) as on:
        await emit_early(on, *range(5))
        await until(lambda: on.actors.statistics().actors[0].parked == 3)
        await until_held(on, actor, 5)
        assert await on.events.cancel("number-0") is CancelResult.WAITING
        await emit_early(on, 5)
        await until_held(on, actor, 5)
        assert on.actors.statistics().actors[0].parked == 3


@pytest.mark.usefixtures("long")
async def test_the_server_holds_what_would_come_again_meanwhile(
    url: str, event: Event[int]
) -> None:
    actor = Actor("a", event, Seen(), pulse=False, ack_wait=60)
    async with running(url, actor) as on:
        await emit_early(on, 1)
        await until(lambda: on.actors.statistics().actors[0].parked == 1)
        await emit_early(on, 2, lead=5)
        await until_held(on, actor, 2)
        assert on.actors.statistics().actors[0].parked == 1


@pytest.mark.usefixtures("long")
async def test_one_that_is_due_sooner_does_not_wait_for_the_others(
    url: str, event: Event[int]
) -> None:
    seen = Seen()
    actor = Actor("a", event, seen)
    async with running(url, actor) as on:
        await emit_early(on, 1)
        await until_held(on, actor, 1)
        due = await emit_early(on, 2, lead=0.1)
        await until(lambda: list(seen.times) == [2])
    assert seen.times[2] >= due


@pytest.mark.usefixtures("long")
async def test_a_burst_leaves_it(url: str, event: Event[int]) -> None:
    seen = Seen()
    async with stage(url, Actor("a", event, seen)) as on:
        await emit_early(on, 1)
        await on.emit(2)
        summary = await on.actors.listen(burst=True, poll_delay=0)
    assert (summary.handled, list(seen.times)) == (1, [2])


async def test_what_this_process_is_done_with_does_not_run_twice() -> None:
    """As after a kill of the server: a new event, with the same schedule.

    Newer servers refuse this header, so nobody can make it up there.
    """
    event = Event("numbers", int)
    ran: list[int] = []

    async def handle(message: int) -> None:
        ran.append(message)
        if message == 1 and ran.count(1) == 1:
            raise Retry(delay=0.01)
        if message == 2:
            raise Reject("no")

    actor = Actor("a", event, handle)
    async with NatsServer(binary=server_binary("2.11.11")) as old, running(old.url, actor) as on:
        for number in (0, 1, 2):
            schedule = f"walnats.schedules.delay.{event.stream_name}.{number}"
            block = f"NATS/1.0\r\nWalnats-Due: 1.0\r\nNats-Scheduler: {schedule}\r\n\r\n".encode()
            for _ in range(2):
                await on.link.request(event.subject_name, b"%d" % number, headers=block)
                await on.until_done(actor)
        done = on.actors.statistics().actors[0]
    assert ran == [0, 1, 1, 2]
    assert (done.handled, done.failed, done.dead_lettered) == (2, 1, 1)


async def test_a_header_that_somebody_made_up(url: str, event: Event[int]) -> None:
    """Nothing is held for longer than a moment, and nothing is lost."""
    seen = Seen()
    values = ["", "nan", "-1", "1e400", "soon", "9" * 12, str(time.time() + HOUR)]
    async with running(url, Actor("a", event, seen)) as on:
        for number, value in enumerate(values):
            block = f"NATS/1.0\r\nWalnats-Due: {value}\r\n\r\n".encode()
            await on.link.request(event.subject_name, b"%d" % number, headers=block)
        await until(lambda: len(seen.times) == len(values))


SECONDS = st.floats(0, 0.4)


@given(
    ours=st.floats(-1e6, 1e6),
    skew=st.floats(-FRESH / 2, FRESH / 2),
    events=st.lists(st.tuples(SECONDS, SECONDS, SECONDS), min_size=1, max_size=30),
)
def test_never_before_it_is_due_on_the_servers_clock(
    ours: float, skew: float, events: list[tuple[float, float, float]]
) -> None:
    """Whatever our clocks say, and however long deliveries take.

    Args:
        ours: what our clock that nobody sets says when the server's says `begin`.
        skew: seconds that our other clock is ahead of the server's.
        events: for each the seconds since the last one, what its way takes, and its lead.
    """
    leads, stored = LeadTimes(), 1_800_000_000.0
    fastest = 1.0
    for gap, way, lead in events:
        stored += gap
        came, due = stored + way, stored + lead
        now = ours + came - 1_800_000_000.0
        left = leads.seconds_left(f"{due:.6f}", stored, now, came + skew)
        assert came + left >= due - 1e-5
        if lead > 1e-5:
            fastest = min(fastest, way)
        # And not later than what came fastest shows.
        assert came + left <= max(came, due + fastest) + 1e-5


def test_what_has_waited_for_its_actor_is_not_held() -> None:
    leads = LeadTimes()
    assert leads.seconds_left("1000.3", 1000.0, 5.0, 1000.0 + FRESH + 1) == 0
    assert leads.seconds_left("2000.3", 2000.0, 1005.0, 2000.0) == pytest.approx(0.3)
