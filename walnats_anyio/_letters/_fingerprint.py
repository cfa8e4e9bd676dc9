"""Which letters tell of the same error: a fingerprint of its type, its message and its traceback.

Theory of operation. As Sentry and Rollbar do, what changes from one occurrence to the next is taken
out: numbers, ids, addresses, paths and quoted values of the message, and of the traceback
everything but the names of the innermost functions and of their files. What is left is hashed.

Pure. Letters may be written by anybody, so every pattern takes time linear in the text, and of a
text only so much is read as an actor writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from walnats_anyio._letters._failure import CUT, MAX_ERROR, MAX_TRACEBACK, MAX_TYPE, clean

DIGITS = 12
"""Hexadecimal digits of a fingerprint."""

FRAMES = 5
"""Frames of a traceback that count: the innermost ones that differ."""

MAX_MESSAGE = 300
"""Characters of a normalised message that count.

Of the message itself 2,000 are kept. The end of what is left of them depends on how long the values
in it are.
"""

_HEX = "[0-9a-fA-F]"

_VALUES = [
    (re.compile(pattern), mark)
    for pattern, mark in (
        # What an exception group says of itself.
        (r" \(\d+ sub-exceptions?\)", ""),
        # In quotes; a message that was cut can end inside of them.
        (
            (
                r"""(?<!\w)b?(?P<quote>['"])(?:\\.|(?!(?P=quote))[^\\\n])*"""
                rf"""(?:(?P=quote)(?!\w)|{re.escape(CUT)}\Z)"""
            ),
            "<text>",
        ),
        (r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://\S+", "<url>"),
        (r"(?<![\w.+-])[\w.+-]{1,64}@[\w.-]+", "<email>"),
        # From the root, a drive or three names on.
        (r"""(?<![\w<>/\\])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'":;,()<>\[\]{}|]+)+[/\\]?""", "<path>"),
        (r"(?<![\w.</\\-])[\w.-]+(?:[/\\][\w.-]+){2,}", "<path>"),
        (rf"(?<!\w){_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!\w)", "<n>"),
        (r"(?<!\w)[a-fA-F]{8,}(?!\w)", "<n>"),
        # Words with a digit: numbers, ids, addresses, dates, times.
        (r"(?<!\w)[+-]?\w*\d\w*(?:[.:,+-]{1,2}\w*\d\w*)*", "<n>"),
        # However many there are.
        (r"<n>(?:[\s,;|]+<n>)+", "<n>"),
        (r"<text>(?:[\s,;|]+<text>)+", "<text>"),
        (r"\s+", " "),
    )
]

_BEGIN = "Traceback (most recent call last):"

_FRAME = re.compile(r'^[ |+]*File "([^"\n]*)", line \d+, in ([^\n]+)$', re.MULTILINE)

_MEMBER = re.compile(r"^ *(?:\| )+([^\W\d][\w.]*)(?::|$)", re.MULTILINE)
"""The class of an exception in a group, as a traceback shows it."""

_SEPARATOR = re.compile(r"[/\\]")


def fingerprint(error_type: str | None, error: str, traceback: str) -> str:
    """What letters of the same error have in common, as 12 hexadecimal digits.

    It is built from the class of the exception, its message without what changes, and the innermost
    five functions of its traceback with the names of their files. Numbers, words with a digit,
    UUIDs, hexadecimal addresses, quoted values, paths, URLs and e-mail addresses in the message do
    not count, nor do line numbers, folders and source lines of the traceback. So it stays the same
    over restarts, machines and changes elsewhere in a file. Sentry groups by parameterised messages
    and by frames in the same way, Rollbar by the class, the file names and the functions.

    Args:
        error_type: the class of the exception, with its module; None where there was none.
        error: its message.
        traceback: its traceback, as Python prints it.
    """
    traceback = traceback[-MAX_TRACEBACK:]
    kind = (error_type or "")[:MAX_TYPE]
    parts = [kind, normalised(error)]
    if kind.endswith("ExceptionGroup"):
        # Its message says nothing of what is in it.
        parts += sorted(set(_MEMBER.findall(traceback)))
    parts += innermost(traceback)
    return sha256(clean("\0".join(parts)).encode()).hexdigest()[:DIGITS]


def normalised(message: str) -> str:
    """A message without what changes from one occurrence of an error to the next."""
    message = message[:MAX_ERROR]
    for pattern, mark in _VALUES:
        message = pattern.sub(mark, message)
    return message.strip()[:MAX_MESSAGE]


def innermost(traceback: str) -> list[str]:
    """The innermost frames of the last traceback in a text, each a file name and a function.

    A frame counts once, so that the depth of a recursion does not matter.
    """
    last = traceback.rpartition(_BEGIN)[2]
    frames = list(_frames(last)) or list(_frames(traceback))
    return list(dict.fromkeys(reversed(frames)))[:FRAMES]


def _frames(text: str) -> Iterator[str]:
    for file, function in _FRAME.findall(text):
        yield f"{_SEPARATOR.split(file)[-1]} {function.strip()}"
