"""INFO, as a server sends it, and as somebody sends it who means harm."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.link.protocol._wire import byte_by_byte, parse
from walnats_anyio._link.protocol import Parser, ProtocolError, ServerInfo


def test_what_is_not_said_has_its_default() -> None:
    assert parse([b"INFO {}\r\n"]) == [ServerInfo()]
    said = {name: value for name, value in msgspec.to_builtins(ServerInfo()).items() if value}
    assert said == {"max_payload": 1024 * 1024}


def test_what_is_not_known_is_ignored() -> None:
    data = b'INFO {"server_id":"A","cluster":"c","xkey":null,"proto":1,"x":{"y":[1.5]}} \r\n'
    assert parse([data]) == [ServerInfo(server_id="A")]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"5", b'""', b"{} {}", b'{"x":NaN}', b"\xff",
        b'{"server_id":"\xff"}',
        b'{"server_id":null}', b'{"server_id":5}', b'{"ldm":1}', b'{"ldm":"true"}',
        b'{"connect_urls":"a:1"}', b'{"connect_urls":[1]}', b'{"connect_urls":null}',
        b'{"connect_urls":["\\ud800"]}', b'{"nonce":1}', b'{"max_payload":0}',
        b'{"max_payload":-1}',
        b'{"max_payload":1.5}', b'{"max_payload":"1"}', b'{"max_payload":true}',
        b'{"max_payload":2147483648}', b'{"max_payload":1' + b"0" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_info(body: bytes) -> None:
    data = b"INFO %b\r\nPING\r\n" % body
    (error,) = parse([data])
    assert error.startswith("malformed INFO: ")
    assert len(error) < 300
    assert parse(byte_by_byte(data)) == [error]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("field", [b"x", b"connect_urls", b"server_id"])
def test_deeply_nested(opening: bytes, field: bytes) -> None:
    for depth in (2_000, 100_000):
        parser = Parser()
        (event,) = parser.receive(b'INFO {"%b":%b\r\n' % (field, opening * depth))
        assert isinstance(event, ProtocolError)
        assert str(event).startswith("malformed INFO: ")


def test_larger_than_a_line_may_be() -> None:
    body = b'{"connect_urls":[%b"a:1"]}' % (b'"a:1",' * 300_000)
    (error,) = parse([b"INFO %b\r\n" % body])
    assert error == "a line of over 1048576 bytes"


def test_many_servers() -> None:
    body = b'{"connect_urls":[%b"a:1"]}' % (b'"a:1",' * 10_000)
    (info,) = parse([b"INFO %b\r\n" % body])
    assert len(info.connect_urls) == 10_001


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["server_id", "max_payload", "ldm", "connect_urls", "x"]), inner, max_size=4
    ),
    max_leaves=10,
))  # fmt: skip
def test_any_json_is_info_or_an_error(value: object) -> None:
    (event,) = Parser().receive(b"INFO %b\r\n" % json.dumps(value).encode())
    assert isinstance(event, ServerInfo | ProtocolError)
    if isinstance(event, ServerInfo):
        for text in [event.server_id, *event.connect_urls]:
            text.encode()
