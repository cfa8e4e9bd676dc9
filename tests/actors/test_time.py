"""Handlers that take longer than they should: the event, the slot and the pulse."""

from __future__ import annotations

import time

import anyio
import pytest

from tests.actors._stage import listening, running, stage, until_ticked
from tests.support.mock_clocks import run_with_mock_clock
from tests.support.recorders import Gate, Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import Actor, Actors, Event, ExecuteIn
from walnats_anyio.testing import MemoryServer

pytestmark = pytest.mark.anyio


async def test_a_handler_that_blocks_the_event_loop(url: str, event: Event[int]) -> None:
    """No pulse goes out meanwhile, so what the process holds comes again; all of it is handled."""
    blocked = Handled()

    def handle(message: int) -> None:
        blocked.messages.append(message)
        if len(blocked.messages) == 1:
            time.sleep(1.0)  # twice the ack_wait

    actor = Actor("a", event, handle, ack_wait=0.5, max_jobs=4)
    async with running(url, actor, max_jobs=4) as on:
        await on.emit(*range(20))
        await on.until_done(actor)
        await on.emit(20)
        await until(lambda: 20 in blocked.messages)
        await on.until_done(actor)
    assert set(blocked.messages) == set(range(21))
    # What was held while nothing moved, at most: four jobs of this process.
    assert len(blocked.messages) <= 21 + 4


async def test_without_pulse_another_process_gets_past_what_hangs(
    url: str, event: Event[int]
) -> None:
    """What one process does not finish goes to another, after `ack_wait`."""
    gate, handled = Gate(), Handled()
    stuck = Actor("a", event, gate, ack_wait=0.5, pulse=False, max_jobs=2)
    free = Actor("a", event, handled, ack_wait=0.5, pulse=False)
    async with stage(url, stuck) as on, listening(on.actors):
        await on.emit(1, 2)
        await gate.come(2)
        async with Actors(free).connect(url) as conn, listening(conn):
            await handled.come(2)
            await on.until_done(stuck)
        gate.open()
    assert sorted(handled.messages) == [1, 2]


async def test_a_job_of_many_ack_waits_is_run_once(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, ack_wait=0.4)
    async with running(url, actor) as on:
        await on.emit(1)
        await gate.come(1)
        # A round is a quarter of `ack_wait` here.
        await until_ticked(on.actors, 12)
        assert (await on.consumer(actor)).taken == 1
        gate.open()
        await on.until_done(actor)
    assert gate.started == [1]


async def test_without_pulse_nothing_is_held_unstarted(url: str, event: Event[int]) -> None:
    """It waits for a slot that another actor has, and is given back while it is still ours."""
    hogged = Event(f"{event.name}-hogged", int, storage="memory")
    gate, here, there = Gate(), Handled(), Handled()
    hog = Actor("hog", hogged, gate)
    waits = Actor("waits", event, here, pulse=False, ack_wait=2)
    elsewhere = Actor("waits", event, there, pulse=False, ack_wait=2)
    async with stage(url, hog, waits) as on:

        async def both_ask() -> bool:
            consumers = [await on.consumer(hog), await on.consumer(waits)]
            return [consumer.requested for consumer in consumers] == [1, 1]

        async with listening(on.actors, max_jobs=1):
            await until(both_ask)
            delivered = await on.overhear("$JS.ACK.>")
            await on.emit(1, event=hogged)
            await gate.come(1)
            # It has asked already, so it gets what it cannot run.
            await on.emit(2, event=event)
            async with Actors(elsewhere).connect(url) as conn, listening(conn):
                await there.come(1)
                await on.until_done(waits)
            gate.open()
            await on.until_done(hog)
        assert (here.messages, there.messages) == ([], [2])
    assert delivered.count(b"-NAK") <= 3


def test_without_pulse_half_of_ack_wait_is_left_for_others(anyio_backend: str) -> None:
    """Or the server would give it to them by itself, which counts as an attempt."""
    hogged, event = Event("hogged", int), Event("numbers", int)

    async def main() -> float:
        gate = Gate()
        hog = Actor("hog", hogged, gate, job_timeout=600)
        waits = Actor("waits", event, Handled(), pulse=False, ack_wait=8)
        async with MemoryServer() as server, running(server.url, hog, waits, max_jobs=1) as on:
            await until(
                lambda: [each.requested for each in on.actors.statistics().actors] == [1, 1]
            )
            await on.emit(1, event=hogged)
            await gate.come(1)
            began = anyio.current_time()
            await on.emit(2, event=event)
            await until(lambda: on.actors.statistics().actors[1].handed_back > 0)
            waited = anyio.current_time() - began
            gate.open()
            await on.until_done(hog, waits)
        return waited

    assert 2 <= run_with_mock_clock(anyio_backend, main) <= 4.1


async def test_a_plain_function_past_its_timeout_is_no_failure(url: str, event: Event[int]) -> None:
    """Nothing can interrupt it, and when it returns the event is handled."""
    runs: list[int] = []

    def handle(message: int) -> None:
        runs.append(message)
        time.sleep(0.2)

    actor = Actor("a", event, handle, job_timeout=0.05)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert runs == [1]


async def test_stopping_does_not_wait_for_a_frozen_thread(url: str, event: Event[int]) -> None:
    """Its event is handed back at once, though the thread cannot be ended."""
    frozen = Gate()
    begun: list[int] = []
    release = [False]

    def freeze(message: int) -> None:
        begun.append(message)
        while not release[0]:
            time.sleep(0.01)

    actor = Actor("a", event, freeze, execute_in=ExecuteIn.THREAD, ack_wait=DEADLINE)
    other = Actor("a", event, frozen, ack_wait=DEADLINE)
    async with stage(url, actor) as on:
        await on.emit(1)
        try:
            async with listening(on.actors, shutdown_timeout=0):
                await until(lambda: begun == [1])
            async with Actors(other).connect(url) as conn, listening(conn):
                await frozen.come(1)
                frozen.open()
        finally:
            release[0] = True
        await on.until_done(actor)
