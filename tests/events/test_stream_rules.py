"""The rules for streams, in any combination of fields; no server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio import Event, Limits
from walnats_anyio._events import Action
from walnats_anyio._events._stream_rules import (
    STREAM_RULES,
    Held,
    losses,
    other_owner,
    plan_stream,
)

SECOND = 10**9
COUNTS = st.one_of(st.just(-1), st.integers(1, 1000))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "description": st.text(max_size=5),
        "max_age": st.integers(0, 1000).map(lambda age: age * SECOND),
        "max_msgs": COUNTS,
        "max_bytes": COUNTS,
        "num_replicas": st.sampled_from([1, 3]),
        "subjects": st.lists(st.sampled_from(["a.b", "a-b", "c"]), unique=True),
        "retention": st.sampled_from(["interest", "limits", "workqueue"]),
        "storage": st.sampled_from(["file", "memory"]),
        "discard": st.sampled_from(["old", "new"]),
        "no_ack": st.booleans(),
        "sealed": st.booleans(),
        "max_msgs_per_subject": COUNTS,
        "metadata": st.dictionaries(st.text(), st.text(), max_size=2),
        "a_field_of_2030": st.integers(),
    },
)
LIMITS = st.builds(
    Limits,
    age=st.one_of(st.none(), st.integers(1, 1000)),
    messages=st.one_of(st.none(), st.integers(1, 1000)),
    bytes=st.one_of(st.none(), st.integers(1, 1000)),
)
HELD = st.builds(
    Held,
    messages=st.integers(0, 2000),
    bytes=st.integers(0, 2000),
    age=st.floats(0, 2000),
    consumers=st.integers(0, 3),
)


def declared_by(limits: Limits) -> dict[str, Any]:
    return Event("a.b", int, limits=limits).stream_config()


@given(fields=FIELDS, limits=LIMITS)
def test_an_update_changes_what_the_rules_let_it(fields: dict[str, Any], limits: Limits) -> None:
    declared = declared_by(limits)
    actual = declared_by(Limits()) | fields
    plan = plan_stream(declared, actual)
    rules = {rule.field: rule.register for rule in STREAM_RULES}
    assert all(rules[field] in (Action.CHANGE, Action.FORCE) for field in plan.update())
    assert all(rules[each.field] is Action.FORCE for each in plan.forced)
    after = plan_stream(declared, actual | plan.update())
    assert not after.update()
    assert after.refusals == plan.refusals
    assert after.warnings == plan.warnings


@given(limits=LIMITS)
def test_what_is_as_declared_is_left_alone(limits: Limits) -> None:
    declared = declared_by(limits)
    assert plan_stream(declared, declared) == plan_stream({}, {})


@given(limits=LIMITS, before=LIMITS, held=HELD)
def test_a_limit_drops_what_is_beyond_it(limits: Limits, before: Limits, held: Held) -> None:
    plan = plan_stream(declared_by(limits), declared_by(before))
    # What is beyond the old limit is gone already, or is going.
    kept = Held(
        min(held.messages, before.messages or held.messages),
        min(held.bytes, before.bytes or held.bytes),
        min(held.age, before.age or held.age),
        held.consumers,
    )
    dropped = losses(plan.changes, kept)
    beyond = [
        limits.age is not None and kept.age > limits.age,
        limits.messages is not None and kept.messages > limits.messages,
        limits.bytes is not None and kept.bytes > limits.bytes,
    ]
    assert len(dropped) == sum(beyond)


NAMES = st.text("ab.-", min_size=1, max_size=6)


@given(name=NAMES, subjects=st.lists(NAMES, max_size=4))
def test_whose_stream_it_is(name: str, subjects: list[str]) -> None:
    stream = name.replace(".", "-")
    owner = other_owner(name, stream, subjects)
    if owner is not None:
        assert owner in subjects
        assert owner != name
        assert owner.replace(".", "-") == stream
    assert other_owner(name, stream, [*subjects, name]) is None


@pytest.mark.parametrize("subjects", [None, [], [">"], ["a.*"], ["other"], ["a.b.>"]])
def test_a_stream_of_no_event(subjects: list[str] | None) -> None:
    assert other_owner("a.b", "a-b", subjects) is None


@pytest.mark.parametrize("ts", [{"ts": "2026-01-01T00:01:00.123456789Z"}, {}])
def test_what_a_stream_holds(ts: dict[str, str]) -> None:
    """Older servers do not tell the time: then the newest message does."""
    state = {
        "messages": 3,
        "bytes": 90,
        "first_ts": "2026-01-01T00:00:00.123456789Z",
        "last_ts": "2026-01-01T00:00:30.123456789Z",
        "consumer_count": 2,
    }
    assert Held.of({"state": state} | ts) == Held(3, 90, 60.0 if ts else 30.0, 2)


def test_an_empty_stream() -> None:
    state = {"messages": 0, "bytes": 0, "first_ts": "0001-01-01T00:00:00Z"}
    assert Held.of({"state": state}) == Held(0, 0, 0.0, 0)
