"""The intake against a model of the server, in every order of what can come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from walnats_anyio._actors.pull._intake import Intake, Meaning, meaning_of

STATUSES = [
    ("100", "Idle Heartbeat", Meaning.ALIVE),
    ("404", "No Messages", Meaning.EMPTY),
    ("408", "Request Timeout", Meaning.EXPIRED),
    ("408", "Interest Expired", Meaning.EXPIRED),
    ("409", "Consumer Deleted", Meaning.DELETED),
    ("409", "Consumer is push based", Meaning.REFUSED),
    ("409", "Exceeded MaxRequestBatch of 10", Meaning.REFUSED),
    ("409", "Exceeded MaxRequestExpires of 10s", Meaning.REFUSED),
    ("409", "Exceeded MaxRequestMaxBytes of 10", Meaning.REFUSED),
    ("409", "Exceeded MaxWaiting", Meaning.LATER),
    ("409", "Leadership Change", Meaning.AGAIN),
    ("409", "Server Shutdown", Meaning.AGAIN),
    ("409", "Message Size Exceeds MaxBytes", Meaning.TOO_LARGE),
    ("409", "Batch Completed", Meaning.COMPLETED),
    ("400", "Bad Request - Priority Group missing", Meaning.REFUSED),
    ("400", "Bad Request", Meaning.REFUSED),
    ("408", "Requests Pending", Meaning.EXPIRED),
    ("412", "Required Api Level", Meaning.REFUSED),
    ("423", "Nats-Pin-Id mismatch", Meaning.REFUSED),
    ("423", "Nats-Wrong-Pin-Id", Meaning.REFUSED),
    ("503", "", Meaning.LATER),
    ("", "", Meaning.NOTHING),
    ("409", "Something A Later Server Says", Meaning.UNKNOWN),
    ("500", "Internal Error", Meaning.UNKNOWN),
    ("499", "", Meaning.UNKNOWN),
]


@pytest.mark.parametrize(("code", "description", "meaning"), STATUSES)
def test_what_a_status_means(code: str, description: str, meaning: Meaning) -> None:
    assert meaning_of(code, description) is meaning
    assert meaning_of(code, description.upper()) is meaning


def test_the_first_request_asks_for_all_slots() -> None:
    assert Intake(16).room() == 16


def test_with_a_batch_requests_are_small_and_many() -> None:
    intake = Intake(16, batch=4)
    asked: list[int] = []
    while room := intake.room():
        intake.ask(room)
        asked.append(room)
    assert asked == [4, 4, 4, 4]


def test_the_number_of_requests_is_bounded() -> None:
    intake = Intake(1000, batch=1, max_requests=64)
    requests = 0
    while room := intake.room():
        intake.ask(room)
        requests += 1
    assert requests == 64


def test_others_leave_less_room() -> None:
    assert Intake(16).room(3) == 3
    assert Intake(16).room(0) == 0
    assert Intake(16).room(-5) == 0
    assert Intake(16).room(100) == 16
    intake = Intake(16)
    intake.ask(2)
    assert intake.room(5) == 3
    assert intake.room(2) == 0


def test_slots_are_asked_for_several_at_once() -> None:
    """Not one by one, as long as something is asked for."""
    intake = Intake(1000)
    intake.ask(1000)
    for _ in range(500):
        intake.take()
    requests: list[int] = []
    for _ in range(500):
        intake.let_go()
        if room := intake.room():
            intake.ask(room)
            requests.append(room)
    assert len(requests) <= 50
    assert intake.asked + sum(requests) >= 900


def test_the_hot_path_asks_for_nothing_while_too_little_is_free() -> None:
    intake = Intake(1000)
    intake.ask(1000)
    for _ in range(100):
        assert intake.take()
    calls = 0
    for _ in range(100):
        intake.let_go()
        if intake.done >= intake.ask_from:
            calls += 1
            intake.ask(intake.room())
    assert calls == 3


def test_a_burst_asks_when_nothing_is_asked_for() -> None:
    intake = Intake(16, one_at_a_time=True)
    intake.ask(intake.room())
    for _ in range(15):
        assert intake.take()
        intake.let_go()
        assert intake.room() == 0
        assert intake.done < intake.ask_from
    assert intake.take()
    intake.let_go()
    assert intake.room() == 16


@pytest.mark.parametrize("count", [0, -1, 5])
def test_asking_for_more_than_there_are_slots_is_refused(count: int) -> None:
    intake = Intake(4)
    with pytest.raises(ValueError, match=f"cannot ask for {count}: 0 asked, 0 held, 4 slots"):
        intake.ask(count)


def test_what_is_held_leaves_fewer_slots() -> None:
    intake = Intake(4)
    intake.ask(4)
    assert [intake.take() for _ in range(3)] == [True] * 3
    with pytest.raises(ValueError, match="cannot ask for 1: 1 asked, 3 held, 4 slots"):
        intake.ask(1)


@pytest.mark.parametrize("meaning", [Meaning.LATER, Meaning.UNKNOWN])
def test_a_server_that_wants_no_requests_gets_none_for_a_while(meaning: Meaning) -> None:
    intake = Intake(4)
    intake.ask(4)
    intake.status(meaning, None)
    assert (intake.asked, intake.room()) == (0, 0)
    intake.resume()
    assert intake.room() == 4


def test_large_events_are_asked_for_a_few_at_a_time() -> None:
    intake = Intake(100)
    intake.ask(100)
    for _ in range(30):
        intake.take()
    intake.status(Meaning.TOO_LARGE, 70)
    intake.limit(20)
    # One request, whose own limit of bytes holds for all of it.
    assert intake.room() == 40
    intake.ask(40)
    for _ in range(15):
        intake.take()
    assert intake.room() == 0
    for _ in range(15):
        intake.take()
    assert intake.asked == 10
    for _ in range(50):
        intake.let_go()
    assert intake.room() == 10


def test_events_that_are_smaller_than_they_could_be_are_asked_for_as_before() -> None:
    intake = Intake(100)
    intake.limit(10)
    asked: list[int] = []
    for _ in range(8):
        asked.append(intake.room())
        intake.ask(asked[-1])
        for _ in range(asked[-1]):
            intake.take()
            intake.let_go()
    assert asked == [20, 20, 40, 40, 80, 80, 100, 100]
    assert intake.together is None


@pytest.mark.parametrize("meaning", [Meaning.EXPIRED, Meaning.AGAIN, None])
def test_a_request_that_ends_early_proves_nothing(meaning: Meaning | None) -> None:
    intake = Intake(100)
    intake.limit(10)
    intake.ask(intake.room())
    if meaning is None:
        intake.lost()
    else:
        intake.status(meaning, 20)
    intake.ask(intake.room())
    assert intake.together == 10


def test_one_slot_is_asked_for_as_well() -> None:
    assert Intake(1).room() == 1


def test_letting_go_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no event is held"):
        Intake(4).let_go()


def test_what_comes_in_excess_is_refused() -> None:
    intake = Intake(2)
    intake.ask(2)
    intake.lost()
    intake.ask(2)
    # Both requests are answered after all.
    assert [intake.take() for _ in range(4)] == [True, True, False, False]
    assert (intake.asked, intake.held) == (0, 2)


def test_what_comes_after_the_stop_is_refused() -> None:
    intake = Intake(2)
    intake.ask(2)
    intake.stop()
    assert not intake.take()
    assert intake.room() == 0
    assert intake.held == 0


@dataclass
class Request:
    """A request as the server sees it."""

    open: int


ENDS_ONE = [Meaning.EXPIRED, Meaning.EMPTY, Meaning.TOO_LARGE]
ENDS_NONE = [Meaning.ALIVE, Meaning.COMPLETED, Meaning.NOTHING]
ENDS_ALL = [each for each in Meaning if each not in (*ENDS_ONE, *ENDS_NONE)]


class IntakeAndServer(RuleBasedStateMachine):
    """An intake, what it was sent, and a server that may do anything to it.

    The server answers what it was asked for; but a connection may be lost with answers under way,
    and requests that were taken as lost may be answered after all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.requests: deque[Request] = deque()
        self.orphans: deque[Request] = deque()

    @initialize(
        slots=st.integers(1, 40),
        batch=st.none() | st.integers(1, 50),
        max_requests=st.integers(1, 5),
        one_at_a_time=st.booleans(),
    )
    def begin(self, slots: int, batch: int | None, max_requests: int, one_at_a_time: bool) -> None:
        self.intake = Intake(slots, batch, max_requests=max_requests, one_at_a_time=one_at_a_time)

    # what the listener does

    @rule(most=st.none() | st.integers(-3, 50))
    def ask(self, most: int | None) -> None:
        intake = self.intake
        room = intake.room(most)
        assert room <= intake.slots - intake.asked - intake.held
        if room:
            assert intake.connected
            assert not intake.paused
            assert not intake.stopped
            assert intake.batch is None or room <= intake.batch
            assert most is None or intake.asked + room <= most
            assert not (intake.one_at_a_time and intake.asked)
            if intake.together is not None:
                most_together = intake.together if intake.asked else 2 * intake.together
                assert intake.asked + room <= most_together
            intake.ask(room)
            self.requests.append(Request(room))

    @precondition(lambda self: self.held)
    @rule()
    def finish_a_job(self) -> None:
        self.intake.let_go()
        self.held -= 1

    @rule(more=st.integers(0, 10))
    def have_more_slots(self, more: int) -> None:
        self.intake.resize(self.intake.slots + more)

    @rule(refusing=st.booleans())
    def hold_up(self, refusing: bool) -> None:
        self.intake.refuse(refusing)

    @rule(batch=st.none() | st.integers(1, 50))
    def find_other_terms(self, batch: int | None) -> None:
        self.intake.set_batch(batch)

    @rule(together=st.integers(1, 30))
    def limit(self, together: int) -> None:
        self.intake.limit(together)

    @rule()
    def the_while_is_over(self) -> None:
        self.intake.resume()

    @rule()
    def nothing_is_heard(self) -> None:
        self.intake.lost()
        self._orphan_all()

    # what the server does

    @precondition(lambda self: self.requests)
    @rule()
    def deliver(self) -> None:
        self._answer(self.requests)

    @precondition(lambda self: self.orphans)
    @rule()
    def deliver_what_was_taken_as_lost(self) -> None:
        self._answer(self.orphans)

    @precondition(lambda self: self.requests)
    @rule(told=st.booleans(), meaning=st.sampled_from(ENDS_ONE))
    def end_a_request(self, told: bool, meaning: Meaning) -> None:
        request = self.requests.popleft()
        self.intake.status(meaning, request.open if told else None)
        if not told:
            self._orphan_all()

    @precondition(lambda self: self.orphans)
    @rule(told=st.booleans())
    def end_a_request_that_was_taken_as_lost(self, told: bool) -> None:
        request = self.orphans.popleft()
        self.intake.status(Meaning.EXPIRED, request.open if told else None)

    @rule(meaning=st.sampled_from(ENDS_NONE))
    def beat(self, meaning: Meaning) -> None:
        asked = self.intake.asked
        self.intake.status(meaning, None)
        assert self.intake.asked == asked

    @rule(meaning=st.sampled_from(ENDS_ALL), pending=st.integers(0, 5))
    def end_all_requests(self, meaning: Meaning, pending: int) -> None:
        self.requests.clear()
        self.intake.status(meaning, pending)
        assert self.intake.asked == 0
        assert self.intake.paused or meaning not in (Meaning.LATER, Meaning.UNKNOWN)

    @rule()
    def lose_the_connection(self) -> None:
        self.intake.connected = False
        self.intake.lost()
        self._orphan_all()

    @rule()
    def connect_again(self) -> None:
        self.intake.connected = True

    # the end; what came is still let go of

    @precondition(lambda self: self.held > 5)
    @rule()
    def stop(self) -> None:
        self.intake.stop()

    # what always holds

    @invariant()
    def no_more_than_the_slots(self) -> None:
        intake = self.intake
        assert intake.asked >= 0
        assert intake.held == self.held
        assert intake.asked + intake.held <= intake.slots

    @invariant()
    def nothing_is_to_be_asked_for_earlier(self) -> None:
        """What the hot path compares with never keeps it from asking."""
        intake = self.intake
        assert intake.done >= intake.ask_from or intake.room() == 0
        assert not intake.stopped or intake.done >= intake.ask_from

    @invariant()
    def what_is_refused_is_looked_at(self) -> None:
        intake = self.intake
        if intake.stopped or intake.refusing or not intake.asked:
            assert intake.taken >= intake.take_until
        else:
            assert intake.take_until == intake.due

    @invariant()
    def a_free_slot_has_a_request(self) -> None:
        intake = self.intake
        if intake.held == intake.slots or intake.stopped or intake.paused or not intake.connected:
            return
        assert intake.asked or intake.room()

    @invariant()
    def asking_comes_to_an_end(self) -> None:
        intake = self.intake
        copy = replace(intake)
        for _ in range(intake.slots + 1):
            if not (room := copy.room()):
                return
            copy.ask(room)
        pytest.fail("it goes on asking")

    def _answer(self, requests: deque[Request]) -> None:
        request = requests[0]
        request.open -= 1
        if not request.open:
            requests.popleft()
        intake = self.intake
        # As the pull consumer does it, and as it would without its hot path.
        if intake.taken < intake.take_until:
            copy = replace(intake)
            assert copy.take()
            intake.taken += 1
            assert replace(copy, ask_from=0) == replace(intake, ask_from=0)
            if not intake.asked:
                intake.update()
            self.held += 1
        elif intake.take():
            self.held += 1

    def _orphan_all(self) -> None:
        self.orphans.extend(self.requests)
        self.requests.clear()


TestIntakeAndServer = IntakeAndServer.TestCase
TestIntakeAndServer.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
