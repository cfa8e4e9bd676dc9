"""What a server means by `-ERR`: the table, the texts of nats-server, and the page of the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from walnats_anyio._link.protocol._refusals import TABLE, Meaning, Refusal, refusal_of

PAGE = Path(__file__).parents[2] / "docs/guides/connecting.md"

# Every text that nats-server 2.15.1 sends to clients (`sendErr`, `errProto`), then older ones.
TEXTS = [
    ("Authorization Violation", Meaning.AUTHORIZATION),
    ("User Authentication Expired", Meaning.AUTHORIZATION),
    ("User Authentication Revoked", Meaning.AUTHORIZATION),
    ("Account Authentication Expired", Meaning.AUTHORIZATION),
    ("Failed Account Registration", Meaning.AUTHORIZATION),
    ("Authentication Timeout", Meaning.RECONNECT),
    ("maximum account active connections exceeded", Meaning.RECONNECT),
    ("maximum connections exceeded", Meaning.RECONNECT),
    ("maximum subscriptions exceeded", Meaning.FAIL),
    ("Maximum Payload Violation", Meaning.RECONNECT),
    ("Invalid Publish Subject", Meaning.FAIL),
    ("Invalid Subject", Meaning.FAIL),
    ('Permissions Violation for Publish to "a.b"', Meaning.FAIL),
    ('Permissions Violation for Publish with Reply of "a.b"', Meaning.FAIL),
    ('Permissions Violation for Subscription to "a.b"', Meaning.FAIL),
    ('Permissions Violation for Subscription to "a.b" using queue "q"', Meaning.FAIL),
    ('Permissions Violation for Subscription to "a.b" (sid "7")', Meaning.FAIL),
    ('Permissions Violation for Subscription to "a.b" using queue "q" (sid "7")', Meaning.FAIL),
    ('Permissions Violation for Subscription to "a.b", too many tokens', Meaning.FAIL),
    ("Stale Connection", Meaning.RECONNECT),
    ("Unknown Protocol Operation", Meaning.RECONNECT),
    ("maximum control line exceeded", Meaning.RECONNECT),
    ("invalid client protocol", Meaning.RECONNECT),
    ("no responders requires headers support", Meaning.RECONNECT),
    ("Connection throttling is active. Please try again later.", Meaning.RECONNECT),
    ("Secure Connection - TLS Required", Meaning.TLS),
    ("attempted to connect to route port", Meaning.NOT_A_SERVER),
    ("attempted to connect to leaf node port", Meaning.NOT_A_SERVER),
    ("attempted to connect to gateway port", Meaning.NOT_A_SERVER),
    # Older
    ("Authorization Timeout", Meaning.RECONNECT),
    ("Maximum Connections Exceeded", Meaning.RECONNECT),
    ("Maximum Control Line Exceeded", Meaning.RECONNECT),
    ("Attempted To Connect To Route Port", Meaning.NOT_A_SERVER),
    ("Attempted To Connect To Leaf Node Port", Meaning.NOT_A_SERVER),
    ("Attempted To Connect To Gateway Port", Meaning.NOT_A_SERVER),
    ("Slow Consumer", Meaning.RECONNECT),
    ("Slow Consumer Detected", Meaning.RECONNECT),
    ("Server Shutdown", Meaning.RECONNECT),
    ("Parser Error", Meaning.RECONNECT),
]


@pytest.mark.parametrize(("text", "meaning"), TEXTS)
def test_a_text_of_the_server(text: str, meaning: Meaning) -> None:
    for said in (text, f"'{text}'", text.lower(), text.upper()):
        refusal = refusal_of(said)
        assert refusal.meaning is meaning
        assert refusal.text == said.strip("'")
    assert str(refusal_of(text)).startswith(f"{text}: ")


def test_every_row_is_reached() -> None:
    advice = {refusal_of(text).advice for text, _ in TEXTS}
    assert advice == {row.advice for row in TABLE}
    for row in TABLE:
        shown = re.sub(r" \[.*", "", row.shown)
        assert refusal_of(shown).advice == row.advice


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('Publish to "Orders.Paid"', ("publish", "Orders.Paid", None, None)),
        ('Publish to "$JS.API.CONSUMER.MSG.NEXT.S.c"',
         ("publish", "$JS.API.CONSUMER.MSG.NEXT.S.c", None, None)),
        ('Publish with Reply of "_INBOX.aB"', ("reply", "_INBOX.aB", None, None)),
        ('Subscription to "_INBOX.aB.>"', ("subscribe", "_INBOX.aB.>", None, None)),
        ('Subscription to "a" using queue "Q q"', ("subscribe", "a", "Q q", None)),
        ('Subscription to "a" (sid "12")', ("subscribe", "a", None, "12")),
        ('Subscription to "a" using queue "q" (sid "12")', ("subscribe", "a", "q", "12")),
        ('Subscription to "a.b", too many tokens', ("subscribe", "a.b", None, None)),
        (r'Publish to "a\"b\\c"', ("publish", 'a"b\\c', None, None)),
        (r'Publish to "a\x01\u200b\U000e0001\t"',
         ("publish", "a\x01\u200b\U000e0001\t", None, None)),
        ('Publish to "a\'b"', ("publish", "a'b", None, None)),
        ('Publish to "é"', ("publish", "é", None, None)),
    ],
)  # fmt: skip
def test_what_was_refused(text: str, refused: tuple[str, str, str | None, str | None]) -> None:
    found = refusal_of(f"'Permissions Violation for {text}'")
    assert (found.operation, found.subject, found.queue, found.sid) == refused


def test_what_is_refused_without_a_name() -> None:
    for text in ("maximum subscriptions exceeded", "Invalid Subject"):
        found = refusal_of(text)
        assert (found.operation, found.subject) == ("subscribe", None)


@pytest.mark.parametrize("text", ["", "'", "''", "Something New", "'x", "Permissions", "\x00"])
def test_what_is_not_in_the_table(text: str) -> None:
    found = refusal_of(text)
    assert found.meaning is Meaning.UNKNOWN
    assert not found.meaning.fatal_at_first
    assert "server's log" in str(found)


def test_quotes_around_nothing() -> None:
    assert refusal_of("''").text == ""


def test_what_is_fatal_before_the_first_connection_stood() -> None:
    fatal = {meaning for meaning in Meaning if meaning.fatal_at_first}
    assert fatal == {Meaning.AUTHORIZATION, Meaning.NOT_A_SERVER, Meaning.TLS}


@given(st.text())
@example('Permissions Violation for Publish to "' + "\\" * 1000)
@example(r'Permissions Violation for Publish to "\Uffffffff"')
def test_whatever_a_server_says(text: str) -> None:
    assert isinstance(refusal_of(text), Refusal)


@given(st.text())
def test_a_subject_comes_through_as_it_was(subject: str) -> None:
    quoted = subject.replace("\\", "\\\\").replace('"', '\\"')
    found = refusal_of(f"'Permissions Violation for Publish to \"{quoted}\"'")
    assert found.subject == subject


def test_the_page_has_the_table() -> None:
    _, _, rest = PAGE.read_text().partition("| the server says | kind |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert rows == [[f"`{row.shown}`", row.meaning.value, row.advice] for row in TABLE]
