"""A registry holds each event once, and no two that would get in each other's way."""

from __future__ import annotations

import pytest

from walnats_anyio._events import BaseEvent, Event, Events, Limits

CREATED = Event("user-created", str)
DELETED = Event("user-deleted", int)


def test_events_are_kept_in_order() -> None:
    events = Events(CREATED, DELETED)
    assert list(events) == [CREATED, DELETED]
    assert len(events) == 2
    assert repr(events) == "Events('user-created', 'user-deleted')"


def test_a_large_registry_shows_its_first_events() -> None:
    many = Events(*[Event(f"e{number}", int) for number in range(12)])
    assert repr(many).endswith("'e9', and 2 more)")


@pytest.mark.parametrize("many", [[CREATED], (CREATED,), {CREATED}, iter([CREATED])])
def test_many_events_in_one_argument_need_a_star(many: BaseEvent[object]) -> None:
    with pytest.raises(TypeError, match=r"takes events, not \w+: put a \* .* Events\(\*events\)"):
        Events(many)


def test_events_are_found_by_name() -> None:
    events = Events(CREATED, DELETED)
    assert events.get("user-deleted") is DELETED
    assert events.get("user-updated") is None


def test_an_event_is_in_the_registry_by_value() -> None:
    events = Events(CREATED)
    assert CREATED in events
    assert Event("user-created", str) in events
    assert Event("user-created", int) not in events
    assert DELETED not in events
    assert "user-created" not in events
    assert None not in events


def test_the_same_event_twice_is_one() -> None:
    assert list(Events(CREATED, DELETED, Event("user-created", str))) == [CREATED, DELETED]


def test_no_events_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Events\(\) needs at least one event"):
        Events()


@pytest.mark.parametrize("other", [None, "user-created", [CREATED], Event, str, Events(CREATED)])
def test_only_events_are_taken(other: BaseEvent[object]) -> None:
    with pytest.raises(TypeError, match=r"Events\(\) takes events, not "):
        Events(CREATED, other)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (Event("user-created", int), r"schema \(<class 'str'> and <class 'int'>\)"),
        (Event("user-created", str, description="new"), r"description \(None and 'new'\)"),
        (
            Event("user-created", str, limits=Limits(age=1)),
            r"limits \(.*Limits\(age=1\)\)",
        ),
        (Event("user-created", str, replicas=3), r"replicas \(1 and 3\)"),
        (
            Event("user-created", str, storage="memory", dedup_window=5),
            r"storage \('file' and 'memory'\), dedup_window \(120.0 and 5\)",
        ),
    ],
)
def test_two_events_of_one_name_are_refused(other: Event[object], difference: str) -> None:
    with pytest.raises(ValueError, match=rf"named 'user-created' and differ in {difference}"):
        Events(CREATED, DELETED, other)


def test_another_kind_of_event_under_the_same_name_is_refused() -> None:
    class OtherEvent(BaseEvent[str]):
        pass

    with pytest.raises(ValueError, match=r"differ in their class \(Event and OtherEvent\)"):
        Events(CREATED, OtherEvent("user-created", str))


def test_two_events_of_one_stream_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a\.b' and 'a-b' would share the stream 'a-b'"):
        Events(Event("a.b", str), DELETED, Event("a-b", str))
