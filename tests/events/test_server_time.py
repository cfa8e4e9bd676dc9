"""The server's time, as a clock knows it: pure, but for the clock of the event loop."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from walnats_anyio._events._server_time import MEASURED_FOR, ServerTime

pytestmark = pytest.mark.anyio

TOLD = datetime(2026, 1, 1, 12, tzinfo=UTC)


def server_time(move_clock: object = None) -> ServerTime:
    return ServerTime(cast("Any", SimpleNamespace(backend=SimpleNamespace(move_clock=move_clock))))


async def test_it_goes_on_with_the_loop_and_is_trusted_for_a_while() -> None:
    time = server_time()
    assert time.trusted_for <= 0
    with pytest.raises(RuntimeError, match="was not measured"):
        time.now()
    asked_at = anyio.current_time() - 2.0
    time.measured({"ts": "2026-01-01T12:00:00Z"}, asked_at)
    left, now = time.trusted_for, time.now()
    took = anyio.current_time() - asked_at
    assert MEASURED_FOR - took <= left <= MEASURED_FOR
    # The answer took half of the two seconds to come.
    assert TOLD + timedelta(seconds=1) <= now <= TOLD + timedelta(seconds=took)


@pytest.mark.parametrize("info", [{}, {"ts": None}, {"ts": "soon"}])
async def test_a_server_that_does_not_tell_it(info: dict[str, Any]) -> None:
    time, before = server_time(), datetime.now(UTC)
    time.measured(info, anyio.current_time() - 60.0)
    assert before <= time.now() <= datetime.now(UTC) + timedelta(seconds=1)


async def test_under_a_mock_clock_it_is_asked_for_once() -> None:
    time = server_time(move_clock=print)
    time.measured({"ts": "2026-01-01T12:00:00Z"}, anyio.current_time())
    assert time.trusted_for == math.inf
