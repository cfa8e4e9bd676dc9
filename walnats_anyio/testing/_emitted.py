"""What was emitted, and whether it is what was expected."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Generic, TypeVar, cast

from walnats_anyio._events import HEADER_TRACE, BaseEvent, uid_in

T = TypeVar("T")

MAX_SHOWN = 10
"""How many messages an error shows, and in how many fields the nearest one differs."""

WIDTH = 78
"""Characters of a line of an error; pytest puts some before it, and cuts nothing."""

VALUE = 28
"""The same of a value of a field, of which a line has two."""


@dataclasses.dataclass(frozen=True)
class EmittedMessage(Generic[T]):
    """One message that was emitted."""

    event: BaseEvent[T]
    """Its event."""

    message: T
    """The message, decoded: as an actor gets it."""

    headers: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """All its headers, by name."""

    payload: bytes = dataclasses.field(default=b"", repr=False)
    """The message as it was sent, encoded."""

    @property
    def uid(self) -> str | None:
        """The `uid` that it was emitted with; None without one."""
        return uid_in(self.headers)

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` that it was emitted with; None without one."""
        return self.headers.get(HEADER_TRACE) or None


class _Anything:
    def __repr__(self) -> str:
        return "any message"


ANYTHING: Any = _Anything()
"""What stands for a message where none was named."""


def check_emitted(
    event: BaseEvent[T],
    found: Sequence[EmittedMessage[T]],
    expected: T | Callable[[T], object],
    *,
    uid: str | None,
    headers: Mapping[str, str] | None,
    count: int | None,
) -> list[EmittedMessage[T]]:
    """Give the messages that are as expected.

    Raises:
        AssertionError: there are none, or not `count` of them; it says what there is.
    """
    __tracebackhide__ = True  # pytest shows the line of the test instead
    matching = [each for each in found if _matches(each, expected, uid, headers)]
    if len(matching) == count or (count is None and matching):
        return matching
    wanted = _describe(expected, uid, headers)
    number = "at least one" if count is None else "none" if count == 0 else f"exactly {count}"
    there = f"event {event.name!r}: {len(matching)} emitted"
    lines = [f"{there} of {wanted}, expected {number}"]
    if len(lines[0]) > WIDTH:
        lines = [f"{there}, expected {number} of:", _cut(f"  {wanted}")]
    lines += _listed(matching if count is not None and len(matching) > count else found)
    if not matching and len(found) and expected is not ANYTHING:
        lines += _nearest_difference(expected, uid, headers, found)
    raise AssertionError("\n".join(lines))


def _matches(
    each: EmittedMessage[T],
    expected: T | Callable[[T], object],
    uid: str | None,
    headers: Mapping[str, str] | None,
) -> bool:
    if uid is not None and each.uid != uid:
        return False
    if any(each.headers.get(name) != value for name, value in (headers or {}).items()):
        return False
    if expected is ANYTHING:
        return True
    # A message that can be called is compared like any other.
    if callable(expected) and type(expected) is not type(each.message):
        return bool(expected(each.message))
    # Types as well, as in the law of serializers: 1 is not True, and not 1.0.
    return type(expected) is type(each.message) and bool(expected == each.message)


def _describe(expected: object, uid: str | None, headers: Mapping[str, str] | None) -> str:
    if callable(expected) and not isinstance(expected, type):
        wanted = f"a message for which {getattr(expected, '__qualname__', expected)} is true"
    else:
        wanted = _shown(expected)
    if uid is not None:
        wanted += f" with uid {uid!r}"
    if headers:
        wanted += f" with headers {dict(headers)!r}"
    return wanted


def _listed(messages: Sequence[EmittedMessage[Any]]) -> list[str]:
    if not messages:
        return ["nothing of this event was emitted"]
    lines = ["emitted:"]
    for each in messages[:MAX_SHOWN]:
        parts = [_shown(each.message), f"headers {each.headers!r}" if each.headers else ""]
        line = "  " + "  ".join(filter(None, parts))
        if len(line) > WIDTH:
            lines += [_cut(f"  {'  ' * number}{part}") for number, part in enumerate(parts) if part]
        else:
            lines.append(line)
    if len(messages) > MAX_SHOWN:
        lines.append(f"  and {len(messages) - MAX_SHOWN} more")
    return lines


def _nearest_difference(
    expected: object,
    uid: str | None,
    headers: Mapping[str, str] | None,
    found: Sequence[EmittedMessage[Any]],
) -> list[str]:
    """Say in what the message that is most like the expected one differs from it."""
    differences: list[list[str]] = []
    for each in found:
        different = [] if callable(expected) else _differing(expected, each.message)
        if different is None:
            continue
        if uid is not None and each.uid != uid:
            different = [*different, f"uid is {_apart(each.uid, uid)}"]
        for name, value in (headers or {}).items():
            if each.headers.get(name) != value:
                is_there = _apart(each.headers.get(name), value)
                different = [*different, f"header {name} is {is_there}"]
        if different:
            differences.append(different)
    if not differences:
        return []
    nearest = min(differences, key=len)
    lines = ["the nearest one differs:", *(_cut(f"  {line}") for line in nearest[:MAX_SHOWN])]
    return lines + [f"  and in {len(nearest) - MAX_SHOWN} more"] * (len(nearest) > MAX_SHOWN)


def _shown(value: object) -> str:
    """A value in one line."""
    return " ".join(line.strip() for line in repr(value).splitlines())


def _cut(line: str, width: int = WIDTH) -> str:
    return line if len(line) <= width else f"{line[: width - 3]}..."


def _apart(found: object, expected: object) -> str:
    """Two values that differ, each from a little before the place where it shows."""
    ours, theirs = _shown(expected), _shown(found)
    start = 0
    if max(len(ours), len(theirs)) > VALUE:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False))
        start = max(sum(1 for _ in same) - VALUE // 3, 0)
    before = "..." if start else ""
    ours, theirs = (before + _cut(text[start:], VALUE) for text in (ours, theirs))
    return f"{theirs}, expected {ours}"


def _differing(expected: object, found: object) -> list[str] | None:
    """The fields in which two values differ; None where they cannot be compared by fields."""
    if type(expected) is not type(found):
        return [f"it is of type {type(found).__name__}, expected {type(expected).__name__}"]
    if expected == found:
        return []
    ours, theirs = _fields(expected), _fields(found)
    if ours is None or theirs is None:
        # Where both are shown as a whole, anybody sees it.
        short = max(len(_shown(each)) for each in (expected, found)) <= WIDTH - 2
        return None if short else [f"it is {_apart(found, expected)}"]
    missing = "(not there)"
    return [
        f"{name}: {_apart(theirs.get(name, missing), ours.get(name, missing))}"
        for name in _united(ours, theirs)
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]


def _united(ours: Iterable[object], theirs: Iterable[object]) -> list[object]:
    return list(dict.fromkeys([*ours, *theirs]))


def _fields(value: object) -> dict[object, Any] | None:
    if isinstance(value, dict):
        return cast("dict[object, Any]", value)
    names: Iterable[str] | None = getattr(value, "__struct_fields__", None)  # msgspec
    if names is None and dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    if names is None:
        attributes: dict[object, Any] | None = getattr(value, "__dict__", None)
        return attributes or None
    return {name: getattr(value, name, None) for name in names}
