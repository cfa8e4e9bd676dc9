"""Names and headers: what is refused would break, what is accepted works on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.link.jetstream import JetStream
from walnats_anyio._link._names import check_header, check_name
from walnats_anyio.testing import NatsServer

Kind = Literal["event", "actor"]
KINDS: list[Kind] = ["event", "actor"]

LONGEST = "a" * 255
ACCEPTED = [
    "a",
    "A-b_C",
    "user-created",
    "0",
    "a,b",
    "a:b",
    'a"b',
    "a%b#c?d~e{f}",
    "_a",
    "_INBOXES",
    "a$",
    "größe",
    "日本",
    "\U0001f980",
    LONGEST,
    "é" * 127,
]
ACCEPTED_EVENTS = ["a.b", "a.b.c", "a._INBOX", "a.$b", ".".join("a" * 128)]

# What the server refuses itself, or accepts and then answers in a way no client understands.
BREAKING = [
    "",
    " ",
    "a b",
    " a",
    "a ",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\x00b",
    "a\x01b",
    "a\x0bb",
    "a\x0cb",
    "a\x7fb",
    "a\U000e0001b",
    "a\U000f0000b",
    "*",
    "a*",
    ">",
    "a>",
    "a/b",
    "a\\b",
    LONGEST + "a",
    "é" * 128,
]
BREAKING_EVENTS = [
    ".",
    "a.",
    ".a",
    "a..b",
    "a.*",
    "a.>",
    "$JS.a",
    "$SYS.a",
    "$NRG.a",
    "_GR_.a",
    "a." + LONGEST,
]
# Works today, and is refused all the same: nobody sees it, or NATS keeps it for itself.
UNWISE = ["a\xa0b", "a\u2003b", "a\u2028b", "a\u200bb", "\ufeffa", "a\x85b", "a\ud800b"]
UNWISE_EVENTS = ["$a", "$JS", "$KV.a", "$", "_INBOX.a", "_R_.a", "_INBOX"]


@pytest.fixture(scope="module")
def jetstream() -> Iterator[JetStream]:
    with NatsServer() as server, JetStream(server.url) as jetstream:
        yield jetstream


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ACCEPTED)
def test_names_of_any_kind_are_accepted(kind: Kind, name: str) -> None:
    check_name(kind, name)


@pytest.mark.parametrize("name", ACCEPTED_EVENTS)
def test_names_of_events_are_accepted(name: str) -> None:
    check_name("event", name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BREAKING + UNWISE)
def test_names_of_any_kind_are_refused(kind: Kind, name: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} name ") as caught:
        check_name(kind, name)
    assert repr(name)[1:20] in str(caught.value)


@pytest.mark.parametrize("name", BREAKING_EVENTS + UNWISE_EVENTS)
def test_names_of_events_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="event name "):
        check_name("event", name)


@pytest.mark.parametrize("name", ["a.b", ".", "a."])
def test_an_actor_has_no_dots(name: str) -> None:
    with pytest.raises(ValueError, match=r"'\.', which separates"):
        check_name("actor", name)


@pytest.mark.parametrize("name", [None, 1, b"a", ["a"]])
def test_a_name_is_a_string(name: object) -> None:
    with pytest.raises(TypeError, match="event name must be a str"):
        check_name("event", name)


def test_a_very_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError, match="100000 bytes long") as caught:
        check_name("event", "a" * 100_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("storage", ["file", "memory"])
@pytest.mark.parametrize("name", ACCEPTED + ACCEPTED_EVENTS)
def test_the_server_takes_events_that_are_accepted(
    jetstream: JetStream, name: str, storage: str
) -> None:
    assert jetstream.problem_with_event(name, storage) is None


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_server_takes_actors_that_are_accepted(jetstream: JetStream, name: str) -> None:
    assert jetstream.problem_with_actor(name) is None


@pytest.mark.parametrize("name", BREAKING + BREAKING_EVENTS)
def test_events_that_are_refused_would_break(jetstream: JetStream, name: str) -> None:
    assert jetstream.problem_with_event(name, "file") is not None


# Up to U+FFFF: beyond it Python may know characters as visible that the server does not know yet.
VISIBLE = st.characters(max_codepoint=0xFFFF, categories=["L", "M", "N", "P", "S"])
CHARACTERS = (
    VISIBLE
    | VISIBLE
    | st.characters(max_codepoint=0xFFFF)
    | st.sampled_from(".*>/\\ $_-\t\n\x7fé\U0001f980")
)


@settings(max_examples=150, deadline=None)
@given(name=st.text(CHARACTERS, min_size=1, max_size=12))
@example(name="A.a")
def test_whatever_name_is_accepted_works(jetstream: JetStream, name: str) -> None:
    try:
        check_name("event", name)
    except ValueError:
        return
    assert jetstream.problem_with_event(name, "memory") is None


HEADERS = [
    ("Nats-Msg-Id", "1"),
    ("a", ""),
    ("a", "b c\td"),
    ("a", "größe 日本 \U0001f980"),
    ("a", "a: b"),
    ("a", "a\u2028b"),
    ("!#$%&'*+-.^_`|~09AZaz", "x"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_headers_are_accepted_and_arrive(jetstream: JetStream, name: str, value: str) -> None:
    check_header(name, value)
    assert jetstream.header_as_received(name, value) == value


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nNats-Rollup: all",
        "a\nb",
        "a\rb",
        "\r\n",
        "a\x00b",
        "a\x0bb",
        "a\x1cb",
        "a\x7fb",
        " a",
        "a ",
        "\ta",
        "a\t",
        "a\xa0",
        "\u2003a",
        " ",
        "a\ud800b",
    ],
)
def test_header_values_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="header 'Walnats-Trace'"):
        check_header("Walnats-Trace", value)


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:", "a\r\nb", "a\n", "é", "a\x00", "(a)", '"a"']
)
def test_header_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="header name"):
        check_header(name, "x")


def test_headers_are_strings() -> None:
    with pytest.raises(TypeError, match="header name must be a str"):
        check_header(b"a", "x")
    with pytest.raises(TypeError, match="header 'a' must be a str, not int"):
        check_header("a", 1)


@settings(max_examples=150, deadline=None)
@given(value=st.text(st.characters() | st.sampled_from(" \t\r\n\x00\x0b\x1c\x85\xa0"), max_size=12))
def test_whatever_header_is_accepted_arrives_as_it_was(jetstream: JetStream, value: str) -> None:
    try:
        check_header("a", value)
    except ValueError:
        return
    assert jetstream.header_as_received("a", value) == value
