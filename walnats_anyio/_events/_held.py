"""Emits that are held back: encoded when they are asked for, sent when it is known that they count.

What cannot be sent is refused at the call, and what is sent later is what the message was then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NoReturn

from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._emitter import Emitter, EventOnWire, Outgoing
from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._events._headers import Meta, header_block, headers_of, uid_of
from walnats_anyio._events._middleware import EmitContext, EmitMiddleware
from walnats_anyio._events._structured import structured
from walnats_anyio._link import EmitError, Link, MessageTooLargeError


@dataclass(frozen=True, slots=True)
class Encoded:
    """One message, ready to be sent."""

    event: EventOnWire
    payload: bytes
    headers: bytes
    patience: float
    """Seconds in which it must be acknowledged."""


class HeldEmitter:
    """Encodes and sends the held emits of one connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._emitter = Emitter(link)
        self._hand_over = link.backend.atomic(self._emitter.send)
        self._on_wire: dict[BaseEvent[Any], EventOnWire] = {}

    def encode(
        self,
        event: BaseEvent[Any],
        message: Any,
        uid: str | None,
        trace_id: str | None,
        meta: Meta,
        middlewares: Sequence[EmitMiddleware] = (),
    ) -> Encoded:
        """Encode a message; see `ConnectedEvents.emit`.

        Raises:
            TypeError: the message is not of the event's schema.
            ValueError: a header cannot be sent.
            MessageTooLargeError: it is larger than the server takes.
        """
        on_wire = self._on_wire.get(event)
        if on_wire is None:
            prefixes = self._link.prefixes
            on_wire = EventOnWire.of(in_namespace(event, prefixes), prefixes.domain)
            self._on_wire[event] = on_wire
        payload, headers = encode(event, message, uid, trace_id, meta, middlewares)
        size = len(payload) + len(headers)
        if size > on_wire.largest or size > self._link.max_payload:
            refuse_size(event, self._link, size)
        return Encoded(on_wire, payload, headers, event.dedup_window)

    async def send(self, messages: Sequence[Encoded]) -> None:
        """Send messages, and wait until the streams have them.

        Blocks for up to the `dedup_window` of their events. Cancelled, it sends none of them again.

        Raises:
            EmitError: a stream did not accept its message: the first one.
            ConnectionLostError: the connection is closed for good.
        """
        emitter, sent = self._emitter, list[Outgoing]()
        try:
            for one in messages:
                if emitter.full:
                    await emitter.room()
                sent.append(self._hand_over(one.event, one.payload, one.headers, one.patience))
                sent[-1].keep_error()
            failed: EmitError | None = None
            for outgoing in sent:
                try:
                    await self._wait(outgoing)
                except EmitError as error:
                    failed = failed or error
            if failed is not None:
                raise failed
        finally:
            for outgoing in sent:
                outgoing.give_up("its job was cancelled")

    async def _wait(self, outgoing: Outgoing) -> None:
        if outgoing.event.name in self._emitter.confirmed:
            await outgoing.wait()
        else:
            await self._emitter.confirm(outgoing)


def encode(
    event: BaseEvent[Any],
    message: Any,
    uid: str | None,
    trace_id: str | None,
    meta: Meta,
    middlewares: Sequence[EmitMiddleware],
) -> tuple[bytes, bytes]:
    """Give payload and header block of a message, with what middlewares add."""
    if not middlewares:
        return payload_of(event, event.encode(message), meta), header_block(uid, trace_id, meta)
    uid = uid_of(uid, meta)
    context = EmitContext(event, message, uid, trace_id, headers_of(meta))
    with ExitStack() as stack:
        for middleware in middlewares:
            stack.enter_context(middleware.around_emit(context))
        payload = payload_of(event, event.encode(message), meta)
        return payload, header_block(uid, trace_id, context.headers)
    raise RuntimeError(
        f"event {event.name!r} is not emitted: the around_emit of a middleware suppressed what was "
        "raised"
    )


def payload_of(event: BaseEvent[Any], encoded: bytes, meta: Meta) -> bytes:
    """Give what is sent of an encoded message, which depends on the mode of its CloudEvent.

    Raises:
        ValueError: it cannot be sent in that mode.
    """
    if isinstance(meta, CloudEvent) and meta.mode == "structured":
        return structured(event, encoded, meta)
    return encoded


def check_event(event: object) -> None:
    """Refuse what is no event.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(event, BaseEvent):
        raise TypeError(f"emit takes an event first, not {event!r}")


def refuse_size(event: BaseEvent[Any], link: Link, size: int) -> NoReturn:
    """Refuse a message that is larger than the server, or the event, takes.

    Raises:
        MessageTooLargeError: in any case.
    """
    most = min(link.max_payload, event.limits.message_size or math.inf)
    raise MessageTooLargeError(
        f"event {event.name!r}: the message is {size} bytes with its headers, and at most "
        f"{most} are accepted: send less, or a reference to it"
    )
