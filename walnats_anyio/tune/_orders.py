"""What a worker process is told, and what it answers: lines of JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from walnats_anyio.tune._run import Sketch, Window


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what to run, and where."""

    target: str
    """`MODULE:NAME` of the actors."""

    actor: str
    """Name of the actor."""

    directory: str
    """Where the command was started."""

    top: int
    """The highest level."""

    backend: str
    """The event loop."""

    uvloop: bool
    """Whether asyncio runs on uvloop."""

    connect: dict[str, Any]
    """Arguments of `connect`. On standard input, so that nobody sees a password."""

    tls: dict[str, str]
    """Files of the TLS context: `ca`, `cert`, `key`; empty for none."""

    listen: dict[str, Any]
    """Arguments of `listen`, at every level."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One of the further lines: a method of the bench, and its arguments."""

    do: str
    """`start`, `warm_up`, `measure`, `idle`, `queueing` or `stop`."""

    arguments: tuple[Any, ...] = ()
    """In order."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to any line."""

    ok: bool
    """Always True; so that the line is never empty."""

    window: Window | None = None
    """What `measure` gave."""

    sketch: Sketch | None = None
    """What `queueing` gave."""
