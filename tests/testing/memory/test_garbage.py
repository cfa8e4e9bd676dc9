"""Whatever a client says, the engine does not break: it answers, or closes the connection."""

from __future__ import annotations

import json
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio._link.protocol import Parser, ProtocolError
from walnats_anyio.testing._memory._engine import Client, Engine, Settings

EXAMPLES = int(os.environ.get("WALNATS_FUZZ", "20"))

START = 1_767_225_600 * 10**9
SECOND = 10**9

API = [
    "STREAM.CREATE.s",
    "STREAM.UPDATE.s",
    "STREAM.INFO.s",
    "STREAM.DELETE.s",
    "STREAM.PURGE.s",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.MSG.GET.s",
    "STREAM.MSG.DELETE.s",
    "CONSUMER.CREATE.s",
    "CONSUMER.CREATE.s.c",
    "CONSUMER.CREATE.s.c.a.x",
    "CONSUMER.DURABLE.CREATE.s.c",
    "CONSUMER.INFO.s.c",
    "CONSUMER.DELETE.s.c",
    "CONSUMER.PAUSE.s.c",
    "CONSUMER.NAMES.s",
    "CONSUMER.LIST.s",
    "CONSUMER.MSG.NEXT.s.c",
    "DIRECT.GET.s",
    "DIRECT.GET.s.a.x",
    "INFO",
    "FOO",
    "STREAM",
    "CONSUMER.CREATE",
]

numbers = st.one_of(
    st.integers(-5, 5), st.integers(), st.just(2**63), st.floats(), st.sampled_from([SECOND])
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), st.sampled_from(["s", "c"])),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=3,
)
FIELDS = [
    "name",
    "subjects",
    "retention",
    "max_msgs",
    "max_bytes",
    "max_age",
    "discard",
    "storage",
    "duplicate_window",
    "max_msgs_per_subject",
    "allow_direct",
    "allow_msg_ttl",
    "config",
    "stream_name",
    "durable_name",
    "ack_policy",
    "ack_wait",
    "max_deliver",
    "backoff",
    "filter_subject",
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "batch",
    "expires",
    "no_wait",
    "max_bytes",
    "idle_heartbeat",
    "seq",
    "last_by_subj",
    "next_by_subj",
    "start_time",
    "keep",
    "filter",
    "offset",
    "pause_until",
    "subjects_filter",
    "action",
    "republish",
    "metadata",
]
bodies = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=5).map(json.dumps),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=5).map(
        lambda config: json.dumps({"stream_name": "s", "config": config})
    ),
    st.text(max_size=20),
).map(lambda text: text.encode(errors="surrogatepass"))


def connected(engine: Engine) -> Client:
    client = engine.connect()
    engine.greet(client)
    engine.receive(client, b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
    return client


def new_engine() -> Engine:
    return Engine(Settings("memory", "MEMORY", "2.15.1", 1024, 0), START)


def check(client: Client) -> None:
    """What the engine says is the protocol, and about JetStream JSON."""
    for event in Parser().receive(bytes(client.output)):
        assert not isinstance(event, ProtocolError)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes(chunks: list[bytes]) -> None:
    engine = new_engine()
    client = engine.connect()
    engine.greet(client)
    for chunk in chunks:
        engine.receive(client, chunk)
    check(client)


words = st.sampled_from([b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"CONNECT", b"+OK", b"pub"])
arguments = st.lists(st.sampled_from([b"a", b"*", b">", b"a..b", b"0", b"3", b"12", b"-1", b"{}"]))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(words, arguments, st.binary(max_size=12)), max_size=8), st.data())
def test_nearly_commands(
    lines: list[tuple[bytes, list[bytes], bytes]], data: st.DataObject
) -> None:
    """Cut anywhere, they mean the same."""
    said = b"".join(
        b" ".join([word, *parts]) + b"\r\n" + payload + (b"\r\n" if payload else b"")
        for word, parts, payload in lines
    )
    whole, cut = new_engine(), new_engine()
    one, other = connected(whole), connected(cut)
    whole.receive(one, said)
    while said:
        size = data.draw(st.integers(1, len(said)))
        cut.receive(other, said[:size])
        said = said[size:]
    check(one)
    assert one.output == other.output
    assert one.closed == other.closed


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(API), bodies, st.integers(0, 3)), max_size=12))
def test_any_requests(requests: list[tuple[str, bytes, int]]) -> None:
    engine = new_engine()
    client = connected(engine)
    engine.receive(client, b"SUB inbox 1\r\n")
    setup = [
        ("STREAM.CREATE.s", b'{"name":"s","subjects":["a.*"],"allow_direct":true}', 0),
        ("CONSUMER.CREATE.s.c", b'{"stream_name":"s","config":{"ack_policy":"explicit"}}', 0),
    ]
    for subject, body, seconds in [*setup, *requests]:
        engine.receive(client, b"PUB a.x inbox 1\r\nx\r\n")
        said = b"PUB $JS.API.%b inbox %d\r\n%b\r\n" % (subject.encode(), len(body), body)
        engine.receive(client, said)
        engine.advance(engine.timers.now + seconds * SECOND)
    check(client)
    assert not client.closed


acks = st.sampled_from(
    [b"", b"+ACK", b"-NAK", b'-NAK {"delay": 1}', b"-NAK 1s", b"-NAK {", b"+WPI", b"+TERM x",
     b"+NXT", b"+NXT 5", b"+NXT {", b"-NAK 99999999999h", b'-NAK {"delay": -9223372036854775808}',
     b'-NAK {"delay": "x"}', b"-NAK []"]
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(
                st.sampled_from(["0", "1", "2", "3", "x", "-1", "99999999999999999999"]),
                min_size=5,
                max_size=5,
            ),
            acks,
        ),
        max_size=10,
    )
)
def test_any_acknowledgements(said: list[tuple[list[str], bytes]]) -> None:
    engine = new_engine()
    client = connected(engine)
    engine.receive(client, b"SUB inbox 1\r\n")
    for subject, body in (
        (b"STREAM.CREATE.s", b'{"name":"s","subjects":["a.*"],"retention":"interest"}'),
        (
            b"CONSUMER.CREATE.s.c",
            b'{"stream_name":"s","config":{"ack_policy":"explicit"}}',
        ),
        (b"CONSUMER.MSG.NEXT.s.c", b'{"batch":9,"expires":90000000000}'),
    ):
        engine.receive(client, b"PUB $JS.API.%b inbox %d\r\n%b\r\n" % (subject, len(body), body))
    for tokens, payload in said:
        engine.receive(client, b"PUB a.x 1\r\nx\r\n")
        target = f"$JS.ACK.s.c.{'.'.join(tokens)}".encode()
        engine.receive(client, b"PUB %b inbox %d\r\n%b\r\n" % (target, len(payload), payload))
        engine.advance(engine.timers.now + 20 * SECOND)
    check(client)
    assert not client.closed
