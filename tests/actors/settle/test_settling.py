"""A delivery is settled once, and what goes wrong around that is said."""

from __future__ import annotations

import logging
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from tests.actors._stage import running, stage
from tests.support.recorders import Handled
from tests.support.waiting import DEADLINE
from walnats_anyio import Actor, Event
from walnats_anyio._actors.settle import Ack, Delivery, DeliveryBatch, Nak
from walnats_anyio._link import Message
from walnats_anyio.middlewares import Middleware, OkContext
from walnats_anyio.types import CancelResult

LOGGER = "walnats_anyio.actors"

MESSAGE = Message(b"1", b"numbers", b"$JS.ACK.numbers.a.1.7.9.1700000000000000000.0", b"1", b"")


@pytest.mark.parametrize("kind", [Delivery, DeliveryBatch])
def test_a_second_verdict_is_refused(kind: type[Delivery]) -> None:
    """It would be told of whatever the server has given the place to since."""
    delivery = kind(cast("Any", None), MESSAGE, 0, settled=Nak(0.0))
    with pytest.raises(RuntimeError, match=r"sequence 7, .* cannot be settled again with Ack"):
        delivery.settle(Ack())
    assert delivery.settled == Nak(0.0)


@pytest.mark.anyio
async def test_a_clean_up_that_fails_after_a_cancellation(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The event is done with all the same, and the error is not lost."""
    started = anyio.Event()

    async def handle(_: int) -> None:
        try:
            started.set()
            await anyio.sleep_forever()
        finally:
            raise OSError("no space left")

    async with running(url, Actor("a", event, handle)) as on:
        await on.events.emit(event, 1, uid="number-1", sync=True)
        await started.wait()
        assert await on.events.cancel("number-1") is CancelResult.RUNNING
    (record,) = [each for each in caplog.records if "cancelled; done with" in each.getMessage()]
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("and its clean-up failed")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no space left"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio's come from scopes and nowhere else
async def test_a_hook_that_raises_an_old_cancellation(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    """It is no end of `listen`: the hook has failed, which is said."""

    class Late(Middleware):
        async def on_success(self, ctx: OkContext, /) -> None:
            raise await cancellation()

    handled = Handled()
    async with running(url, Actor("a", event, handled, middlewares=(Late(),), max_jobs=1)) as on:
        await on.emit(1, 2)
        await handled.come(2)
    assert caplog.text.count("Late: on_success cancelled itself") == 2


async def cancellation() -> BaseException:
    """The exception of a scope that is over."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class() as error:
            return error
    raise AssertionError("the scope was not cancelled")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])  # asyncio raises it out of the loop itself
async def test_an_interrupt_while_a_failure_is_logged(url: str, event: Event[int]) -> None:
    """Ctrl-C ends the program, wherever it comes."""

    def interrupt(_: logging.LogRecord) -> bool:
        logger.removeFilter(interrupt)
        raise KeyboardInterrupt

    async def fail(_: int) -> None:
        raise ValueError("wrong")

    logger = logging.getLogger(LOGGER)
    async with stage(url, Actor("a", event, fail)) as on:
        await on.emit(1)
        logger.addFilter(interrupt)
        try:
            with anyio.fail_after(DEADLINE), pytest.raises(KeyboardInterrupt):
                await on.actors.listen()
        finally:
            logger.removeFilter(interrupt)
