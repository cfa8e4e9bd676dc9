"""A signal handler that stops a program gracefully stays where it is."""

from __future__ import annotations

import functools
import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.support.waiting import until, until_blocking
from walnats_anyio._actors._handler_guard import HandlerGuard
from walnats_anyio.cli._signals import Stop, stoppable
from walnats_anyio.testing import NatsServer

NUMBER = signal.SIGUSR2
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def own(number: int, frame: Any) -> None: ...


def other(number: int, frame: Any) -> None: ...


class Other:
    def __call__(self, number: int, frame: Any) -> None: ...


@pytest.fixture(autouse=True)
def handlers_put_back() -> Iterator[None]:
    numbers = (NUMBER, signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (signal.SIG_DFL, "signal.SIG_DFL"),
        (signal.SIG_IGN, "signal.SIG_IGN"),
        (other, f"{__name__}.other"),
        (functools.partial(other, frame=None), f"{__name__}.other"),
        (Other(), f"{__name__}.Other"),
    ],
)
def test_what_took_its_place_is_named_once(
    handler: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    signal.signal(NUMBER, own)
    guard = HandlerGuard([NUMBER])
    guard.put_back()
    assert not caplog.messages
    for _ in range(2):
        signal.signal(NUMBER, handler)
        guard.put_back()
        assert signal.getsignal(NUMBER) is own
    [message] = caplog.messages
    assert message.startswith(f"SIGUSR2: {name} had taken the place of the handler")
    signal.signal(NUMBER, signal.SIG_DFL if handler is not signal.SIG_DFL else signal.SIG_IGN)
    guard.put_back()
    assert len(caplog.messages) == 2


@BACKENDS
def test_a_job_that_replaces_the_handlers_of_run(
    nats_server: NatsServer, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    event: walnats.Event[int] = walnats.Event(f"replaced-{backend}", int)

    async def handle(_message: int) -> None:
        signal.signal(signal.SIGTERM, other)
        await until(lambda: signal.getsignal(signal.SIGTERM) is not other)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: "SIGTERM: finishing the running jobs" in caplog.messages)

    actors = walnats.Actors(walnats.Actor("a", event, handle))

    async def prepare() -> None:
        async with walnats.Events(event).connect(nats_server.url) as events:
            await events.register()
            async with actors.connect(nats_server.url) as connected:
                await connected.register()
            await events.emit(event, 1)

    anyio.run(prepare)
    summary = actors.run(nats_server.url, backend=backend)
    assert (summary.ended.value, summary.handled) == ("shutdown", 1)


@BACKENDS
def test_what_replaces_the_handlers_of_a_command(backend: str) -> None:
    async def body(stop: Stop) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, other)
        await until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is other  # a program's own
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep_forever()

    before = signal.getsignal(signal.SIGHUP)
    stop = anyio.run(stoppable, body, backend=backend)
    assert stop.first is signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) is before
    until_blocking(lambda: signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
