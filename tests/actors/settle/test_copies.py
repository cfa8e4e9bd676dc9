"""Copies of events on the wire, and the notes that go with them: pure."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from walnats_anyio._actors.settle._copies import (
    Origin,
    as_emitted,
    block_of,
    expiry_of,
    next_origin,
    restored,
)
from walnats_anyio._actors.settle._notes import NOTHING, Note, before_delivery
from walnats_anyio._link import Message, parse_headers


def gave_way(counts: list[int], due: int, token: str = "0" * 16, taken_by: str = "") -> Note:
    delivery, attempts, deaths = counts
    return Note(delivery, attempts, deaths, due, token, taken_by)


TOKEN = st.text("0123456789abcdef", min_size=16, max_size=16)
COUNT = st.integers(0, 10**11 - 1)
PLACE = st.builds("{}-{}".format, st.integers(1, 2**63), st.integers(1, 2**63))
COUNTS = st.tuples(COUNT, COUNT, COUNT).map(lambda three: sorted(three, reverse=True))
ORIGIN = st.builds(
    lambda first, counts, before, token: Origin(
        first, counts[0], counts[1], counts[2], before, token
    ),
    PLACE, COUNTS, PLACE, TOKEN,
)  # fmt: skip
NAME = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z-]{0,20}", fullmatch=True),
    st.sampled_from(
        ["Nats-Msg-Id", "nats-ttl", "Walnats-Actor", "WALNATS-RETRY", "Walnats-Kept-Nats-X"]
    ),
)
HEADERS = st.dictionaries(NAME, st.from_regex(r"[!-~]{0,20}", fullmatch=True), max_size=6)
NOTE = st.builds(
    gave_way,
    COUNTS, st.integers(1, 10**13), TOKEN, st.just("") | PLACE,
)  # fmt: skip


def block(headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode() if headers else b""


@given(HEADERS, ORIGIN, HEADERS)
@settings(max_examples=50)
def test_the_headers_of_an_event_come_back(
    headers: dict[str, str], origin: Origin, added: dict[str, str]
) -> None:
    """Byte by byte, whatever the server adds to those of the copy."""
    copy = block_of(block(headers), "a", origin, {"Nats-Schedule": "@at now"})
    seen = parse_headers(copy)
    assert (seen["Walnats-Actor"], seen["Nats-Schedule"]) == ("a", "@at now")
    assert Origin.of(seen["Walnats-Retry"]) == origin
    ours = {"walnats-actor", "walnats-retry", "nats-schedule"}
    orders = {name for name in seen if name.lower().startswith("nats-")}
    assert {name.lower() for name in orders} <= ours
    more = {name: value for name, value in added.items() if name.lower().startswith("nats-")}
    arrived = copy[:-2] + b"".join(f"{name}: {value}\r\n".encode() for name, value in more.items())
    assert restored(arrived + b"\r\n") == block(headers)


@given(st.text(max_size=80))
@example("1-1 0 0 0 1-1 0123456789abcdeF")
@example("1-1 0 1 0 1-1 0123456789abcdef")
@example("1-1 2 1 2 1-1 0123456789abcdef")
@example("1-1 0 0 0 1-1 0123456789abcdef\n")
def test_what_anybody_may_write_is_an_origin_or_none(text: str) -> None:
    origin = Origin.of(text)
    assert origin is None or origin.to_wire() == text


@given(st.binary(max_size=200))
@example(b"NATS/1.0\r\nWalnats-Kept-\r\n\r\n")
def test_any_header_block_can_be_restored(data: bytes) -> None:
    """Whatever it is then; the job finds out."""
    found = restored(data)
    assert not found or found.startswith(b"NATS/1.0\r\n")


@given(NOTE)
def test_a_note_that_an_event_gave_way_is_read_as_it_was_written(note: Note) -> None:
    assert Note.of(note.to_wire()) == note
    assert note.gave_way("0-0")
    assert not note.taken_by or not note.gave_way(note.taken_by)


@given(PLACE, PLACE, st.lists(st.tuples(COUNTS, TOKEN), min_size=1, max_size=5))
def test_what_is_copied_again_adds_up(
    place: str, other: str, copies: list[tuple[list[int], str]]
) -> None:
    origin: Origin | None = None
    for counts, token in copies:
        note = gave_way(counts, 1, token)
        origin = next_origin(place if origin is None else other, origin, note)
    assert origin is not None
    sums = [sum(each) for each in zip(*(counts for counts, _ in copies), strict=True)]
    assert [origin.deliveries, origin.attempts, origin.deaths] == sums
    assert (origin.first, origin.token) == (place, copies[-1][1])


@given(
    st.none() | st.builds(gave_way, COUNTS, st.just(0)),
    st.integers(1, 50),
    st.none() | st.integers(1, 60),
    st.builds(gave_way, COUNTS, st.just(0)),
)
def test_attempts_before_the_copy_count(
    note: Note | None, delivery: int, most: int | None, before: Note
) -> None:
    """Whatever a note claims, they are no fewer, and no more than were delivered since."""
    known = before_delivery(note, delivery, most, frozenset(), before)
    assert before.attempts <= known.attempts <= before.attempts + delivery - 1
    assert before.deaths <= known.deaths <= known.attempts
    assert before_delivery(note, delivery, most, frozenset(), NOTHING) == before_delivery(
        note, delivery, most
    )


def message(header: bytes = b"", stored: int = 1_700_000_000_123_456_789) -> Message:
    reply = f"$JS.ACK.numbers.a.2.7.9.{stored}.0".encode()
    return Message(b"1", b"numbers", reply, b"payload", header)


def test_a_copy_looks_like_the_event() -> None:
    origin = Origin("3-1600000000000000000", 4, 3, 1, "5-1650000000000000000", "0" * 16)
    copy = as_emitted(message(block_of(b"", "a", origin, {})), origin)
    own, seen = message().metadata, copy.metadata
    assert (copy.reply, copy.data, copy.headers) == (message().reply, b"payload", {})
    assert (seen.sequence.stream, seen.sequence.consumer) == (3, own.sequence.consumer)
    assert seen.timestamp.timestamp() == 1_600_000_000
    assert seen.num_delivered == own.num_delivered + 4


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        ("60", 60), ("1s", 1), ("1m30s", 90), ("1.5h", 5400), ("500ms", 0.5), ("never", None),
        ("9" * 11, 99_999_999_999),
    ],
)  # fmt: skip
def test_when_an_event_expires(ttl: str, seconds: float | None) -> None:
    stored = 1_700_000_000.123456
    for max_age in (0, 8):
        expiry = expiry_of(message(block({"Nats-TTL": ttl})), max_age)
        assert expiry == (None if seconds is None else pytest.approx(stored + seconds))
    assert expiry_of(message(), 0) is None
    assert expiry_of(message(), 8) == pytest.approx(stored + 8)


@pytest.mark.parametrize("ttl", ["", "soon", "-1", "1s soon", "1e5", "9" * 12])
def test_a_time_to_live_that_is_none(ttl: str) -> None:
    with pytest.raises(ValueError, match="is no time to live"):
        expiry_of(message(block({"Nats-TTL": ttl})), 8)
