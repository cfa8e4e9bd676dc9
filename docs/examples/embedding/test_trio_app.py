"""Tests of the trio application, with pytest-trio: a minute passes in a moment."""

import pytest
import trio
from trio.testing import MockClock

from shop import ORDER_PLACED, Order
from trio_app import serve


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    # The server answers in real time: jump only when nothing has happened for a moment.
    autojump_clock.autojump_threshold = 0.05
    return autojump_clock


@pytest.mark.trio
async def test_a_receipt_is_sent(
    nats_url: str, nursery: trio.Nursery, clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    events = await nursery.start(serve, nats_url)
    await events.emit(ORDER_PLACED, Order(1, "ada@example.com"))
    await trio.sleep(60)
    assert capsys.readouterr().out == "receipt for order 1 sent to ada@example.com\n"


@pytest.mark.trio
async def test_who_does_not_answer_is_given_up(
    nats_url: str, nursery: trio.Nursery, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    events = await nursery.start(serve, nats_url)
    await events.emit(ORDER_PLACED, Order(2, ""))
    await trio.sleep(60)
    assert "longer than job_timeout" in caplog.text


@pytest.mark.trio
async def test_a_deadline_ends_it(nats_url: str, clock: MockClock) -> None:
    with trio.move_on_after(60) as deadline:
        await serve(nats_url)
    assert deadline.cancelled_caught
