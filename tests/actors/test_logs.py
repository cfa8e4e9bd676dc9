"""What the log says, for a person who is on call."""

from __future__ import annotations

import logging
import time
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.actors._stage import listening, stage
from tests.support.recorders import Handled
from tests.support.waiting import until
from walnats_anyio import Actor, Event, Reject, Retry
from walnats_anyio._actors.run import _job
from walnats_anyio._link import api

pytestmark = pytest.mark.anyio

LOGGER = "walnats_anyio.actors"


def said(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    return [each for each in caplog.records if words in each.getMessage()]


@pytest.mark.parametrize("kind", ["plain", "suspends before", "suspends and blocks"])
async def test_a_handler_that_returns_after_its_time(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """It counts as handled, and the log says that it took longer than it may."""

    def plain(_: int) -> None:
        time.sleep(0.4)

    async def suspending(_: int) -> None:
        await checkpoint()
        time.sleep(0.4)  # noqa: ASYNC251 - it is meant to block
        if kind == "suspends and blocks":
            time.sleep(0.1)  # noqa: ASYNC251 - it is meant to block

    handler: Any = plain if kind == "plain" else suspending
    actor = Actor("late", event, handler, job_timeout=0.2, max_attempts=1)
    async with stage(url, actor) as staged:
        await staged.emit(1)
        summary = await staged.actors.listen(burst=True)
    assert (summary.handled, summary.dead_lettered) == (1, 0)
    (record,) = said(caplog, "longer than job_timeout=0.2 s")
    assert record.levelno == logging.WARNING
    assert "counts as handled" in record.getMessage()
    fields = record.__dict__
    assert (fields["actor"], fields["event"], fields["sequence"]) == ("late", event.name, 1)
    assert 0.3 < fields["duration"] < 10.0


async def test_a_handler_in_time_is_not_said(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_: int) -> None:
        await anyio.sleep(0.01)

    actor = Actor("in-time", event, handler, job_timeout=5.0)
    async with stage(url, actor) as staged:
        await staged.emit(*range(20))
        await staged.actors.listen(burst=True)
    assert not said(caplog, "longer than")


async def test_a_blocked_loop_is_said_once(
    url: str,
    event: Event[int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_job, "BLOCKING", 0.2)

    def handler(message: int) -> None:
        time.sleep(0.25 * message)

    actor = Actor("blocks", event, handler)
    async with stage(url, actor) as staged:
        await staged.emit(0, 1, 2)
        await staged.actors.listen(burst=True)
    (record,) = said(caplog, "blocked the event loop")
    assert "ExecuteIn.THREAD" in record.getMessage()


async def test_retries_that_fill_max_ack_pending(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    """They keep everything else from coming; it is said once, with the remedy."""
    handled = Handled()

    async def handler(number: int) -> None:
        if number < 3:
            raise Retry(60.0)
        await handled(number)

    actor = Actor("full", event, handler, max_ack_pending=3, max_jobs=3, ack_wait=1.0)
    async with stage(url, actor) as staged:
        # While a program that we do not know shares the stream, no copies wait in their place.
        config = {"durable_name": "theirs", "ack_policy": "explicit"}
        body = {"stream_name": event.stream_name, "config": config}
        await api(staged.link, f"CONSUMER.CREATE.{event.stream_name}.theirs", body)
        await staged.emit(*range(6))
        async with listening(staged.actors):
            await until(lambda: bool(said(caplog, "max_ack_pending=3 the server")))
            await anyio.sleep(0.6)  # two more rounds of the clock
    assert handled.messages == []
    (record,) = said(caplog, "max_ack_pending=3 the server")
    assert record.levelno == logging.WARNING
    assert "3 events wait for their next attempt" in record.getMessage()
    assert "retry_delay" in record.getMessage()


async def test_retries_that_leave_room_are_not_said(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    handled = Handled()

    async def handler(number: int) -> None:
        if number < 3:
            raise Retry(60.0)
        await handled(number)

    actor = Actor("room", event, handler, max_ack_pending=4, max_jobs=1, ack_wait=1.0)
    async with stage(url, actor) as staged:
        await staged.emit(*range(6))
        async with listening(staged.actors):
            await handled.come(3)
            await anyio.sleep(0.6)
    assert not said(caplog, "wait for their next attempt")


@pytest.mark.parametrize(
    ("error", "level", "words"),
    [
        (ValueError("no such user"), logging.ERROR, "raised ValueError: no such user; again in"),
        (Retry(7), logging.INFO, "again in 7 s"),
        (Reject("never"), logging.INFO, "given up (rejected): a dead letter"),
        (ExceptionGroup("x", [Reject("a"), Reject("b")]), logging.INFO, "given up (rejected)"),
        (ExceptionGroup("x", [Retry(3), Retry(9)]), logging.INFO, "again in 9 s"),
        (ExceptionGroup("x", [Retry(3), ValueError()]), logging.ERROR, "again in"),
        (SystemExit(2), logging.ERROR, "raised SystemExit"),
    ],
    ids=str,
)
async def test_a_failure_says_what_happens_next(
    url: str,
    event: Event[int],
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    level: int,
    words: str,
) -> None:
    async def handler(_: int) -> None:
        await checkpoint()
        raise error

    caplog.set_level(logging.INFO, LOGGER)
    actor = Actor("fails", event, handler, max_attempts=5)
    async with stage(url, actor) as staged, listening(staged.actors):
        await staged.events.emit(event, 1, uid="u-1", trace_id="t-1", sync=True)
        await until(lambda: bool(said(caplog, "attempt 1 of 5")))
    record = said(caplog, "attempt 1 of 5")[0]
    assert record.levelno == level
    assert words in record.getMessage()
    fields = record.__dict__
    assert {name: fields[name] for name in ("actor", "event", "sequence", "uid", "trace_id")} == {
        "actor": "fails", "event": event.name, "sequence": 1, "uid": "u-1", "trace_id": "t-1",
    }  # fmt: skip
    assert (fields["attempt"], fields["max_attempts"]) == (1, 5)


async def test_the_last_retry_promises_no_other(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_: int) -> None:
        raise Retry(5)

    caplog.set_level(logging.INFO, LOGGER)
    actor = Actor("last", event, handler, max_attempts=1)
    async with stage(url, actor) as staged, listening(staged.actors):
        await staged.emit(1)
        await until(lambda: bool(said(caplog, "attempt 1 of 1")))
    (record,) = said(caplog, "attempt 1 of 1")
    assert "given up (exhausted)" in record.getMessage()
    assert "again in" not in record.getMessage()
