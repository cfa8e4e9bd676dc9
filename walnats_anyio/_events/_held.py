"""Emits that are held back: encoded when they are asked for, sent when it is known that they count.

What cannot be sent is refused at the call, and what is sent later is what the message was then.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from walnats_anyio._events._checks import refuse_size
from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._delays import Delays
from walnats_anyio._events._emitter import Emitter, EventOnWire, Outgoing
from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._events._headers import Meta, header_block, headers_of, uid_of
from walnats_anyio._events._middleware import EmitContext, EmitMiddleware
from walnats_anyio._events._structured import structured
from walnats_anyio._events._timing import Timing
from walnats_anyio._link import EmitError, Link


@dataclass(frozen=True, slots=True)
class Encoded:
    """One message, ready to be sent."""

    event: EventOnWire
    payload: bytes
    headers: bytes
    patience: float
    """Seconds in which it must be acknowledged."""
    timed: tuple[BaseEvent[Any], Timing] | None = None
    """The event, and when it is due, where that is not at once or it expires."""


class HeldEmitter:
    """Encodes and sends the held emits of one connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._emitter = Emitter(link)
        self._delays = Delays(link, self._emitter)
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
        timing: Timing | None = None,
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
        if timing is None:
            return Encoded(on_wire, payload, headers, event.dedup_window)
        # What cannot be sent so is refused now; how it is sent is found out when it is.
        self._delays.place(event, timing, on_wire, payload, headers)
        return Encoded(on_wire, payload, headers, event.dedup_window, (event, timing))

    async def send(self, messages: Sequence[Encoded]) -> None:
        """Send messages, and wait until the streams have them.

        Blocks for up to the `dedup_window` of their events. Cancelled, it sends none of them again.

        Raises:
            EmitError: a stream did not accept its message, or takes no time to live: the first one.
            ConnectionLostError: the connection is closed for good.
        """
        emitter, sent = self._emitter, list[Outgoing]()
        try:
            for one in messages:
                event, headers = one.event, one.headers
                if one.timed is not None:
                    await self._delays.prepare(*one.timed)
                    event, headers = self.place(one, *one.timed)
                if emitter.full:
                    await emitter.room()
                sent.append(self._hand_over(event, one.payload, headers, one.patience))
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

    def place(
        self, one: Encoded, event: BaseEvent[Any], timing: Timing
    ) -> tuple[EventOnWire, bytes]:
        """Give what a message that has a time is sent as, and its headers."""
        return self._delays.place(event, timing, one.event, one.payload, one.headers)

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
