"""What a real server has sent, read cut at every place. `corpus/record.py` has recorded it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.link.protocol._wire import byte_by_byte, parse
from tests.link.protocol.corpus.record import SCENES, conversation
from walnats_anyio._link.protocol import Err, HeaderError, Message, ServerInfo

CORPUS = Path(__file__).parent / "corpus"


def recorded(scene: str) -> bytes:
    return (CORPUS / f"{scene}.bin").read_bytes()


def messages(scene: str) -> list[Message]:
    return [event for event in parse([recorded(scene)]) if isinstance(event, Message)]


def errors(scene: str) -> list[str]:
    return [event.text for event in parse([recorded(scene)]) if isinstance(event, Err)]


def test_every_scene_is_recorded() -> None:
    assert {path.stem for path in CORPUS.glob("*.bin")} == SCENES.keys()


@pytest.mark.parametrize("scene", SCENES)
def test_cut_at_every_place(scene: str) -> None:
    data = recorded(scene)
    whole = parse([data])
    assert not any(isinstance(event, str) for event in whole), "a protocol error"
    assert isinstance(whole[0], ServerInfo)
    assert parse(byte_by_byte(data)) == whole
    for at in range(len(data) + 1):
        assert parse([data[:at], data[at:]]) == whole


@pytest.mark.parametrize("scene", SCENES)
def test_the_server_of_today_sends_the_same(scene: str) -> None:
    """But for names, numbers and times, and for how many heartbeats there are meanwhile."""

    def kinds(data: bytes) -> Counter[str]:
        events = [event for event in parse([data]) if b"NATS/1.0 100" not in header_of(event)]
        return Counter(type(event).__name__ for event in events)

    def header_of(event: object) -> bytes:
        return (isinstance(event, Message) and event.header) or b""

    with conversation(SCENES[scene]) as talk:
        assert kinds(talk.heard) == kinds(recorded(scene))


def test_payloads() -> None:
    received = [(m.subject, m.reply, m.data) for m in messages("publishing")]
    assert received == [
        (b"shop.paid", b"", b""),
        (b"shop.paid", b"back.1", b"hi"),
        (b"shop.paid", b"", b"\r\n"),
        (b"shop.paid", b"back.3", b"\r\nMSG a 1 2\r\nhi\r\n"),
        (b"shop.paid", b"", b"\0\xff\r"),
        (b"shop.paid", b"back.5", b"PING\r\n"),
        (b"shop.paid", b"", b"x" * 2048),
        (b"shop.\x0b7\x0c", b"re\x0bply", b"hi"),
    ]
    assert {m.sid for m in messages("publishing")} == {b"12"}


def test_header_blocks() -> None:
    found: list[dict[str, str] | None] = []
    for message in messages("headers"):
        assert message.data in (b"", b"hi\r\n")
        try:
            found.append(message.headers)
        except HeaderError:
            found.append(None)
    one, two = {"A": "1"}, {"A": "1", "B": ""}
    assert found == [one, one, two, two, {}, {}, None, None, None, None]


def test_statuses() -> None:
    found = [m.status for m in messages("statuses") if m.header]
    assert {code for code, _ in found} == {"100", "400", "404", "408", "409", "503"}
    assert ("503", "") in found
    assert ("404", "No Messages") in found
    assert ("100", "Idle Heartbeat") in found
    assert ("408", "Request Timeout") in found
    assert ("409", "Consumer Deleted") in found
    (delivery,) = [m for m in messages("statuses") if m.subject == b"s"]
    assert (delivery.metadata.stream, delivery.metadata.consumer) == ("S", "C")
    assert delivery.metadata.num_delivered == delivery.metadata.sequence.stream == 1


def test_errors() -> None:
    assert errors("refusals") == [
        'Permissions Violation for Subscription to "no.way"',
        'Permissions Violation for Subscription to "no.way" using queue "group"',
        'Permissions Violation for Publish to "no.way"',
        "Invalid Publish Subject",
        "Invalid Subject",
        "Maximum Payload Violation",
    ]
    assert errors("wrong-password") == ["Authorization Violation"]
    assert errors("unknown-command") == ["Unknown Protocol Operation"]
    assert errors("control-line") == ["maximum control line exceeded"]


def test_a_server_that_stops_says_so() -> None:
    first, *_, last = parse([recorded("lame-duck")])
    assert isinstance(first, ServerInfo)
    assert isinstance(last, ServerInfo)
    assert not first.ldm
    assert last.ldm
    assert last.max_payload == 2048
