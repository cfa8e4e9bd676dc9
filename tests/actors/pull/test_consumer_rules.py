"""The rules for consumers, in any combination of fields."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio import Actor, Event
from walnats_anyio._actors.declare._fingerprint import FINGERPRINT, fingerprint
from walnats_anyio._actors.pull._consumer_rules import (
    CONSUMER_RULES,
    Terms,
    broken,
    differences_of,
    terms_of,
    updated,
    warnings,
)
from walnats_anyio._actors.pull._requests import Options, period_of, pull_requests, within
from walnats_anyio._events import Action
from walnats_anyio._link import NO_PREFIXES

EVENT = Event("e.v", int)
SECOND = 10**9


def handle(_number: int) -> None: ...


DECLARED = Actor("a", EVENT, handle).consumer_config()

NUMBERS = st.integers(0, 100).map(lambda number: number * SECOND)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "ack_wait": NUMBERS,
        "backoff": st.lists(NUMBERS, max_size=3),
        "max_deliver": st.integers(-1, 5),
        "max_ack_pending": st.integers(-1, 5000),
        "max_batch": st.integers(0, 100),
        "max_expires": NUMBERS,
        "headers_only": st.booleans(),
        "filter_subject": st.sampled_from(["", "e.v", "other"]),
        "filter_subjects": st.lists(st.sampled_from(["e.v", "x", "y"]), unique=True, max_size=2),
        "priority_groups": st.lists(st.just("g"), max_size=1),
        "priority_policy": st.sampled_from(["none", "overflow", "pinned_client"]),
        "ack_policy": st.sampled_from(["explicit", "all", "none"]),
        "deliver_policy": st.sampled_from(["all", "new"]),
        "max_waiting": st.sampled_from([1, 512, 1000]),
        "metadata": st.dictionaries(st.sampled_from([FINGERPRINT, "team"]), st.text()),
        "a_field_of_2030": st.integers(),
    },
)


@given(fields=FIELDS)
def test_after_register_only_what_cannot_be_changed_differs(fields: dict[str, Any]) -> None:
    actual = DECLARED | fields
    found = differences_of(DECLARED, actual, "e.v")
    after = updated(actual, found)
    assert after.get("a_field_of_2030") == actual.get("a_field_of_2030")
    assert after.get("metadata", {}).get("team") == actual["metadata"].get("team")
    left = differences_of(DECLARED, after, "e.v")
    assert all(each.rule.register is not Action.CHANGE for each in left)
    assert updated(after, left) == after
    # Nobody listens to what register refuses.
    refused = {each.field for each in found if each.rule.register is Action.REFUSE}
    assert refused == {each.field for each in broken(left)}


@given(fields=FIELDS)
def test_each_difference_is_refused_said_or_without_effect(fields: dict[str, Any]) -> None:
    found = differences_of(DECLARED, DECLARED | fields, "e.v")
    said = "\n".join(warnings(found, datetime.now(UTC)))
    for each in found:
        if each.rule.listen is Action.WARN and each.field != "metadata":
            assert str(each) in said
        if each.rule.listen is Action.REFUSE:
            assert each in broken(found)


@given(fields=FIELDS)
def test_the_terms_are_within_what_the_server_does(fields: dict[str, Any]) -> None:
    terms = terms_of(DECLARED | fields)
    waits = [fields.get("ack_wait", 16 * SECOND), *fields.get("backoff", [])]
    assert terms.ack_wait > 0
    assert all(terms.ack_wait * SECOND <= wait for wait in waits if wait)


def test_the_terms_of_a_consumer() -> None:
    """In seconds; what the server leaves out, or has as 0, is no limit."""
    limits = {"max_batch": 5, "max_expires": 2_500_000_000, "max_bytes": 1000}
    assert terms_of({"ack_wait": 16 * SECOND} | limits) == Terms(16.0, 5, 2.5, 1000)
    assert terms_of({"ack_wait": 16 * SECOND} | dict.fromkeys(limits, 0)) == Terms(16.0)
    assert terms_of({}) == Terms(30.0)
    assert terms_of({"ack_wait": 0, "backoff": [0, 3 * SECOND]}) == Terms(3.0)


@pytest.mark.parametrize("filters", [{"filter_subject": "e.v"}, {"filter_subjects": ["e.v"]}])
def test_a_filter_that_lets_every_event_through_is_none(filters: dict[str, Any]) -> None:
    assert differences_of(DECLARED, DECLARED | filters, "e.v") == []


@pytest.mark.parametrize(
    "filters",
    [
        {"filter_subject": "other"},
        {"filter_subjects": ["x"]},
        {"filter_subjects": ["e.v", "x"]},
    ],
)
def test_a_filter_of_something_else_is_refused_and_put_right(filters: dict[str, Any]) -> None:
    actual = DECLARED | filters
    found = differences_of(DECLARED, actual, "e.v")
    assert broken(found)
    after = updated(actual, found)
    assert (after.get("filter_subject"), after.get("filter_subjects")) == ("e.v", None)


@pytest.mark.parametrize(
    ("expires", "refused"), [(0, False), (0.001, True), (0.049, True), (0.05, False), (1, False)]
)
def test_requests_that_may_wait_hardly_any_time(expires: float, refused: bool) -> None:
    actual = DECLARED | {"max_expires": round(expires * SECOND)}
    assert bool(broken(differences_of(DECLARED, actual, "e.v"))) == refused


@pytest.mark.parametrize(
    ("ack_wait", "period"), [(60, 2.5), (10, 2.5), (8, 2.0), (1, 0.25), (0.08, 0.02), (0.01, 0.02)]
)
def test_the_clock_goes_round_some_times_within_ack_wait(ack_wait: float, period: float) -> None:
    assert period_of(Terms(ack_wait)) == period


@pytest.mark.parametrize(
    ("poll_delay", "heartbeat", "silence"),
    [
        (30, 5.0, 10.0),
        (11, 5.5, 11.0),
        (10, 5.0, 10.0),
        (2, 1.0, 2.0),
        (1, 0.5, 1.0),
        (0.9, 0.0, 2.9),
    ],
)
def test_a_server_that_falls_silent_is_noticed_in_time(
    poll_delay: float, heartbeat: float, silence: float
) -> None:
    """It says something twice before it counts as silent, where there is time for that."""
    options = Options(False, None, poll_delay)
    assert (options.heartbeat, options.silence) == (heartbeat, silence)
    burst = Options(True, None, poll_delay)
    assert (burst.heartbeat, burst.silence) == (0.0, poll_delay + 2)


def test_options_are_kept_within_the_terms() -> None:
    options = Options(burst=False, batch=None, poll_delay=30)
    assert within(options, Terms(60)) == options
    assert within(options, Terms(60, 5, 2.0)) == Options(burst=False, batch=5, poll_delay=2.0)
    assert within(Options(False, 3, 1), Terms(60, 5, 2.0)) == Options(False, 3, 1)
    assert within(options, Terms(1)).poll_delay == 0.5


@given(
    ack_wait=st.floats(0.001, 1e6),
    poll_delay=st.floats(0.05, 1e6),
    max_expires=st.none() | st.floats(0.05, 1e6),
)
def test_no_request_outlives_ack_wait(
    ack_wait: float, poll_delay: float, max_expires: float | None
) -> None:
    """A process that hangs must not get again what it holds; it may have pulsed two rounds ago."""
    terms = Terms(ack_wait, max_expires=max_expires)
    delay = within(Options(False, None, poll_delay), terms).poll_delay
    assert 0.05 <= delay <= poll_delay
    assert max_expires is None or delay <= max_expires
    assert delay == 0.05 or delay + 2 * period_of(terms) <= ack_wait * 1.000001


@pytest.mark.parametrize(
    ("limit", "batch"), [(None, None), (10_000, 10), (500, 1), (32_000_000, None), (10**9, None)]
)
def test_requests_need_not_name_bytes(limit: int | None, batch: int | None) -> None:
    options = Options(False, None, 1, max_bytes=32_000_000, largest=1000)
    kept = within(options, Terms(60, max_bytes=limit))
    assert kept.batch == batch
    actor = Actor("a", EVENT, print)
    for count in (1, batch or 100):
        assert b"max_bytes" not in pull_requests(actor, b"inbox", kept, NO_PREFIXES)(count, False)
    assert b"max_bytes" in pull_requests(actor, b"inbox", kept, NO_PREFIXES)(100_000, False)


def test_a_burst_may_not_wait_at_all() -> None:
    assert within(Options(True, None, 0), Terms(16)).poll_delay == 0


def test_a_pause_is_said_until_it_ends() -> None:
    actual = DECLARED | {"pause_until": "2030-01-01T00:00:00.123456789Z"}
    found = differences_of(DECLARED, actual, "e.v")
    assert len(warnings(found, datetime(2029, 1, 1, tzinfo=UTC))) == 1
    assert warnings(found, datetime(2031, 1, 1, tzinfo=UTC)) == []


def test_every_rule_says_what_the_field_does() -> None:
    assert all(rule.effect for rule in CONSUMER_RULES)


# The fingerprint


class Handler:
    def __call__(self, number: int) -> None: ...

    def method(self, number: int) -> None: ...


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (handle, "handle"),
        (partial(partial(handle)), "handle"),
        (Handler(), "Handler"),
        (Handler().method, "Handler.method"),
        ([].append, "list.append"),
    ],
)
def test_the_handler_can_be_read_in_a_fingerprint(handler: Any, name: str) -> None:
    assert fingerprint(handler, 1).split(" ", 1)[1] == name


def test_what_makes_a_fingerprint_differ() -> None:
    first = fingerprint(handle, None, 32, (0.5, 1), True)
    assert fingerprint(handle, None, 32.0, (0.5, 1.0), True) == first
    for options in ((3, 32, (0.5, 1), True), (None, 31, (0.5, 1), True), (None, 32, (1,), True)):
        assert fingerprint(handle, *options) != first
    # True is not the number 1.
    assert fingerprint(handle, True) != fingerprint(handle, 1)


def test_a_name_that_nobody_could_send() -> None:
    def odd() -> None: ...

    odd.__qualname__ = "\ud800" * 500
    assert len(fingerprint(odd)) < 100
    fingerprint(odd).encode()
