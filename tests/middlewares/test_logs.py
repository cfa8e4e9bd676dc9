"""Middlewares for logs, and the one for the current context."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from tests.actors._stage import running
from tests.support.recorders import Handled, Recorder
from tests.support.waiting import until
from walnats_anyio import Actor, Event, ExecuteIn
from walnats_anyio.middlewares import (
    Context,
    CurrentContextMiddleware,
    ExtraLogMiddleware,
    Middleware,
    TextLogMiddleware,
)

pytestmark = pytest.mark.anyio

FIELDS = ("actor", "event", "sequence", "attempt", "trace_id", "uid")


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def fields(self, message: str, *names: str) -> list[list[Any]]:
        """The fields of the records with a message."""
        return [
            [getattr(record, name, "missing") for name in names]
            for record in self.records
            if record.getMessage() == message
        ]


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    logger = logging.getLogger("tests.job")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def log_and_fail(message: int) -> None:
    logging.getLogger("tests.job.deeper").info("working", extra={"attempt": "mine"})
    if message == 2:
        raise ValueError("no 2")


@pytest.mark.parametrize("execute_in", [ExecuteIn.MAIN, ExecuteIn.THREAD], ids=["main", "thread"])
async def test_records_have_the_fields_of_the_job(
    url: str, event: Event[int], records: Records, execute_in: ExecuteIn
) -> None:
    middleware = ExtraLogMiddleware(logging.getLogger("tests.job"))
    records.addFilter(middleware)
    actor = Actor(
        "a",
        event,
        log_and_fail,
        execute_in=execute_in,
        middlewares=(middleware,),
        max_attempts=1,
    )
    async with running(url, actor) as on:
        await on.events.emit(event, 1, uid="u-1", trace_id="t-1", sync=True)
        await on.until_done(actor)
        await on.emit(2)
        await on.until_done(actor)
        logging.getLogger("tests.job").info("outside")
    first, second = ["a", event.name, 1, 1, "t-1", "u-1"], ["a", event.name, 2, 1, None, None]
    assert records.fields("job started", *FIELDS) == [first, second]
    assert records.fields("job succeeded", *FIELDS) == [first]
    assert records.fields("job failed", *FIELDS, "error", "error_type") == [
        [*second, "no 2", "ValueError"]
    ]
    for message in ("job succeeded", "job failed"):
        ((duration,),) = records.fields(message, "duration")
        assert 0 <= duration < 30
    kept = [["a", 1, "mine"], ["a", 2, "mine"]]
    assert records.fields("working", "actor", "sequence", "attempt") == kept
    assert records.fields("outside", "actor") == [["missing"]]


async def test_lines_about_jobs(url: str, event: Event[int], records: Records) -> None:
    middleware = TextLogMiddleware(logging.getLogger("tests.job"))
    actor = Actor("a", event, log_and_fail, middlewares=(middleware,), max_attempts=1)
    async with running(url, actor) as on:
        await on.events.emit(event, 1, uid="u 1", trace_id="t%s=1", sync=True)
        await on.until_done(actor)
        await on.emit(2)
        await on.until_done(actor)
        await until(lambda: len(records.records) == 6)
    lines = [
        (record.levelname, record.getMessage().partition(" duration=")[0])
        for record in records.records
        if record.name == "tests.job"
    ]
    first = f'actor=a event={event.name} sequence=1 attempt=1 trace_id="t%s=1" uid="u 1"'
    second = f"actor=a event={event.name} sequence=2 attempt=1"
    assert lines == [
        ("DEBUG", f"job started: {first}"),
        ("DEBUG", f"job succeeded: {first}"),
        ("DEBUG", f"job started: {second}"),
        ("WARNING", f"job failed: {second}"),
    ]
    failed = records.records[-1].getMessage()
    assert failed.endswith(' error="ValueError: no 2"')
    assert records.records[-1].exc_info is None


def structlog_generic(output: io.StringIO) -> Any:
    return structlog.wrap_logger(
        structlog.PrintLogger(output),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
    )


def structlog_filtering(output: io.StringIO) -> Any:
    return structlog.wrap_logger(
        structlog.PrintLogger(output),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )


@pytest.mark.parametrize("make", [structlog_generic, structlog_filtering])
async def test_lines_in_structlog(
    url: str, event: Event[int], make: Callable[[io.StringIO], Any]
) -> None:
    output = io.StringIO()
    middleware = TextLogMiddleware(make(output))
    actor = Actor("a", event, log_and_fail, middlewares=(middleware,), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1, 2)
        await on.until_done(actor)
        await until(lambda: output.getvalue().count("\n") == 4)
    shown = output.getvalue()
    assert f'{{"event": "job started: actor=a event={event.name} sequence=1 attempt=1"}}' in shown
    assert r"error=\"ValueError: no 2\"" in shown


async def test_a_message_with_line_breaks_is_one_line(
    url: str, event: Event[int], records: Records
) -> None:
    async def handle(message: int) -> None:
        raise ValueError("one\ntwo\u2028three")

    middleware = TextLogMiddleware(logging.getLogger("tests.job"))
    actor = Actor("a", event, handle, middlewares=(middleware,), max_attempts=1)
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    assert len(records.records[-1].getMessage().splitlines()) == 1


async def test_the_current_context(url: str, event: Event[int]) -> None:
    middleware = CurrentContextMiddleware()
    seen: list[Context] = []

    async def handle(message: int) -> None:
        seen.append(middleware.context)

    actor = Actor("a", event, handle, middlewares=(middleware,))
    async with running(url, actor) as on:
        await on.emit(7)
        await on.until_done(actor)
    assert [(ctx.message, ctx.actor.name) for ctx in seen] == [(7, "a")]
    with pytest.raises(LookupError):
        _ = middleware.context


async def test_what_is_logged_by_default(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    middlewares: tuple[Middleware, ...] = (recorder, TextLogMiddleware(), ExtraLogMiddleware())
    with caplog.at_level(logging.DEBUG, "walnats_anyio.middlewares"):
        actor = Actor("a", event, Handled(), middlewares=middlewares)
        async with running(url, actor) as on:
            await on.emit(1)
            await on.until_done(actor)
            await until(lambda: bool(recorder.succeeded))
    lines = [r.getMessage() for r in caplog.records if r.name == "walnats_anyio.middlewares"]
    assert [line.partition(":")[0] for line in lines] == ["job started"] * 2 + ["job succeeded"] * 2


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="logger must be of Logger, not 'mine'"):
        ExtraLogMiddleware("mine")  # type: ignore[arg-type]  # the test is about it
    with pytest.raises(TypeError, match="with a method 'debug', not 'mine'"):
        TextLogMiddleware("mine")  # type: ignore[arg-type]  # the test is about it
