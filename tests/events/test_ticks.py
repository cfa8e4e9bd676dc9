"""When a clock ticks: periods, cron expressions, and the days on which clocks are changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio._events._ticks import EPOCH, NEVER, Cron, Period, Schedule

AMSTERDAM = "Europe/Amsterdam"
"""Goes from +01:00 to +02:00 on 2026-03-29 at 02:00, and back on 2026-10-25 at 03:00."""

BEFORE_SPRING = datetime(2026, 3, 28, 20, tzinfo=UTC)
BEFORE_AUTUMN = datetime(2026, 10, 24, 20, tzinfo=UTC)

ZONES = ["UTC", AMSTERDAM, "America/New_York", "Australia/Lord_Howe", "America/Santiago"]
"""Lord Howe changes by half an hour, Santiago at midnight."""


def cron(expression: str, zone: str = "UTC") -> Cron:
    return Cron.of(expression, ZoneInfo(zone), zone)


def ticks(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    while True:
        moment = schedule.after(moment)
        yield moment


def shown(schedule: Cron, moment: datetime, count: int) -> list[str]:
    found = itertools.islice(ticks(schedule, moment), count)
    return [f"{tick.astimezone(schedule.zone):%d %H:%M %z}" for tick in found]


def on_25th(*times: str) -> list[str]:
    return [f"25 {time}" for time in times]


@pytest.mark.parametrize(
    ("expression", "spring", "autumn"),
    [
        # 5 fields: what would be in the hour that is left out comes at its end, and what is in the
        # hour that comes twice comes in the first.
        ("30 2 * * *", ["29 03:00 +0200", "30 02:30 +0200"], ["25 02:30 +0200", "26 02:30 +0100"]),
        # 6 fields: where the clock on the wall shows it, so never or twice.
        ("0 30 2 * * *", ["30 02:30 +0200"], ["25 02:30 +0200", "25 02:30 +0100"]),
        # A star in minute or hour: the same.
        ("*/30 2 * * *", ["30 02:00 +0200"], on_25th("02:00 +0200", "02:30 +0200", "02:00 +0100")),
        ("0 * 29 * *", ["29 00:00 +0100", "29 01:00 +0100", "29 03:00 +0200"], []),
        ("0 1-3 25 * *", [], ["25 01:00 +0200", "25 02:00 +0200", "25 03:00 +0100"]),
        ("0 * 25 * *", [], on_25th("00:00 +0200", "01:00 +0200", "02:00 +0200", "02:00 +0100")),
    ],
)
def test_where_daylight_saving_time_begins_and_ends(
    expression: str, spring: list[str], autumn: list[str]
) -> None:
    schedule = cron(expression, AMSTERDAM)
    assert shown(schedule, BEFORE_SPRING, len(spring)) == spring
    assert shown(schedule, BEFORE_AUTUMN, len(autumn)) == autumn


def test_the_hour_that_comes_twice_has_no_tick_again() -> None:
    """Whoever starts in the second one does not get the tick of the first."""
    second = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)  # 02:15 +01:00
    assert shown(cron("30 2 * * *", AMSTERDAM), second, 1) == ["26 02:30 +0100"]


@given(
    st.sampled_from(ZONES),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(2000, 2036),
)
@settings(max_examples=8, deadline=None)
def test_a_daily_job_runs_once_a_day(zone: str, hour: int, minute: int, year: int) -> None:
    schedule = cron(f"{minute} {hour} * * *", zone)
    begin = datetime(year, 1, 1, tzinfo=schedule.zone).astimezone(UTC) - timedelta(seconds=1)
    days = [
        tick.astimezone(schedule.zone).date()
        for tick in itertools.islice(ticks(schedule, begin), 365)
    ]
    assert len(set(days)) == 365
    assert days == sorted(days)
    assert days[-1] - days[0] == timedelta(days=364)


def numbers(least: int, most: int) -> st.SearchStrategy[str]:
    some = st.lists(st.integers(least, most), min_size=1, max_size=4).map(
        lambda values: ",".join(map(str, values))
    )
    steps = st.integers(1, most - least).map("*/{}".format)
    return st.just("*") | some | steps


EXPRESSIONS = st.builds(
    " ".join,
    st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 28), numbers(1, 12), numbers(0, 7)),
) | st.builds(
    " ".join,
    st.tuples(
        numbers(0, 59), numbers(0, 59), numbers(0, 23), numbers(1, 28), st.just("*"), numbers(0, 7)
    ),
)
SCHEDULES: st.SearchStrategy[Schedule] = st.builds(
    cron, EXPRESSIONS, st.sampled_from(ZONES)
) | st.builds(Period, st.sampled_from([0.1, 0.3, 1, 7, 60, 3600, 86400]) | st.floats(0.1, 1e6))
MOMENTS = st.sampled_from(
    [BEFORE_SPRING, BEFORE_AUTUMN, datetime(2024, 2, 28, tzinfo=UTC)]
).flatmap(
    lambda base: st.integers(0, 2 * 86400 * 10).map(
        lambda tenths: base + timedelta(seconds=tenths / 10)
    )
)


@given(SCHEDULES, MOMENTS)
@settings(max_examples=30, deadline=None)
def test_all_replicas_agree_whenever_they_look(schedule: Schedule, moment: datetime) -> None:
    first, second, third = itertools.islice(ticks(schedule, moment), 3)
    assert moment < first < second < third
    # Whoever looks between two ticks sees the second one next.
    assert schedule.after(first - timedelta(microseconds=1)) == first
    assert schedule.after(first + (second - first) / 2) == second
    assert schedule.latest(EPOCH, second - timedelta(microseconds=1)) == first
    assert schedule.latest(moment, third) == third
    assert schedule.latest(moment, first - timedelta(microseconds=1)) is None
    assert schedule.latest(first, first + timedelta(microseconds=1)) is None


@given(EXPRESSIONS, st.sampled_from(ZONES), MOMENTS)
@settings(max_examples=30, deadline=None)
def test_the_server_has_the_same_expression(expression: str, zone: str, moment: datetime) -> None:
    """Written out, so that it does not depend on how either side reads steps, names and stars."""
    ours = cron(expression, zone)
    try:
        pattern = ours.on_server().pattern
    except ValueError:
        days, weekdays = expression.split()[-3], expression.split()[-1]
        assert days.startswith("*") or weekdays.startswith("*")
        return
    assert set(pattern) <= set("0123456789,* ")
    same = expression if len(expression.split()) == 6 else f"0 {expression}"
    theirs = itertools.islice(ticks(cron(pattern, zone), moment), 3)
    assert list(theirs) == list(itertools.islice(ticks(cron(same, zone), moment), 3))


@pytest.mark.parametrize(
    ("schedule", "pattern"),
    [
        (Period(1), "* * * * * *"),
        (Period(20), "0,20,40 * * * * *"),
        (Period(60), "0 * * * * *"),
        (Period(900), "0 0,15,30,45 * * * *"),
        (Period(3600), "0 0 * * * *"),
        (Period(43200), "0 0 0,12 * * *"),
        (Period(86400), "0 0 0 * * *"),
        (cron("*/20 9-11 * * mon-fri"), "0 0,20,40 9,10,11 * * 1,2,3,4,5"),
        (cron("0 0 1 * *"), "0 0 0 1 * *"),
        (cron("0 0 * * sun,7"), "0 0 0 * * 0"),
        (cron("@daily"), "0 0 0 * * *"),
        # One of the two has to match, and a star would have both match.
        (cron("0 0 1-31 * 1"), f"0 0 0 {','.join(map(str, range(1, 32)))} * 1"),
        (cron("0 0 1 * 0-6"), "0 0 0 1 * 0,1,2,3,4,5,6"),
    ],
)
def test_how_the_server_has_it(schedule: Schedule, pattern: str) -> None:
    assert schedule.on_server().pattern == pattern


@pytest.mark.parametrize("seconds", [7, 90, 1.5, 0.1, 7200 * 5, 172800])
def test_periods_that_the_server_cannot_keep(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"cannot keep period={seconds:g}"):
        Period(seconds).on_server()


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 0 L * *", "the last day of a month"),
        ("0 0 LW * *", "the last day of a month"),
        ("0 0 * * 5#2", "n-th day of the week"),
        ("0 0 * * 5L", "n-th day of the week"),
        ("0 0 */2 * mon", "both must match"),
    ],
)
def test_expressions_that_the_server_does_not_have(expression: str, why: str) -> None:
    schedule = cron(expression)
    assert schedule.after(EPOCH) < NEVER
    with pytest.raises(ValueError, match=why):
        schedule.on_server()


@pytest.mark.parametrize(
    ("expression", "where"),
    [
        ("60 * * * *", "its minute is '60': it may have 0 to 59"),
        ("60 * * * * *", "its second is '60': it may have 0 to 59"),
        ("* 24 * * *", "its hour is '24': it may have 0 to 23"),
        ("* * 0 * *", "its day of month is '0'"),
        ("* * * 13 *", "its month is '13'"),
        ("* * * * funday", "its day of week is 'funday'"),
        ("5-1 * * * *", "its minute is '5-1'"),
        ("1/2/3 * * * *", "its minute is '1/2/3'"),
        ("*/0 * * * *", r"its minute is '\*/0'"),
        ("0 0 30 2 *", "its day of month is '30', which its months never have"),
        ("* * * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("@every 5m", "has 2 fields"),
        ("@reboot", "has 1 fields"),
        ("9" * 5000 + " * * * *", "its minute is '9999|it cannot be read"),
        ("0 0 29 2 mon#5 2027", "cron="),
    ],
)
def test_expressions_that_are_none(expression: str, where: str) -> None:
    with pytest.raises(ValueError, match=where) as caught:
        cron(expression)
    assert len(str(caught.value)) < 500


@given(st.text(alphabet="0123456789*/,-#LWSUNMON @", max_size=24))
@settings(max_examples=80, deadline=None)
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    try:
        schedule = cron(text)
    except ValueError:
        return
    assert schedule.after(EPOCH) < NEVER


def test_the_end_of_time() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for schedule in (Period(86400), cron("0 0 1 1 *"), cron("0 0 1 1 *", "America/New_York")):
        assert schedule.after(end) == NEVER
        assert schedule.latest(end - timedelta(seconds=1), end) is None


def test_what_ticks_twice_in_a_century() -> None:
    """A leap day that is a Monday: none is looked for among the days between."""
    leap = cron("0 0 * 2 mon#5")
    assert leap.after(datetime(2000, 3, 1, tzinfo=UTC)) == datetime(2016, 2, 29, tzinfo=UTC)
    moment = datetime(2043, 1, 1, tzinfo=UTC)
    assert leap.latest(datetime(2012, 1, 1, tzinfo=UTC), moment) == datetime(
        2016, 2, 29, tzinfo=UTC
    )
