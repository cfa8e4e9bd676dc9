"""What NATS takes as a name or a header, said before the server is asked.

Every rule here was tried against a real server. Some names it refuses outright; others it accepts
and then breaks on, which is worse: it writes the stream's name into each acknowledgement, escaped
in a way that is not JSON for control characters and most other invisible ones, so every emit would
fail.
"""

from __future__ import annotations

import re
from typing import Literal

MAX_NAME_BYTES = 255

MAX_NAMESPACE_BYTES = 100
"""As names come after it, which together have `MAX_NAME_BYTES`."""

_FORBIDDEN = {
    "*": "is a wildcard of NATS",
    ">": "is a wildcard of NATS",
    "/": "is a path separator, and the server names folders after streams and consumers",
    "\\": "is a path separator, and the server names folders after streams and consumers",
}
# Subjects on which the server, or every client's requests, send what is no event.
_RESERVED_TOKENS = {"_INBOX", "_R_", "_GR_"}

# What the library keeps for itself: an event there would be taken for a dead letter, for a note of
# attempts, for the count of a rate limit, for a schedule, for a tick or for what cancels a job, or
# its stream would be that of all of them.
_OWN_SUBJECTS = (
    "walnats.dead",
    "walnats.attempts",
    "walnats.limit",
    "walnats.schedules",
    "walnats.due",
    "walnats.clocks",
    "walnats.control",
)
_OWN_STREAMS = (
    "walnats-dead-letters",
    "walnats-attempts",
    "walnats-schedules",
    "walnats-clocks",
)
_OWN_STREAM_PREFIX = "walnats-limit-"

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_name(kind: Literal["event", "actor"], name: object) -> None:
    """Refuse a name that NATS would refuse or break on.

    An event's name becomes a subject, where `.` separates tokens, and a stream. An actor's name
    becomes a durable consumer and has no `.` at all.

    Raises:
        TypeError: the name is not a string.
        ValueError: the name cannot be used; the message says why and what to use.
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} name must be a str, not {type(name).__name__}: {name!r}")
    problem = _name_problem(name) or (
        _subject_problem(name) if kind == "event" else _consumer_problem(name)
    )
    if problem:
        raise ValueError(f"{kind} name {_shown(name)} {problem}")


def _name_problem(name: str) -> str | None:
    if not name:
        return "is empty: give it at least one letter"
    for char in name:
        if char in _FORBIDDEN:
            return f"contains {char!r}, which {_FORBIDDEN[char]}: use '-' or '_' instead"
        if char == " " or not char.isprintable():
            return (
                f"contains {char!r}: no spaces, control or other invisible characters;"
                " use '-' or '_' instead"
            )
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        return f"is {size} bytes long: NATS takes at most {MAX_NAME_BYTES}"
    return None


def _subject_problem(name: str) -> str | None:
    tokens = name.split(".")
    if "" in tokens:
        return "has an empty part: no '.' at the start or the end, nor two in a row"
    if name.startswith("$"):
        return "starts with '$', which NATS keeps for itself: drop the '$'"
    if tokens[0] in _RESERVED_TOKENS:
        return f"starts with {tokens[0]!r}, where NATS sends replies: choose another first part"
    own: tuple[str, ...] = _OWN_SUBJECTS
    if name.startswith("walnats.schedules-"):  # those of a JetStream domain
        own = (*own, ".".join(tokens[:2]))
    for subject in own:
        if name.startswith(f"{subject}."):
            return f"is under {subject}.>, which this library keeps for itself: choose another name"
    stream = name.replace(".", "-")
    if stream in _OWN_STREAMS or stream.startswith(_OWN_STREAM_PREFIX):
        return f"means stream {stream!r}, which this library keeps for itself: choose another name"
    return None


def _consumer_problem(name: str) -> str | None:
    if "." in name:
        return "contains '.', which separates the parts of a subject: use '-' or '_' instead"
    return None


def check_namespace(namespace: str) -> None:
    """Refuse a namespace that cannot go before subjects, streams and durables.

    Raises:
        ValueError: it cannot; the message says why and what to use.
    """
    problem = _name_problem(namespace) or _subject_problem(namespace)
    size = len(namespace.encode())
    if problem is None and size > MAX_NAMESPACE_BYTES:
        problem = (
            f"is {size} bytes long, and as names come after it at most {MAX_NAMESPACE_BYTES} are "
            "taken: shorten it"
        )
    if problem:
        raise ValueError(f"namespace {_shown(namespace)} {problem}")


def check_in_namespace(kind: Literal["event", "actor"], name: str, whole: str) -> None:
    """Refuse a name that NATS, or the library, does not take with the namespace before it.

    Args:
        kind: whose name it is.
        name: the name as it was declared.
        whole: the subject of the event, or the durable of the actor.

    Raises:
        ValueError: it is too long by now, or is one that the library keeps for itself.
    """
    problem = _name_problem(whole)
    if problem is None and kind == "event":
        problem = _subject_problem(whole)
    if problem:
        raise ValueError(
            f"{kind} name {_shown(name)} becomes {_shown(whole)} in its namespace, which {problem}"
        )


def check_prefix(what: Literal["domain", "js_prefix"], text: str) -> None:
    """Refuse what cannot be a part of the subjects of JetStream's API.

    Raises:
        ValueError: it cannot; the message says why and what to use.
    """
    problem = _prefix_problem(text)
    if problem is None and what == "domain" and text.startswith("$"):
        problem = (
            f"starts with '$': a domain is a plain name, as in js_prefix='$JS.{text}.API'; pass "
            "the prefix of all subjects as js_prefix"
        )
    if problem:
        raise ValueError(f"{what} {_shown(text)} {problem}")


def _prefix_problem(text: str) -> str | None:
    if not text:
        return "is empty: leave it out where JetStream's API is at $JS.API"
    for char in text:
        if char in "*>":
            return f"contains {char!r}, which is a wildcard of NATS: give it in full"
        if char == " " or not char.isprintable():
            return (
                f"contains {char!r}: a subject has no spaces, control or other invisible characters"
            )
    if "" in text.split("."):
        return "has an empty part: no '.' at the start or the end, nor two in a row"
    return None


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 80 else f"{name[:80]!r}..."


def check_header(name: object, value: object) -> None:
    """Refuse a header that would break the message apart or arrive as something else.

    A name is made of ASCII letters, digits and ``!#$%&'*+-.^_`|~``. A value is any text without
    control characters (a tab inside it is fine) that neither starts nor ends with white space: NATS
    clients strip that, and a value must arrive as it was sent. An empty value is fine.

    Raises:
        TypeError: the name or the value is not a string.
        ValueError: one of them cannot be sent; the message says why.
    """
    if not isinstance(name, str):
        raise TypeError(f"a header name must be a str, not {type(name).__name__}: {name!r}")
    if not isinstance(value, str):
        raise TypeError(
            f"header {name!r} must be a str, not {type(value).__name__}: {value!r};"
            " convert it first"
        )
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(
            f"header name {name!r} must be ASCII letters, digits and !#$%&'*+-.^_`|~ only"
        )
    if _HEADER_CONTROL.search(value):
        raise ValueError(
            f"header {name!r} contains a line break or another control character: {value!r};"
            " remove or encode it"
        )
    if value != value.strip():
        raise ValueError(
            f"header {name!r} starts or ends with white space, which NATS clients drop: {value!r};"
            " strip it"
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"header {name!r} is not valid Unicode text: {value!r}") from error
