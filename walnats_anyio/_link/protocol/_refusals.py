"""What a server means by `-ERR`: one table, and the rule that reads it.

The texts are those of nats-server 2.15 (`sendErr` and its callers), and some that only older
servers send. Servers disagree about upper and lower case, so a pattern is matched without regard
to it; the subjects in a text keep theirs.

The table has one principle: a fault that can pass never ends a connection that once stood. What
is fatal before that (a wrong password, a port that is not for clients) is tried again after it,
with back-off, because an administrator may have made the fault and may mend it.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Meaning(enum.Enum):
    """What the connection does about an `-ERR`."""

    RECONNECT = "connect again"
    """The server closes the connection: connect again, with back-off."""

    FAIL = "fail the call"
    """The connection stays. The publication or subscription that caused it fails."""

    AUTHORIZATION = "authorization"
    """The server refuses us. Credentials are read again for the next attempt."""

    NOT_A_SERVER = "wrong port"
    """The port speaks another protocol of NATS."""

    TLS = "TLS"
    """The server wants TLS, or TLS in another way."""

    UNKNOWN = "unknown"
    """Not in the table: log it, and connect again if the server closes the connection."""

    @property
    def fatal_at_first(self) -> bool:
        """Whether it ends `connect()`, unless another server accepts; never once connected."""
        return self in (Meaning.AUTHORIZATION, Meaning.NOT_A_SERVER, Meaning.TLS)


@dataclass(frozen=True)
class Refusal:
    """One `-ERR` of the server, understood."""

    text: str
    """What the server said, without the quotes."""

    meaning: Meaning

    advice: str
    """A sentence for people: what happened, and the remedy."""

    operation: str | None = None
    """What was refused: `publish`, `subscribe`, or `reply` (publish with this reply subject)."""

    subject: str | None = None
    """The subject that was refused, in its own case; None when the server does not name it."""

    queue: str | None = None
    """The queue group of the subscription that was refused."""

    sid: str | None = None
    """The id of the subscription that the server removed (2.15, after a change of permissions)."""

    def __str__(self) -> str:
        return f"{self.text}: {self.advice}"


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    shown: str
    """The text as it stands in the documentation."""

    meaning: Meaning
    advice: str
    pattern: str = ""
    """What the text begins with, as a regular expression; empty: with `shown`."""

    operation: str | None = None


_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_REMOVED = rf"(?: using queue {_QUOTED})?(?: \(sid {_QUOTED}\))?"

TABLE: tuple[Row, ...] = (
    # Who we are
    Row(
        "Authorization Violation",
        Meaning.AUTHORIZATION,
        "check user, password, token, nkeys or credentials",
    ),
    Row(
        "User Authentication Expired",
        Meaning.AUTHORIZATION,
        "the user's JWT has expired: renew the credentials file, or let user_jwt_cb return a new "
        "one",
    ),
    Row(
        "User Authentication Revoked",
        Meaning.AUTHORIZATION,
        "the account has revoked this user: get new credentials",
    ),
    Row(
        "Account Authentication Expired",
        Meaning.AUTHORIZATION,
        "the account's JWT has expired: its operator must sign a new one",
    ),
    Row(
        "Authentication Timeout",
        Meaning.RECONNECT,
        "the server did not get our credentials in time: look for a slow network, a slow "
        "signature_cb, or a busy event loop",
        pattern="auth(?:entication|orization) timeout",
    ),
    Row(
        "Failed Account Registration",
        Meaning.AUTHORIZATION,
        "the server could not load the user's account: look into the server's log",
    ),
    # What we may do
    Row(
        'Permissions Violation for Publish to "subject"',
        Meaning.FAIL,
        "allow the user to publish to this subject in the server's permissions",
        pattern=rf"permissions violation for publish to {_QUOTED}",
        operation="publish",
    ),
    Row(
        'Permissions Violation for Publish with Reply of "subject"',
        Meaning.FAIL,
        "allow the user this reply subject in the server's permissions, or set inbox_prefix to "
        "one that is allowed",
        pattern=rf"permissions violation for publish with reply of {_QUOTED}",
        operation="reply",
    ),
    Row(
        'Permissions Violation for Subscription to "subject", too many tokens',
        Meaning.FAIL,
        "the subject has more parts than the server's max_subscription_tokens: use a shorter "
        "name, or raise it",
        pattern=rf"permissions violation for subscription to {_QUOTED}, too many tokens",
        operation="subscribe",
    ),
    Row(
        'Permissions Violation for Subscription to "subject" [using queue "queue"] [(sid "1")]',
        Meaning.FAIL,
        "allow the user to subscribe to this subject in the server's permissions",
        pattern=rf"permissions violation for subscription to {_QUOTED}{_REMOVED}",
        operation="subscribe",
    ),
    Row(
        "maximum subscriptions exceeded",
        Meaning.FAIL,
        "raise max_subscriptions of the server or account, or use fewer subscriptions",
        operation="subscribe",
    ),
    Row(
        "Invalid Subject",
        Meaning.FAIL,
        "the server accepts no subscription to this subject: correct the name",
        operation="subscribe",
    ),
    Row(
        "Invalid Publish Subject",
        Meaning.FAIL,
        "the subject has wildcards or empty parts (said with pedantic=True only): correct the name",
        operation="publish",
    ),
    # What the server can carry
    Row(
        "maximum connections exceeded",
        Meaning.RECONNECT,
        "the server is full: raise its max_connections, or connect less often",
    ),
    Row(
        "maximum account active connections exceeded",
        Meaning.RECONNECT,
        "the account is full: raise its limit of connections, or connect less often",
    ),
    Row(
        "Connection throttling is active. Please try again later.",
        Meaning.RECONNECT,
        "the server accepts only so many TLS handshakes a second: wait, or raise its "
        "connection_rate_limit",
        pattern="connection throttling",
    ),
    Row(
        "Maximum Payload Violation",
        Meaning.RECONNECT,
        "a message was larger than the server's max_payload: send less, or raise it",
    ),
    Row(
        "Maximum Control Line Exceeded",
        Meaning.RECONNECT,
        "a subject was longer than the server's max_control_line: use shorter names, or raise it",
        pattern="maximum control line exceeded",
    ),
    Row(
        "Slow Consumer",
        Meaning.RECONNECT,
        "this process read too slowly for the server: keep the event loop free, or ask for less "
        "at once (sent by old servers only; newer ones close without a word)",
        pattern="slow consumer",
    ),
    Row(
        "Stale Connection",
        Meaning.RECONNECT,
        "the server got no answer to its pings: look for a bad network or a blocked event loop",
    ),
    Row(
        "Server Shutdown",
        Meaning.RECONNECT,
        "the server stops: nothing to do, another one or the next start is waited for",
    ),
    # How we speak
    Row(
        "Secure Connection - TLS Required",
        Meaning.TLS,
        "the server wants TLS: use a tls:// URL or pass tls=ssl.create_default_context()",
    ),
    Row(
        "attempted to connect to route port",
        Meaning.NOT_A_SERVER,
        "this is the port for other servers of the cluster: use the port for clients, 4222 as a "
        "rule",
    ),
    Row(
        "attempted to connect to leaf node port",
        Meaning.NOT_A_SERVER,
        "this is the port for leaf nodes: use the port for clients, 4222 as a rule",
        pattern="attempted to connect to leaf ?node port",
    ),
    Row(
        "attempted to connect to gateway port",
        Meaning.NOT_A_SERVER,
        "this is the port for gateways: use the port for clients, 4222 as a rule",
    ),
    Row(
        "invalid client protocol",
        Meaning.RECONNECT,
        "the server does not speak our version of the protocol: update it, and report a bug",
    ),
    Row(
        "no responders requires headers support",
        Meaning.RECONNECT,
        "the server does not speak our version of the protocol: update it, and report a bug",
    ),
    Row(
        "Unknown Protocol Operation",
        Meaning.RECONNECT,
        "the server did not understand us: look for a proxy between, and report a bug",
        pattern="unknown protocol operation",
    ),
    Row(
        "Parser Error",
        Meaning.RECONNECT,
        "the server did not understand us: look for a proxy between, and report a bug",
        pattern="parser error",
    ),
)
"""Every text that a server sends to clients. The first row that matches counts."""

UNKNOWN = "walnats-anyio does not know this error: look into the server's log"

_PATTERNS = [(re.compile(row.pattern or re.escape(row.shown), re.IGNORECASE), row) for row in TABLE]
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def refusal_of(text: str) -> Refusal:
    """What the server means by `-ERR 'text'`; the quotes may be there or not. Never raises."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1]
    for pattern, row in _PATTERNS:
        found = pattern.match(text)
        if found is not None:
            names = [None if name is None else _unquoted(name) for name in found.groups()]
            return Refusal(text, row.meaning, row.advice, row.operation, *names)
    return Refusal(text, Meaning.UNKNOWN, UNKNOWN)


def _unquoted(text: str) -> str:
    """The subject that Go's `%q` has written."""
    return _ESCAPE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code is None:
        return _CONTROLS.get(found[4], found[4])
    number = int(code, 16)
    return chr(number) if number < 0x110000 else found[0]
