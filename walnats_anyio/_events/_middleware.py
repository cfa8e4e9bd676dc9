"""What surrounds an emit: spans, headers for other systems."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from walnats_anyio._events._arguments import check_type
from walnats_anyio._events._event import BaseEvent


@dataclass(frozen=True)
class EmitContext:
    """A message is about to be emitted."""

    event: BaseEvent[Any]
    """The event."""

    message: Any
    """The message, not encoded yet."""

    uid: str | None
    """What identifies the message, where the caller said so."""

    trace_id: str | None
    """The trace that it belongs to, where there is one."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Further headers, those of `meta`. What is put here is sent."""


class EmitMiddleware:
    """Surrounds the emits of a connection; given with `Events(..., middlewares=...)`.

    One that is among the middlewares of an actor surrounds what its handler emits with
    `current_context().emit`.
    """

    __slots__ = ()

    def around_emit(self, ctx: EmitContext, /) -> AbstractContextManager[Any]:
        """Gives a context manager, a plain one, around one message.

        It is entered before the message is encoded, and left when the message is handed over to the
        connection, or could not be. It does not wait for the acknowledgement. What it raises,
        `emit` raises.
        """
        return nullcontext()


def check_middlewares(what: str, middlewares: Sequence[EmitMiddleware]) -> None:
    """Refuse what is no sequence of emit middlewares.

    Raises:
        TypeError: it is none.
    """
    check_type(f"{what} middlewares", middlewares, (list, tuple))
    for middleware in middlewares:
        check_type(f"{what} each of middlewares", middleware, EmitMiddleware)
