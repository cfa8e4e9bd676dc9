"""Commands as bytes, and back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.link.protocol._wire import name, payload
from walnats_anyio._link.protocol import (
    PING,
    PONG,
    Message,
    Parser,
    Publication,
    connect,
    header_block,
    pub,
    read_publication,
    sub,
    unsub,
)

headers = st.just(b"") | payload | st.just(header_block({"A": "1"}))


@given(subject=name, data=payload, reply=st.just(b"") | name, block=headers)
def test_a_publication_comes_back_as_it_was(
    subject: bytes, data: bytes, reply: bytes, block: bytes
) -> None:
    command = pub(subject, data, reply, block)
    assert read_publication(command) == Publication(subject, reply, block, data)


@given(subject=name, data=payload, reply=st.just(b"") | name, block=headers)
def test_what_is_published_is_what_is_received(
    subject: bytes, data: bytes, reply: bytes, block: bytes
) -> None:
    """A server passes a publication on with the number of the subscription in it, and no more."""
    word, rest = pub(subject, data, reply, block).split(b"PUB ", 1)
    names, *sizes = rest.split(b" ", 1 if not reply else 2)[:1], rest
    assert names == [subject]
    delivered = b"%bMSG %b 7%b" % (word, subject, sizes[0][len(subject) :])
    assert Parser().receive(delivered) == [Message(b"7", subject, reply, data, block)]


def test_the_bytes() -> None:
    assert pub("a", b"hi") == b"PUB a 2\r\nhi\r\n"
    assert pub(b"a", b"", "r") == b"PUB a r 0\r\n\r\n"
    assert pub("ä", b"hi", b"r", b"HHHH") == "HPUB ä r 4 6\r\nHHHHhi\r\n".encode()
    assert sub(b"a.>", b"3") == b"SUB a.> 3\r\n"
    assert unsub(b"3") == b"UNSUB 3\r\n"
    assert (PING, PONG) == (b"PING\r\n", b"PONG\r\n")


def test_connect_is_one_line_of_json() -> None:
    fields = {"verbose": False, "name": "a\r\nPUB b 0\r\n\r\n", "user": "ä"}
    command = connect(fields)
    assert command.startswith(b"CONNECT {")
    assert command.index(b"\r\n") == len(command) - 2
    assert msgspec.json.decode(command[len(b"CONNECT ") :]) == fields


@pytest.mark.parametrize(
    "command",
    [
        b"", b"PUB", b"PUB\r\n", b"PUB \r\n\r\n", b"PUB a\r\n\r\n", b"PUB a x\r\nhi\r\n",
        b"PUB a 2\r\nhi",
        b"PUB a 2\r\nhiyo\r\n", b"PUB a 3\r\nhi\r\n", b"PUB a -2\r\n\r\n", b"PUB a b c 2\r\nhi\r\n",
        b"MSG a 2\r\nhi\r\n",
        b"HPUB a 2\r\nhi\r\n", b"HPUB a 3 2\r\nhi\r\n", b"HPUB a -1 2\r\nhi\r\n", b"SUB a 1\r\n",
        PING,
        b"PUB a 2\r\nhi\r\nPING\r\n",
    ],
)  # fmt: skip
def test_what_is_no_publication(command: bytes) -> None:
    with pytest.raises(ValueError, match=r"command to publish|invalid literal"):
        read_publication(command)


@given(st.binary(max_size=40) | st.binary(max_size=30).map(lambda data: b"PUB a 2" + data))
def test_any_bytes_are_a_publication_or_an_error(command: bytes) -> None:
    try:
        found = read_publication(command)
    except ValueError:
        return
    assert found.subject
