"""What waits for the workers of an actor with batches. Pure."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio import Actor, Batch, Event
from walnats_anyio._actors.run._batch_queue import BatchQueue
from walnats_anyio._actors.settle import Deliveries, Delivery, DeliveryBatch
from walnats_anyio._link import Message

ACTOR = Actor("a", Event("numbers", int), print, batch=Batch(3, 1))


class Held:
    """As much of `Deliveries` as a context asks for."""

    actor = ACTOR


def delivery(number: int, *, redelivered: bool = False, tick: int = 0) -> Delivery:
    held = cast("Deliveries", Held())
    return Delivery(held, Message(b"1", b"numbers", b"", b"%d" % number), tick, redelivered)


def numbers_of(taken: Delivery) -> list[int]:
    members = taken.members if isinstance(taken, DeliveryBatch) else [taken]
    return [int(member.message.data) for member in members]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


actions = st.one_of(
    st.just("put"), st.just("put again"), st.just("take"), st.floats(0.1, 2), st.just("alone")
)


@given(st.lists(actions, max_size=60), st.integers(1, 4), st.sampled_from([0.0, 1.0]))
def test_nothing_is_lost_nor_waits_too_long(steps: list[Any], size: int, wait: float) -> None:
    clock, came, taken = Clock(), dict[int, float](), list[int]()
    queue = BatchQueue(size, wait, clock, lambda: None)
    alone = set[int]()
    for number, step in enumerate(steps):
        if isinstance(step, float):
            clock.now += step
        elif step == "take":
            together = [each for each in came if each not in alone and each not in taken]
            if queue:
                some = numbers_of(queue.popleft())
                assert len(some) <= size
                assert len(some) == 1 or not alone & set(some)
                if not alone & set(some) and len(some) < min(size, len(together)):
                    raise AssertionError("a batch is smaller than it could be")
                taken += some
        else:
            came[number] = clock.now
            queue_alone = step != "put"
            one = delivery(number, redelivered=step == "put again")
            if queue_alone:
                alone.add(number)
            (queue.alone if step == "alone" else queue).append(one)
        left = [each for each in came if each not in taken]
        assert len(queue) == len(left)
        fresh = [each for each in left if each not in alone]
        due = bool(fresh) and clock.now >= came[fresh[0]] + wait
        assert bool(queue) == (bool(alone & set(left)) or len(fresh) >= size or due)
    rest = [each for waiting in queue.drain() for each in numbers_of(waiting)]
    assert sorted([*taken, *rest]) == list(came)
    assert not queue
    assert not len(queue)


def test_what_is_last_waits_for_nothing() -> None:
    queue = BatchQueue(3, 60, Clock(), lambda: None)
    queue.append(delivery(1))
    assert not queue
    queue.is_last = True
    assert queue
    assert numbers_of(queue.popleft()) == [1]
    assert not queue


def test_whoever_keeps_the_time_hears_of_another_oldest() -> None:
    clock, heard = Clock(), list[float | None]()
    queue: BatchQueue = BatchQueue(2, 10, clock, lambda: heard.append(queue.due))
    for number in range(3):
        clock.now = float(number)
        queue.append(delivery(number))
    assert (heard, queue.due) == ([10], 10)
    queue.popleft()
    assert (heard, queue.due) == ([10, 12], 12)
    queue.popleft()
    assert queue.due is None


def test_those_that_came_long_ago_are_taken_out() -> None:
    queue = BatchQueue(9, 10, Clock(), lambda: None)
    for tick in range(4):
        queue.append(delivery(tick, tick=tick))
    assert [numbers_of(each) for each in queue.drain(1)] == [[0], [1]]
    assert len(queue) == 2


def test_those_that_came_long_ago_and_stand_behind_others() -> None:
    queue = BatchQueue(10, 60, Clock(), lambda: None)
    for number, tick in enumerate([5, 1, 5, 2]):
        queue.append(delivery(number, tick=tick))
    queue.alone.extend([delivery(4, tick=5), delivery(5, tick=2)])
    assert [numbers_of(each) for each in queue.drain(2)] == [[5], [1], [3]]
    assert (len(queue), queue.due) == (3, 60)
