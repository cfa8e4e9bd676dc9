"""Run a handler at some times only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from typing import Any, cast

from walnats_anyio._actors.declare._handler import REFUSES_BATCHES
from walnats_anyio._events._arguments import check_type
from walnats_anyio.decorators._wrapping import (
    Handler,
    check_handler,
    finish,
    is_coroutine_function,
)

Times = int | Iterable[int] | None

RANGES = {
    "year": (1, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "weekday": (0, 6),
}
"""What each part of a time can be."""


def filter_time(
    *,
    year: Times = None,
    month: Times = None,
    day: Times = None,
    hour: Times = None,
    minute: Times = None,
    weekday: Times = None,
    tz: tzinfo | None = None,
) -> Callable[[Handler], Handler]:
    """Run the handler only for times that match; any other event is done with at once.

        @filter_time(hour=3, minute=range(0, 60, 15))
        async def back_up(time: datetime) -> None: ...

    For handlers of events whose message is a `datetime`, such as one that is emitted each minute. A
    part that is given several values matches any of them, one that is not given matches always.
    Never blocks; works wherever the handler runs.

    Args:
        year: years, such as 2026.
        month: months, 1 to 12.
        day: days of the month, 1 to 31.
        hour: hours, 0 to 23.
        minute: minutes, 0 to 59.
        weekday: days of the week, 0 (Monday) to 6 (Sunday).
        tz: the time zone in which the parts are meant. None: that of the message.

    Raises:
        TypeError: a value is no int, or `tz` is no `tzinfo`. A job raises it where its message is
            no `datetime`.
        ValueError: a value is out of its range, or a part has no values. A job raises it where
            `tz` is given and its message has no time zone.
    """
    check_type("filter_time: tz", tz, (tzinfo, type(None)))
    given = zip(RANGES, (year, month, day, hour, minute, weekday), strict=True)
    parts = {name: _values(name, value) for name, value in given if value is not None}

    def decorate(handler: Handler) -> Handler:
        check_handler("filter_time", handler)

        async def filtered(*args: Any, **kwargs: Any) -> Any:
            if _matches(_message(args, kwargs), parts, tz):
                return await handler(*args, **kwargs)
            return None

        def filtered_plainly(*args: Any, **kwargs: Any) -> Any:
            if _matches(_message(args, kwargs), parts, tz):
                return handler(*args, **kwargs)
            return None

        wrapper: Callable[..., Any] = (
            filtered if is_coroutine_function(handler) else filtered_plainly
        )
        setattr(wrapper, REFUSES_BATCHES, "filter_time looks at one message")
        return finish(wrapper, handler)

    return decorate


def _values(name: str, value: int | Iterable[int]) -> frozenset[int]:
    try:
        values = frozenset([value] if isinstance(value, int) else value)
    except TypeError:
        raise TypeError(
            f"filter_time: {name} must be an int or several, such as range(0, 60, 5), not {value!r}"
        ) from None
    if not values:
        raise ValueError(f"filter_time: {name} has no values: leave it out to match any {name}")
    least, most = RANGES[name]
    for each in cast("frozenset[object]", values):
        if isinstance(each, bool) or not isinstance(each, int):
            raise TypeError(f"filter_time: each {name} must be an int, not {each!r}")
        if not least <= each <= most:
            raise ValueError(f"filter_time: {name} must be {least} to {most}, not {each}")
    return values


def _message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    # The last one: before it there is the object of a method.
    return args[-1] if args else next(iter(kwargs.values()), None)


def _matches(time: object, parts: dict[str, frozenset[int]], tz: tzinfo | None) -> bool:
    if not isinstance(time, datetime):
        raise TypeError(
            f"filter_time: the message must be a datetime, not {time!r}: decorate a handler of an "
            "event with the schema datetime"
        )
    if tz is not None:
        if time.tzinfo is None:
            raise ValueError(
                f"filter_time: {time!r} has no time zone, so it cannot be told in {tz}: emit "
                "datetimes with one, or leave tz out"
            )
        time = time.astimezone(tz)
    return all(
        (time.weekday() if name == "weekday" else getattr(time, name)) in values
        for name, values in parts.items()
    )
