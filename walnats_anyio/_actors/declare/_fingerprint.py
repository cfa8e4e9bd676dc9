"""A short fingerprint of an actor's declaration, kept in the metadata of its consumer.

Programs that declare an actor of one name for one event share its events. That is what two versions
of a program should do during a deploy, and a mistake where two programs mean two things. The server
cannot tell them apart, so `register` leaves the fingerprint there, and `listen` compares it.
"""

from __future__ import annotations

import functools
import hashlib
from typing import cast

FINGERPRINT = "walnats-anyio.declaration"
"""The key in the consumer's metadata."""

KNOWS_ACTOR = "walnats-anyio.knows-actor"
"""The key of a mark: who handles events of this consumer acknowledges those for other actors.

walnats does not, and leaves no such mark. So as long as a consumer without it is on a stream, no
event comes there that is for one actor alone, but by hand.
"""

KNOWS_IT = "1"
"""The value of the mark."""

MAX_NAME = 80
"""Characters of a handler's name that are kept."""


def fingerprint(handler: object, *options: object) -> str:
    """Make the fingerprint: a hash of everything, and the name of the handler to be read.

    The module of the handler does not count: it is `__main__` in a program that runs as a script.

    Args:
        handler: the actor's handler.
        options: what else makes a difference: callables, numbers and tuples of numbers.
    """
    name = _name_of(handler)
    said = repr((name, [_plain(option) for option in options]))
    return f"{hashlib.blake2s(said.encode(), digest_size=6).hexdigest()} {name}"


def handler_in(found: str) -> str:
    """The name of the handler in a fingerprint; empty where somebody else wrote it."""
    return found.partition(" ")[2]


def _name_of(called: object) -> str:
    while isinstance(called, functools.partial):
        called = called.func
    name = getattr(called, "__qualname__", None)
    if not isinstance(name, str):
        name = type(called).__qualname__
    # Half of a surrogate pair cannot be sent, and nobody else keeps it out of a name.
    return name[:MAX_NAME].encode(errors="replace").decode()


def _plain(option: object) -> object:
    """An option as it is written the same by everybody: 1 and 1.0 are one value."""
    if isinstance(option, tuple):
        return [_plain(each) for each in cast("tuple[object, ...]", option)]
    if callable(option):
        return _name_of(option)
    if isinstance(option, int) and not isinstance(option, bool):
        return float(option)
    return option
