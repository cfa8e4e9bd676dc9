"""How a letter is kept on the wire: its payload as it is, everything else as JSON in one header.

Pure. The server limits a header block (64 KiB) and a message (`max_payload`), and a letter must be
written whatever its event is like, or the event would come again for ever. So `to_wire` cuts what
only explains: the traceback, then the error. Where that is not enough the payload goes into
messages of its own. The headers of the event are cut only where they alone are too large, and the
payload never is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from walnats_anyio._events._headers import header_block
from walnats_anyio._letters._failure import clean, keep_end, keep_start
from walnats_anyio._letters._letter import DeadLetter, subject_of
from walnats_anyio._link import Prefixes

HEADER = "Walnats-Dead"
"""The header of a stored letter that holds everything but the payload, as JSON."""

MAX_HEADERS = 2**16 - 1
"""The largest header block, in bytes, that a stream stores."""

MAX_PARTS = 1_000
"""Messages into which a payload goes at most; somebody else may have written what is read."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class _Record(msgspec.Struct, kw_only=True):
    """What the header holds. Letters of older versions lack the fields that have defaults."""

    event: str
    actor: str
    headers: dict[str, str]
    reason: str
    error_type: str | None
    error: str
    traceback: str
    attempts: Count
    stream: str
    seq_number: Count
    emitted_at: Moment
    died_at: Moment
    cut: tuple[str, ...] = ()
    parts: Annotated[int, msgspec.Meta(ge=0, le=MAX_PARTS)] = 0


@dataclass(frozen=True)
class WireLetter:
    """A letter as it is published: first the parts, then the one message that names them."""

    headers: bytes
    """The header block of the letter's own message."""

    payload: bytes
    """The payload of it: that of the event, or nothing where there are parts."""

    parts: tuple[bytes, ...]
    """The payload of the event, where it needs messages of its own."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Record)


def to_wire(letter: DeadLetter, max_payload: int) -> WireLetter:
    """Encode a letter into messages that the server takes.

    Args:
        letter: the letter.
        max_payload: the largest message, headers included, in bytes.

    Raises:
        ValueError: `max_payload` is too small for the names of the event and the actor alone.
    """
    payload, record = letter.payload, _record_of(letter)
    beside = max_payload - len(payload)
    block = _shorten(record, min(MAX_HEADERS, beside))
    if block is not None:
        return WireLetter(block, payload, ())
    record = _record_of(letter)
    parts = _split(payload, max_payload) if beside < MAX_HEADERS else ()
    record.parts = len(parts)
    block = _shorten_all(record, min(MAX_HEADERS, max_payload))
    if block is None or len(parts) > MAX_PARTS:
        raise ValueError(
            f"the server takes messages of {max_payload} bytes, which is too little for any dead "
            "letter of it: raise its max_payload, or declare the actor with dead_letters=False"
        )
    return WireLetter(block, b"" if parts else payload, parts)


def from_wire(
    subject: str, header: bytes, payload: bytes, number: int, prefixes: Prefixes
) -> DeadLetter:
    """Read a letter; where its payload is in parts, `payload` is still to be put together.

    A letter is written by an actor, but perhaps by somebody else. What is given back has fields of
    the right types and belongs under its subject; whether its names are any is not checked.

    Raises:
        ValueError: it is no letter; the message says why.
    """
    try:
        record = _decoder.decode(_value_of(header))
    except RecursionError:
        raise ValueError(f"its header {HEADER} is nested too deeply") from None
    values = {name: getattr(record, name) for name in _Record.__struct_fields__}
    letter = DeadLetter(payload=payload, number=number, **values)
    own = subject_of(letter, prefixes)
    if own != subject:
        raise ValueError(f"it belongs under {own!r}, and is under {subject!r}")
    if {"*", ">"} & {letter.stream, letter.actor}:
        raise ValueError(f"its subject {subject!r} has a wildcard")
    return letter


def _record_of(letter: DeadLetter) -> _Record:
    record = _Record(**{name: getattr(letter, name) for name in _Record.__struct_fields__})
    record.headers = {clean(name): clean(value) for name, value in letter.headers.items()}
    record.error, record.traceback = clean(letter.error), clean(letter.traceback)
    record.parts = 0
    return record


def _block_of(record: _Record) -> bytes:
    # JSON leaves DEL as it is, and a header may not have it.
    value = _encoder.encode(record).decode().replace("\x7f", "\\u007f")
    return header_block(None, None, {HEADER: value})


def _shorten(record: _Record, room: int) -> bytes | None:
    """The header block, with as much of the traceback and the error as has room.

    None: there is no room without both.
    """
    block = _block_of(record)
    if len(block) <= room:
        return block
    for name, keep in (("traceback", keep_end), ("error", keep_start)):
        text = getattr(record, name)
        if not text:
            continue
        record.cut = tuple(dict.fromkeys((*record.cut, name)))
        setattr(record, name, "")
        if len(_block_of(record)) <= room:
            return _keep_most(record, name, text, keep, room)
    return None


def _keep_most(
    record: _Record, name: str, text: str, keep: Callable[[str, int], str], room: int
) -> bytes:
    # By halves, as nobody knows how many bytes JSON makes of a character.
    most, too_many = 0, len(text)
    while too_many - most > 1:
        tried = (most + too_many) // 2
        setattr(record, name, keep(text, tried))
        if len(_block_of(record)) <= room:
            most = tried
        else:
            too_many = tried
    setattr(record, name, keep(text, most))
    return _block_of(record)


def _shorten_all(record: _Record, room: int) -> bytes | None:
    """The header block, also without the largest headers of the event where it must be.

    None: there is not even room for the names.
    """
    error, traceback = record.error, record.traceback
    block = _shorten(record, room)
    if block is not None:
        return block
    # Measured as JSON, which makes up to six bytes of a character, and with the longest `cut`.
    record.cut = ("headers", "traceback", "error")
    sizes = {name: len(_encoder.encode({name: one})) for name, one in record.headers.items()}
    by_size = sorted(sizes, key=lambda name: sizes[name])
    excess = len(_block_of(record)) - room
    while excess > 0 and by_size:
        while excess > 0 and by_size:
            name = by_size.pop()
            del record.headers[name]
            excess -= sizes[name]
        excess = len(_block_of(record)) - room
    # Now there may be room for the others again.
    record.error, record.traceback, record.cut = error, traceback, ("headers",)
    return _shorten(record, room)


def _split(payload: bytes, most: int) -> tuple[bytes, ...]:
    return tuple(payload[at : at + most] for at in range(0, len(payload), most))


def _value_of(block: bytes) -> bytes:
    for line in block.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == HEADER.encode():
            return value.strip()
    raise ValueError(f"it has no header {HEADER}")
