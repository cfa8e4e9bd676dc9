"""What `delay`, `at` and `ttl` may be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio._events._timing import MAX_SECONDS, Timing, timing_of

NOW = 1_800_000_000.0
MOMENT = datetime.fromtimestamp(NOW, UTC)


@given(st.floats(0.001, MAX_SECONDS) | st.integers(1, int(MAX_SECONDS)))
def test_a_delay_counts_from_now(delay: float) -> None:
    assert timing_of(delay, None, None, NOW) == Timing(NOW + delay, counted=True)


@given(st.integers(1, 10**9), st.integers(-23, 23))
def test_a_moment_is_the_same_in_any_time_zone(seconds: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    at = (MOMENT + timedelta(seconds=seconds)).astimezone(zone)
    assert timing_of(None, at, None, NOW) == Timing(NOW + seconds)


@pytest.mark.parametrize("delay", [0, 0.0, -0.0, -5, -1e300])
def test_no_delay_is_at_once(delay: float) -> None:
    assert timing_of(delay, None, None, NOW) == Timing()


def test_what_is_past_is_at_once() -> None:
    assert timing_of(None, MOMENT, None, NOW) == Timing()
    assert timing_of(None, MOMENT - timedelta(days=9), None, NOW) == Timing()


@given(st.floats(1, MAX_SECONDS) | st.integers(1, int(MAX_SECONDS)))
def test_a_time_to_live_is_rounded_up(ttl: float) -> None:
    assert timing_of(None, None, ttl, NOW) == Timing(ttl=math.ceil(ttl))


@pytest.mark.parametrize(
    ("delay", "at", "ttl", "error", "said"),
    [
        ("5", None, None, TypeError, "delay must be a number of seconds, not str: '5'"),
        (True, None, None, TypeError, "delay must be a number of seconds, not bool"),
        (timedelta(1), None, None, TypeError, "delay must be a number of seconds, not timedelta"),
        (math.nan, None, None, ValueError, "delay must be .* at most 3155760000 .*not nan"),
        (math.inf, None, None, ValueError, "delay must be"),
        (-math.inf, None, None, ValueError, "delay must be"),
        (MAX_SECONDS + 1, None, None, ValueError, "100 years"),
        (None, 5, None, TypeError, "at must be a datetime with a time zone, not int"),
        (None, datetime(2030, 1, 1), None, ValueError, "no time zone: give one"),  # noqa: DTZ001 - it is the naive one that is refused
        (None, MOMENT.replace(year=2999), None, ValueError, "within 100 years"),
        (1, MOMENT, None, ValueError, "delay=1 and at=.* both"),
        (None, None, 0.5, ValueError, "ttl must be 1 to .*not 0.5"),
        (None, None, 0, ValueError, "ttl must be"),
        (None, None, math.nan, ValueError, "ttl must be"),
        (None, None, math.inf, ValueError, "ttl must be"),
        (None, None, True, TypeError, "ttl must be a number"),
    ],
)
def test_what_is_refused(delay: Any, at: Any, ttl: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        timing_of(delay, at, ttl, NOW)
