"""Handlers that run at some times only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors._stage import running
from tests.support.recorders import Handled
from walnats_anyio import Actor, Event
from walnats_anyio.decorators import filter_time

pytestmark = pytest.mark.anyio

PARTS: dict[str, Callable[[datetime], int]] = {
    "year": lambda time: time.year,
    "month": lambda time: time.month,
    "day": lambda time: time.day,
    "hour": lambda time: time.hour,
    "minute": lambda time: time.minute,
    "weekday": lambda time: time.weekday(),
}
VALUES = {
    "year": st.integers(2024, 2027),
    "month": st.integers(1, 12),
    "day": st.integers(1, 31),
    "hour": st.integers(0, 23),
    "minute": st.integers(0, 59),
    "weekday": st.integers(0, 6),
}
TIMES = st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2027-12-31"))


def runs(time: datetime, **pattern: Any) -> bool:
    called: list[datetime] = []
    filter_time(**pattern)(called.append)(time)
    return called == [time]


@settings(max_examples=40)
@given(
    time=TIMES,
    pattern=st.fixed_dictionaries(
        {}, optional={name: st.sets(each, min_size=1) for name, each in VALUES.items()}
    ),
)
def test_each_part_that_is_given_must_match(time: datetime, pattern: dict[str, set[int]]) -> None:
    expected = all(PARTS[name](time) in values for name, values in pattern.items())
    assert runs(time, **pattern) == expected


@settings(max_examples=20)
@given(TIMES)
def test_one_value_or_several(time: datetime) -> None:
    assert runs(time, minute=time.minute, hour=[time.hour], day=range(1, 32))
    assert not runs(time, minute=(time.minute + 1) % 60)
    assert runs(time)


def test_the_time_zone_is_that_of_the_message() -> None:
    assert runs(datetime(2026, 7, 1, 3, tzinfo=timezone(timedelta(hours=5))), hour=3)


def test_in_a_time_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert runs(datetime(2026, 7, 1, 22, tzinfo=UTC), hour=0, day=2, weekday=3, tz=berlin)
    assert runs(datetime(2026, 1, 1, 23, tzinfo=UTC), hour=0, tz=berlin)
    with pytest.raises(ValueError, match="has no time zone"):
        runs(datetime.fromisoformat("2026-01-01T23:00"), hour=0, tz=berlin)


@pytest.mark.parametrize(
    ("pattern", "error", "says"),
    [
        ({"hour": 24}, ValueError, "hour must be 0 to 23, not 24"),
        ({"minute": [0, 60]}, ValueError, "minute must be 0 to 59, not 60"),
        ({"month": 0}, ValueError, "month must be 1 to 12"),
        ({"weekday": 7}, ValueError, "weekday must be 0 to 6"),
        ({"minute": ()}, ValueError, "minute has no values: leave it out"),
        ({"minute": "5"}, TypeError, "each minute must be an int, not '5'"),
        ({"minute": 5.0}, TypeError, "minute must be an int or several"),
        ({"minute": True}, TypeError, "each minute must be an int, not True"),
        ({"tz": "Europe/Berlin"}, TypeError, "tz must be of tzinfo"),
    ],
)
def test_a_pattern_that_never_matches(
    pattern: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        filter_time(**pattern)


@pytest.mark.parametrize("wrong", [5, None, "2026-01-01", date(2026, 1, 1)])
def test_a_message_that_is_no_time(wrong: Any) -> None:
    with pytest.raises(TypeError, match="the message must be a datetime"):
        runs(wrong, year=2026)


async def test_what_does_not_match_is_done_with(url: str, event: Event[int]) -> None:
    minutes = Event(f"{event.name}-minutes", datetime, storage="memory")
    handled = Handled()
    actor = Actor("a", minutes, filter_time(minute=range(0, 60, 5))(handled))
    times = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in range(12)]
    async with running(url, actor) as on:
        await on.emit(*times)
        await on.until_done(actor)
        assert on.actors.statistics().actors[0].handled == 12
    assert sorted(time.minute for time in handled.messages) == [0, 5, 10]
