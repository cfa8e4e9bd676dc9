"""What becomes of an event whose job failed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from tests.actors._stage import running
from tests.support.recorders import Handled, Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, Reject, Retry

pytestmark = pytest.mark.anyio


class Fails:
    """A handler that fails so many times, then returns."""

    def __init__(self, times: int, error: Callable[[], Exception] = ValueError) -> None:
        self.left = times
        self._error = error

    async def __call__(self, message: Any) -> None:
        if self.left:
            self.left -= 1
            raise self._error()


async def test_delays_one_after_another_and_the_last_again(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    actor = Actor("a", event, Fails(5), retry_delay=(0.3, 0, 0.6), middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert recorder.attempts == [1, 2, 3, 4, 5, 6]
    for pause, least in zip(recorder.pauses, [0.3, 0, 0.6, 0.6, 0.6], strict=True):
        assert pause >= least - 0.01


async def test_a_function_of_the_attempt_that_failed(url: str, event: Event[int]) -> None:
    asked: list[int] = []

    def delay(attempt: int) -> float:
        asked.append(attempt)
        return 0.01

    actor = Actor("a", event, Fails(3), retry_delay=delay)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert asked == [1, 2, 3]


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), None, "soon"])
async def test_a_function_that_gives_no_delay(
    url: str, event: Event[int], given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    actor = Actor("a", event, Fails(1), retry_delay=lambda _: given)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert "retry_delay failed for attempt 1" in caplog.text


async def test_a_function_that_raises(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    def delay(attempt: int) -> float:
        raise KeyError(attempt)

    recorder = Recorder()
    actor = Actor("a", event, Fails(1), retry_delay=delay, middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert "retry_delay failed for attempt 1" in caplog.text
    # Not at once, or a mistake of this kind would keep the process busy.
    assert min(recorder.pauses) >= 0.99


async def test_without_delays_it_comes_again_at_once(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    actor = Actor("a", event, Fails(2), retry_delay=(), middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert max(recorder.pauses) < 0.9


async def test_retry_with_a_delay(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    handler = Fails(2, lambda: Retry(delay=0.3))
    actor = Actor("a", event, handler, retry_delay=(3600,), middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert recorder.attempts == [1, 2, 3]
    assert min(recorder.pauses) >= 0.29


async def test_retry_without_a_delay(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    actor = Actor("a", event, Fails(2, Retry), retry_delay=(0.3,), middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert min(recorder.pauses) >= 0.29


async def test_delays_longer_than_the_wire_can_say(url: str, event: Event[int]) -> None:
    """The job fails, and `listen` goes on."""

    async def handle(message: int) -> None:
        if message == 1:
            raise Retry(delay=1e300)
        await handled(message)

    handled = Handled()
    actor = Actor("a", event, handle, retry_delay=(4,))
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await handled.come(1)
        await on.until_left(actor, 1)


@pytest.mark.parametrize("reason", ["no such user", "", "line\r\nand \ud800", "long " * 400_000])
async def test_a_rejected_event_never_comes_again(url: str, event: Event[int], reason: str) -> None:
    recorder = Recorder()
    actor = Actor(
        "a", event, Fails(1, lambda: Reject(reason)), retry_delay=(), middlewares=(recorder,)
    )
    async with running(url, actor) as on:
        advisories = await on.overhear(
            f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{event.stream_name}.a"
        )
        await on.emit(1, 2)
        await on.until_done(actor)
        await until(lambda: len(advisories) == 1)
    assert sorted(recorder.attempts) == [1, 1]
    assert [type(error) for error in recorder.errors] == [Reject]
    assert reason[:4] in json.loads(advisories[0]).get("reason", "")


async def test_max_attempts(url: str, event: Event[int]) -> None:
    recorder = Recorder()
    actor = Actor("a", event, Fails(100), max_attempts=3, retry_delay=(), middlewares=(recorder,))
    last = Handled()
    other = Actor("b", event, last)
    async with running(url, actor, other) as on:
        await on.emit(1)
        await until(lambda: len(recorder.errors) == 3)
        await on.until_done(other)
        with anyio.move_on_after(0.5):
            await until(lambda: len(recorder.attempts) > 3)
        await on.until_done(actor)
    assert recorder.attempts == recorder.failed_attempts == [1, 2, 3]


@pytest.mark.parametrize("payload", [b"", b"{", b'"text"', b"\xff\xfe", b"1.5"])
async def test_what_cannot_be_decoded_is_given_up_at_once(
    url: str, event: Event[int], payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, handled = Recorder(), Handled()
    actor = Actor("a", event, handled, retry_delay=(), middlewares=(recorder,))
    async with running(url, actor) as on:
        await on.emit_raw(payload)
        await until(lambda: len(recorder.errors) == 1)
        await on.emit(5)
        await handled.come(1)
        await on.until_done(actor)
    assert handled.messages == [5]
    assert recorder.failed_attempts == [1]
    assert all(isinstance(error, ValueError) for error in recorder.errors)
    assert "undecodable" in caplog.text


async def test_what_failed_is_logged(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "walnats_anyio.actors")

    async def handle(message: int) -> None:
        raise [ValueError("wrong"), Retry(delay=3600), Reject("never")][message]

    actor = Actor("a", event, handle, retry_delay=(3600,), max_jobs=1)
    async with running(url, actor) as on:
        await on.emit(0, 1, 2)
        await until(lambda: len(caplog.records) >= 3)
    where = f"actor 'a': event {event.name!r}, sequence"
    said = {record.getMessage(): record for record in caplog.records[:3]}
    assert {text: record.levelno for text, record in said.items()} == {
        f"{where} 1: attempt 1 raised ValueError: wrong; again in 3600 s": logging.ERROR,
        f"{where} 2: attempt 1 raised Retry; again in 3600 s": logging.INFO,
        f"{where} 3: attempt 1 raised Reject: never; given up (rejected): a dead letter": (
            logging.INFO
        ),
    }
    traces = [record.exc_info for record in said.values()]
    assert [trace is not None for trace in traces] == [True, False, False]
    assert traces[0] is not None
    assert isinstance(traces[0][1], ValueError)


async def test_the_last_retry_does_not_promise_another(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    actor = Actor("a", event, Fails(2, lambda: Retry(delay=0)), max_attempts=2)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    (last,) = caplog.records
    assert last.levelno == logging.ERROR
    assert last.getMessage().endswith(
        "attempt 2 of 2 raised Retry; given up (exhausted): a dead letter"
    )


# what is not heard of in time comes again


async def test_a_pulse_keeps_a_long_job(url: str, event: Event[int]) -> None:
    started: list[int] = []

    async def handle(message: int) -> None:
        started.append(message)
        await anyio.sleep(3)

    actor = Actor("a", event, handle, ack_wait=2)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert started == [1]


async def test_a_pulse_keeps_what_waits_for_a_slot(url: str, event: Event[int]) -> None:
    """Two actors share one slot: the second one's event waits, and is nobody else's."""
    recorder = Recorder()

    async def handle(message: int) -> None:
        if recorder.attempts == [1]:
            await anyio.sleep(3)

    actors = [
        Actor(name, event, handle, ack_wait=2, middlewares=(recorder,)) for name in ("a", "b")
    ]
    async with running(url, *actors, max_jobs=1) as on:
        await on.emit(1)
        await on.until_done(*actors)
    assert recorder.attempts == [1, 1]


async def test_without_a_pulse_others_get_a_job_that_hangs(url: str, event: Event[int]) -> None:
    recorder = Recorder()

    async def handle(message: int) -> None:
        if len(recorder.attempts) == 1:
            await anyio.sleep_forever()

    actor = Actor("a", event, handle, ack_wait=0.5, pulse=False, middlewares=(recorder,))
    async with running(url, actor, shutdown_timeout=0) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert recorder.attempts == [1, 2]
