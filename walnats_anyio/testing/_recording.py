"""Looking at what is emitted, and at dead letters, on any server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events import HEADER_ID, BaseEvent, Events, decode_message
from walnats_anyio._events._event import in_namespace
from walnats_anyio._events._schedules import HEADER_SCHEDULE, schedule_subject
from walnats_anyio._link import Link, Message, Server, parse_headers, prefixes_for
from walnats_anyio._link._sharing import link_of
from walnats_anyio.dead_letters import DeadLetter, DeadLetters
from walnats_anyio.testing._emitted import ANYTHING, EmittedMessage, check_emitted
from walnats_anyio.testing._memory._faults import MemoryMessage
from walnats_anyio.testing._memory._server import server_at

T = TypeVar("T")


class Recording:
    """What was emitted since `record` was entered, whoever emitted it. Made by `record`."""

    def __init__(self, events: Events, flush: Callable[[], Awaitable[None]]) -> None:
        self._events = {event.name: event for event in events}
        self._flush = flush
        self._received: list[tuple[BaseEvent[Any], bytes, dict[str, str]]] = []
        self._uids: dict[tuple[str, str], float] = {}
        """When the stream has taken an event with such a `uid` last."""

    def __repr__(self) -> str:
        return f"<Recording of {len(self._received)} messages>"

    async def emitted(self, event: BaseEvent[T]) -> list[EmittedMessage[T]]:
        """The messages of an event, in the order in which the server got them.

        A message that was sent twice with the same `uid` within the `dedup_window` of its event is
        there once, as its stream drops the second one. Blocks for a round trip to a real server:
        what was acknowledged before the call is in it.

        Raises:
            ValueError: the event is none of those that are recorded.
            RuntimeError: the connection to a real server was lost, so messages may be missing.
            DecodeError: somebody has sent what is no message of the event.
        """
        self._check(event)
        await self._flush()
        return [
            EmittedMessage(event, decode_message(event, payload, headers), headers, payload)
            for of, payload, headers in list(self._received)
            if of == event
        ]

    async def assert_emitted(
        self,
        event: BaseEvent[T],
        message: T | Callable[[T], object] = ANYTHING,
        *,
        uid: str | None = None,
        headers: Mapping[str, str] | None = None,
        count: int | None = None,
    ) -> list[EmittedMessage[T]]:
        """Check that messages of an event were emitted, and give them.

        Args:
            event: the event.
            message: a message, which must be equal and of the same type; or a function of the
                message that says whether it is one. Left out: any message.
            uid: the `uid` that it must have. None: any.
            headers: headers that it must have, beside others.
            count: how many such messages there must be; 0 for none. None: at least one.

        Raises:
            AssertionError: it is not so. The text shows what was emitted, and in what the nearest
                message differs.
            TypeError: the message is a class.
            ValueError: the event is none of those that are recorded.
            RuntimeError: the connection to a real server was lost, so messages may be missing.
        """
        __tracebackhide__ = True
        if isinstance(message, type):
            raise TypeError(
                f"a message is compared with the class {message.__name__}: give a message, or a "
                f"function of it, such as lambda message: isinstance(message, {message.__name__})"
            )
        found = await self.emitted(event)
        return check_emitted(event, found, message, uid=uid, headers=headers, count=count)

    async def assert_nothing_emitted(self, *events: BaseEvent[Any]) -> None:
        """Check that nothing was emitted: of these events, or of all that are recorded.

        Raises:
            AssertionError: something was.
            ValueError: an event is none of those that are recorded.
            RuntimeError: the connection to a real server was lost, so messages may be missing.
        """
        __tracebackhide__ = True
        for event in events or self._events.values():
            await self.assert_emitted(event, count=0)

    def clear(self) -> None:
        """Forget what was emitted so far."""
        self._received.clear()

    def _check(self, event: BaseEvent[Any]) -> None:
        if self._events.get(getattr(event, "name", "")) != event:
            known = ", ".join(map(repr, self._events))
            raise ValueError(f"{event!r} is not recorded: record() was given {known}")

    def add(self, event: BaseEvent[Any], payload: bytes, header: bytes) -> None:
        """A message has come. Called by the server, or by the reader of a link."""
        headers = parse_headers(header) if header else {}
        if HEADER_SCHEDULE in headers:
            # Its id is that of the schedule.
            headers.pop(HEADER_ID, None)
        received = EmittedMessage(event, None, headers)
        if received.uid is not None:
            this, now = (event.name, received.uid), anyio.current_time()
            if now - self._uids.get(this, -inf) < event.dedup_window:
                return
            self._uids[this] = now
        self._received.append((event, payload, received.headers))


@asynccontextmanager
async def record(
    events: Events,
    server: Server | None = None,
    *,
    domain: str | None = None,
    js_prefix: str | None = None,
    namespace: str | None = None,
    **options: Any,
) -> AsyncIterator[Recording]:
    """Record what is emitted of some events, on a `MemoryServer` or a real one.

        async with record(EVENTS, server.url) as recording:
            ...
            await recording.assert_emitted(MAIL_SENT, Mail("ada@example.com"), count=1)

    It is there what any program sends to the server while the context is entered. What is delayed
    is there when it is emitted, and not when it is due. Of a `MemoryServer` nothing is missed,
    whatever faults are injected. With a real one it has a connection of its own, and entering
    blocks until the server knows of it.

    Args:
        events: the events.
        server: as of `Events.connect`.
        domain: as of `Events.connect`.
        js_prefix: as of `Events.connect`.
        namespace: as of `Events.connect`.
        options: as of `Events.connect`.

    Raises:
        Exception: what `Events.connect` raises.
    """
    prefixes = prefixes_for(server, domain, js_prefix, namespace)
    subjects = {in_namespace(event, prefixes).subject_name: event for event in events}
    memory = server_at(server)
    if memory is not None:
        recording = Recording(events, checkpoint)
        with memory.overhear(partial(_overheard, recording, subjects)):
            await checkpoint()
            yield recording
        return
    connecting = events.connect(
        server, domain=domain, js_prefix=js_prefix, namespace=namespace, **options
    )
    async with connecting as connected:
        link = link_of(connected)
        recording = Recording(events, partial(_flush, link, link.statistics().reconnects))
        subscriptions = [
            link.subscribe_to(subject, partial(_received, recording, event))
            for subject, event in (subjects | _delayed(events, link)).items()
        ]
        try:
            await link.flush()
            yield recording
        finally:
            for subscription in subscriptions:  # the connection may be shared
                link.forget(subscription)


def _delayed(events: Events, link: Link) -> dict[str, BaseEvent[Any]]:
    """The events by what they are published to when they are delayed."""
    prefixes = link.prefixes
    streams = {in_namespace(event, prefixes).stream_name: event for event in events}
    return {
        schedule_subject(prefixes, "delay", stream, ">"): event for stream, event in streams.items()
    }


async def _flush(link: Link, reconnects: int) -> None:
    await link.flush()
    if link.statistics().reconnects != reconnects:
        raise RuntimeError(
            "the recording has lost its connection, and what was emitted meanwhile: record anew "
            "after the server is back, or use a MemoryServer, of which nothing is missed"
        )


def _received(recording: Recording, event: BaseEvent[Any], message: Message) -> None:
    recording.add(event, message.data, message.header)


def _overheard(
    recording: Recording, subjects: Mapping[str, BaseEvent[Any]], message: MemoryMessage
) -> None:
    event = subjects.get(message.subject)
    if event is not None:
        recording.add(event, message.data, message.header)


async def dead_letters(
    server: Server | None = None, actor: Actor[Any, Any] | None = None, **connect_options: Any
) -> list[DeadLetter]:
    """The dead letters that a server has, oldest first.

        (letter,) = await dead_letters(server.url, SEND_EMAIL)
        assert letter.reason == "rejected"

    Args:
        server: as of `DeadLetters.connect`.
        actor: only those of this actor. None: all.
        connect_options: as of `DeadLetters.connect`.
    """
    async with DeadLetters.connect(server, **connect_options) as office:
        return [
            letter
            async for letter in office
            if actor is None or (letter.actor, letter.event) == (actor.name, actor.event.name)
        ]
