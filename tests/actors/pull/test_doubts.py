"""What makes an actor look at its consumer again; no server, no clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walnats_anyio._actors.pull._consumer_rules import Terms
from walnats_anyio._actors.pull._doubts import UNKNOWN_FOR, Doubts, event_of
from walnats_anyio._actors.pull._intake import Meaning

STRIPPED = {"Nats-Msg-Size": "7"}


ODD = (Meaning.LATER, Meaning.UNKNOWN, Meaning.REFUSED, Meaning.DELETED)
"""What makes an actor look at its consumer; all but the first end `listen` if they go on."""


def reply(event: int, delivery: int, *, newer: bool = False) -> bytes:
    before = "$JS.ACK._.hash." if newer else "$JS.ACK."
    return f"{before}stream.actor.{delivery}.{event}.{event + delivery}.1700000000.0".encode()


def delivery_of(event: int, delivery: int, *, newer: bool = False) -> Any:
    """As much of a delivery as is looked at."""
    return SimpleNamespace(message=SimpleNamespace(reply=reply(event, delivery, newer=newer)))


@pytest.fixture
def doubts() -> Doubts:
    return Doubts("a", 16)


@pytest.mark.parametrize("newer", [False, True])
def test_the_event_of_a_delivery(newer: bool) -> None:
    assert event_of(reply(42, 3, newer=newer)) == b"42"


@pytest.mark.parametrize("meaning", Meaning)
def test_what_is_odd_in_a_status(doubts: Doubts, meaning: Meaning) -> None:
    doubts.status(meaning, "409", "something")
    assert doubts.look == (meaning in ODD)
    assert bool(doubts.unknown) == (meaning in ODD[1:])


def test_an_unknown_status_ends_it_in_time(doubts: Doubts) -> None:
    doubts.status(Meaning.UNKNOWN, "499", "New")
    assert doubts.tick(UNKNOWN_FOR - 0.5) is None
    doubts.status(Meaning.UNKNOWN, "499", "New")
    problem = doubts.tick(0.5)
    assert "499 New" in str(problem)
    assert UNKNOWN_FOR < 60


def test_each_odd_status_is_said_once(doubts: Doubts, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        doubts.status(Meaning.LATER, "409", "Exceeded MaxWaiting")
        doubts.status(Meaning.UNKNOWN, "499", "New")
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    told = "the server does not take its requests for now: "
    assert said == [told + "409 Exceeded MaxWaiting", told + "499 New"]


@pytest.mark.parametrize("known", [each for each in Meaning if each not in (*ODD, Meaning.NOTHING)])
def test_a_known_status_ends_the_doubt(doubts: Doubts, known: Meaning) -> None:
    doubts.status(Meaning.UNKNOWN, "499", "New")
    doubts.tick(UNKNOWN_FOR - 1)
    doubts.status(known, "408", "")
    assert doubts.tick(2) is None
    doubts.status(Meaning.UNKNOWN, "499", "New")
    assert doubts.tick(2) is None


@pytest.mark.parametrize("meaning", [Meaning.LATER, Meaning.NOTHING])
def test_others_do_not(doubts: Doubts, meaning: Meaning) -> None:
    doubts.status(Meaning.UNKNOWN, "499", "New")
    doubts.status(meaning, "", "")
    assert doubts.tick(UNKNOWN_FOR) is not None


def test_an_event_without_its_payload(doubts: Doubts) -> None:
    assert not doubts.stripped({}, b"")
    assert not doubts.stripped(STRIPPED, b"payload")
    assert not doubts.stripped({"Nats-Msg-Size": "0"}, b"")
    assert not doubts.look
    assert doubts.stripped(STRIPPED, b"")
    assert doubts.look
    doubts.looked(Terms(16))
    assert not doubts.stripped(STRIPPED, b"")


@given(held=st.sets(st.integers(1, 9)), again=st.integers(1, 9), newer=st.booleans())
def test_an_event_that_comes_again_while_it_is_held(
    held: set[int], again: int, newer: bool
) -> None:
    doubts = Doubts("a", 16)
    came = delivery_of(again, 2, newer=newer)
    doubts.came_again(came, [came, *(delivery_of(event, 1, newer=newer) for event in held)])
    assert doubts.look == (again in held)
