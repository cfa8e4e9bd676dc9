"""The reply subjects of deliveries (ADR-15), also those that strangers make up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from walnats_anyio._link.protocol import Message, Metadata, SequencePair, is_ack_subject, usual_acks

NUMBER = st.integers(0, 2**64 - 1)
TOKEN = st.text(
    st.characters(codec="utf-8", exclude_characters=".*> \t\r\n\0"), min_size=1, max_size=12
)
V1 = b"$JS.ACK.orders.worker.1.2.3.1700000000123456789.4"
V2 = b"$JS.ACK.hub.ACC.orders.worker.1.2.3.1700000000123456789.4"


def subject(*tokens: object) -> bytes:
    return ".".join(map(str, ("$JS", "ACK", *tokens))).encode()


@given(
    place=st.none() | st.tuples(TOKEN | st.just("_"), TOKEN, st.lists(TOKEN, max_size=3)),
    stream=TOKEN, consumer=TOKEN,
    numbers=st.tuples(NUMBER, NUMBER, NUMBER, NUMBER, NUMBER),
)  # fmt: skip
def test_both_forms(
    place: tuple[str, str, list[str]] | None,
    stream: str,
    consumer: str,
    numbers: tuple[int, int, int, int, int],
) -> None:
    before, after = ((place[0], place[1]), place[2]) if place else ((), [])
    reply = subject(*before, stream, consumer, *numbers, *after)
    metadata = Message(b"1", b"a", reply, b"").metadata
    delivered, stream_number, consumer_number, time, pending = numbers
    assert metadata == Metadata(
        sequence=SequencePair(consumer=consumer_number, stream=stream_number),
        num_pending=pending,
        num_delivered=delivered,
        timestamp=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time // 1000),
        stream=stream,
        consumer=consumer,
        domain=None if place is None or place[0] == "_" else place[0],
    )
    assert is_ack_subject(reply, stream, consumer)
    usual = usual_acks(stream, consumer).fullmatch(reply)
    assert (usual is not None) == (place is None)
    assert not is_ack_subject(reply, stream, consumer + "x")
    assert not is_ack_subject(reply, stream + "x", consumer)


def test_the_time() -> None:
    assert Metadata.of(V1).timestamp == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert Metadata.of(V1).domain is None
    assert Metadata.of(V2).domain == "hub"


HOSTILE = [
    b"",
    b".",
    b"_INBOX.a.b",
    b"$JS.ACK",
    b"$JS.ACK.orders.worker.1.2.3.4",
    b"$JS.ACK.orders.worker.1.2.3.4.5.6",
    b"$JS.ack.orders.worker.1.2.3.4.5",
    b"$JS.ACK.orders.worker.1.2.3.4.",
    b"$JS.ACK.orders.worker.1.2.3..5",
    b"$JS.ACK.orders.worker.1.2.3.-4.5",
    b"$JS.ACK.orders.worker.+1.2.3.4.5",
    b"$JS.ACK.orders.worker.1_0.2.3.4.5",
    b"$JS.ACK.orders.worker.1.2.3.4.\x0b5",
    "$JS.ACK.orders.worker.\u0661.2.3.4.5".encode(),
    "$JS.ACK.orders.worker.².2.3.4.5".encode(),
    b"$JS.ACK.orders.worker.1.2.3.%b.5" % (b"9" * 30),
    b"$JS.ACK.orders.worker.1.2.3.4.%b" % (b"9" * 5000),
    b"$JS.ACK.orders.worker.1.2.3.4.5\xff",
    b"$JS.API.orders.worker.1.2.3.4.5",
    b"$JS.ACK.orders.worker.*.*.*.*.*",
    b"$JS.ACK.orders.worker.>",
    b"$JS.ACK.hub.ACC.orders.worker.1.2.3.x.4",
]


@pytest.mark.parametrize("reply", HOSTILE)
def test_what_is_no_delivery(reply: bytes) -> None:
    with pytest.raises(ValueError, match=r"is not the reply subject|something else|decode"):
        Metadata.of(reply)
    assert not is_ack_subject(reply, "orders", "worker")


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.other.worker.1.2.3.4.5",
        b"$JS.ACK.orders.other.1.2.3.4.5",
        b"$JS.ACK.worker.orders.1.2.3.4.5",
        b"$JS.ACK.orders.worker.other.other.1.2.3.4.5",  # in the place of domain and account
        b"$JS.ACK.Orders.worker.1.2.3.4.5",
        b"$JS.ACK.orders .worker.1.2.3.4.5",
    ],
)
def test_a_delivery_of_another_consumer(reply: bytes) -> None:
    Metadata.of(reply)
    assert usual_acks("orders", "worker").fullmatch(reply) is None
    assert not is_ack_subject(reply, "orders", "worker")


@given(
    st.binary(max_size=40)
    | st.lists(
        st.binary(max_size=6) | st.sampled_from([b"1", b"orders", b"worker"]), max_size=12
    ).map(lambda tokens: b".".join([b"$JS", b"ACK", *tokens]))
)
@example(V1)
@example(V2)
def test_any_subject_is_judged(reply: bytes) -> None:
    try:
        metadata = Metadata.of(reply)
    except ValueError:
        assert not is_ack_subject(reply, "orders", "worker")
    else:
        ours = (metadata.stream, metadata.consumer) == ("orders", "worker")
        assert is_ack_subject(reply, "orders", "worker") == ours
        assert reply.startswith(b"$JS.ACK.")
    if usual_acks("orders", "worker").fullmatch(reply) is not None:
        assert is_ack_subject(reply, "orders", "worker")


def test_an_error_shows_no_more_than_the_beginning() -> None:
    with pytest.raises(ValueError, match="is not the reply subject") as caught:
        Metadata.of(b"x" * 100_000)
    assert len(str(caught.value)) < 300
