"""Letters on the wire: whatever a letter is like, it fits, and its payload is whole."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from walnats_anyio._letters import DeadLetter, from_wire, subject_of
from walnats_anyio._letters._wire import MAX_HEADERS, to_wire
from walnats_anyio._link import NO_PREFIXES

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Text(NamedTuple):
    """A text that may be large, and is short to show."""

    start: str
    char: str
    times: int

    def __str__(self) -> str:
        return self.start + self.char * self.times


class Sketch(NamedTuple):
    """A letter that may be large, and is short to show."""

    size: int
    headers: dict[str, Text]
    error: Text
    traceback: Text

    @property
    def letter(self) -> DeadLetter:
        return DeadLetter(
            event="shop.placed",
            actor="pack",
            payload=bytes(self.size),
            headers={name: str(value) for name, value in self.headers.items()},
            reason="exhausted",
            error_type="LookupError",
            error=str(self.error),
            traceback=str(self.traceback),
            attempts=1,
            stream="shop-placed",
            seq_number=1,
            emitted_at=MOMENT,
            died_at=MOMENT,
        )


chars = st.characters(codec=None)
texts = st.builds(Text, st.text(chars, max_size=20), chars, st.integers(0, 70_000))
headers = st.dictionaries(st.text(min_size=1, max_size=30), texts, max_size=5)
sketches = st.builds(Sketch, st.integers(0, 200_000), headers, texts, texts)


def spelled(text: str) -> str:
    """The text as it can be encoded."""
    return text.encode(errors="backslashreplace").decode()


@settings(deadline=None)
@example(Sketch(10, {}, Text("", "e", 0), Text("", "t", 70_000)), 200_000)
@given(sketches, st.integers(700, 200_000))
def test_every_letter_fits_and_keeps_its_payload(sketch: Sketch, max_payload: int) -> None:
    letter = sketch.letter
    wire = to_wire(letter, max_payload)
    assert len(wire.headers) <= MAX_HEADERS
    assert len(wire.headers) + len(wire.payload) <= max_payload
    assert all(0 < len(part) <= max_payload for part in wire.parts)
    assert wire.payload + b"".join(wire.parts) == letter.payload
    read = from_wire(subject_of(letter, NO_PREFIXES), wire.headers, letter.payload, 0, NO_PREFIXES)
    assert read.parts == len(wire.parts)
    # What is not whole is named, and nothing else.
    whole = {
        "traceback": read.traceback == spelled(letter.traceback),
        "error": read.error == spelled(letter.error),
        "headers": len(read.headers) == len(letter.headers),
    }
    assert {name for name, kept in whole.items() if not kept} == set(read.cut)
    assert (
        read.headers.items()
        <= {spelled(name): spelled(value) for name, value in letter.headers.items()}.items()
    )
    # Headers go last, and never for a payload; naming what was cut takes some bytes as well.
    if "headers" in read.cut:
        smallest = replace(letter, traceback="", error="", payload=b"")
        assert "headers" in _read(smallest, max_payload - 60).cut


def _read(letter: DeadLetter, max_payload: int) -> DeadLetter:
    wire = to_wire(letter, max_payload)
    return from_wire(subject_of(letter, NO_PREFIXES), wire.headers, letter.payload, 0, NO_PREFIXES)


@given(st.binary() | st.binary().map(lambda some: b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % some))
def test_random_bytes_are_no_letter(block: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_wire("walnats.dead.shop-placed.pack.1-1", block, b"", 1, NO_PREFIXES)


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.data())
def test_a_record_with_anything_in_it(data: st.DataObject) -> None:
    fields: dict[str, Any] = {
        "event": "shop.placed", "actor": "pack", "headers": {}, "reason": "died",
        "error_type": None, "error": "", "traceback": "", "attempts": 1, "stream": "shop-placed",
        "seq_number": 1, "emitted_at": "2026-01-01T12:00:00Z", "died_at": "2026-01-01T12:00:00Z",
        "cut": [], "parts": 0,
    }  # fmt: skip
    for name in data.draw(st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=3)):
        fields[name] = data.draw(json_values | st.datetimes().map(str))
    block = b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % json.dumps(fields).encode()
    try:
        letter = from_wire(
            "walnats.dead.shop-placed.pack.1-1767268800000000", block, b"", 1, NO_PREFIXES
        )
    except ValueError:
        return
    assert letter.died_at.utcoffset() is not None
    assert subject_of(letter, NO_PREFIXES) == "walnats.dead.shop-placed.pack.1-1767268800000000"
    assert isinstance(letter.headers, dict)
    assert letter.parts >= 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (b'"attempts":-1', "attempts"),
        (b'"died_at":"2026-01-01T12:00:00"', "died_at"),
        (b'"emitted_at":"0001-01-01T00:00:00+23:59"', "it belongs under"),
        (b'"parts":100000', "parts"),
        (b'"headers":' + b'{"a":' * 30_000 + b"1" + b"}" * 30_000, "."),
        (b'"extra":' + b"[" * 30_000 + b"]" * 30_000, "nested too deeply"),
        (b'"actor":"*"', "it belongs under"),
    ],
)
def test_what_is_no_letter_says_why(changes: bytes, told: str) -> None:
    fields = (
        b'{"event":"shop.placed","actor":"pack","headers":{},"reason":"died","error_type":null,'
        b'"error":"","traceback":"","attempts":1,"stream":"shop-placed","seq_number":1,'
        b'"emitted_at":"2026-01-01T12:00:00Z","died_at":"2026-01-01T12:00:00Z",%b}'
    )
    block = b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % (fields % changes)
    with pytest.raises(ValueError, match=told):
        from_wire("walnats.dead.shop-placed.pack.1-1767268800000000", block, b"", 1, NO_PREFIXES)


def test_a_wildcard_in_the_subject() -> None:
    fields = (
        b'{"event":"shop.placed","actor":"*","headers":{},"reason":"died","error_type":null,'
        b'"error":"","traceback":"","attempts":1,"stream":"shop-placed","seq_number":1,'
        b'"emitted_at":"2026-01-01T12:00:00Z","died_at":"2026-01-01T12:00:00Z"}'
    )
    block = b"NATS/1.0\r\nWalnats-Dead: %b\r\n\r\n" % fields
    with pytest.raises(ValueError, match="has a wildcard"):
        from_wire("walnats.dead.shop-placed.*.1-1767268800000000", block, b"", 1, NO_PREFIXES)
