"""A live feed: the messages of events as they come, for people who look on.

Theory of operation. The reader of the link puts what comes into a bounded queue; whoever iterates
the feed decodes it. Where that is too slow the oldest messages are dropped, and counted. Where the
messages come from is in `_monitor_taps.py`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from anyio.lowlevel import checkpoint

from walnats_anyio._events._arguments import check_count
from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._headers import HEADER_ACTOR, HEADER_ID, HEADER_TRACE, meta_of
from walnats_anyio._events._structured import cloud_event_of, decode_message
from walnats_anyio._link import (
    ConnectionLostError,
    HeaderError,
    Link,
    Message,
    Refusal,
    parse_headers,
)
from walnats_anyio.serializers import DecodeError

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

MAX_BUFFER_SIZE = 1000
"""Messages that wait for the reader of a feed, unless told otherwise."""

MAX_BUFFER_BYTES = 64 * 1024 * 1024
"""Bytes of payload and headers that wait at most: messages can have a megabyte each."""

REQUEST_MARK = b"\r\nwalnats-reply:"
"""What the header block of a request has, in small letters."""


@dataclass(frozen=True)
class FeedMessage(Generic[T]):
    """One message of a live feed."""

    event: BaseEvent[T]
    """The event, as the registry has it."""

    message: T | None
    """The message, decoded; None where it could not be, see `error`."""

    error: DecodeError | HeaderError | None
    """Why the message could not be decoded; None where it was."""

    payload: bytes
    """What was sent, encoded."""

    headers: dict[str, str]
    """All headers, by name; empty where they are malformed."""

    subject: str
    """The NATS subject that it was sent to."""

    received_at: datetime
    """When it arrived here, in UTC."""

    dropped: int = 0
    """How many messages were dropped just before this one, as the reader was too slow."""

    reconnected: bool = False
    """Whether the connection was lost before this one; what was sent meanwhile is missing."""

    lost: int = 0
    """How many messages of this event were stored and missed before this one.

    That happens while the connection is lost. It is known with `stored=True` only.
    """

    @property
    def uid(self) -> str | None:
        """The `uid` that it was emitted with; None without one."""
        return self.headers.get(HEADER_ID)

    @property
    def trace_id(self) -> str | None:
        """The `trace_id` that it was emitted with; None without one."""
        return self.headers.get(HEADER_TRACE) or None

    @property
    def actor(self) -> str | None:
        """The one actor that it is for, where it was put back for that one; None: all of them."""
        return self.headers.get(HEADER_ACTOR)

    @property
    def meta(self) -> dict[str, str]:
        """The headers that are neither the library's own nor the server's."""
        return meta_of(self.headers)

    @property
    def cloud_event(self) -> CloudEvent | None:
        """The CloudEvents attributes, in either mode; None where it has none.

        Raises:
            ValueError: there are some, and they are not what CloudEvents 1.0 allows.
        """
        return cloud_event_of(self.headers, self.payload)


@dataclass(frozen=True)
class FeedStatistics:
    """What a live feed has done so far."""

    received: int
    """Messages that arrived, those that were dropped included."""

    waiting: int
    """Messages that wait for the reader at this moment."""

    dropped: int
    """Messages that were dropped, as the reader was too slow: the oldest that waited."""

    reconnects: int
    """How often the connection was lost and made again. What was sent meanwhile is missing."""

    lost: int
    """Messages that were stored and missed meanwhile; counted with `stored=True` only."""


class _Received(NamedTuple):
    """A message that waits for the reader."""

    event: BaseEvent[Any]
    message: Message
    time: float
    number: int
    """How many messages came before it, dropped ones included."""
    reconnects: int
    """How often the connection had been lost."""
    lost: int
    """How many messages of the event were missed before it."""


class Feed:
    """A stream of messages, as they are emitted. Made by `ConnectedEvents.monitor`.

    `async for message in feed` waits for the next message, and ends when the context is left. One
    task reads it. A message that cannot be decoded is one of the messages, with its `error`.

    Iterating raises:
        ConnectionLostError: the connection is closed for good; what waits is given first.
        ServerError: after a reconnect, this user may not subscribe any more.
        RuntimeError: another task is reading it.
    """

    def __init__(self, link: Link, size: int, requests: bool) -> None:
        self._link = link
        self._size = size
        self._requests = requests
        self._waiting: deque[_Received] = deque()
        self._bytes = 0
        self._received = self._dropped = self._reconnects = self._lost = 0
        self._given = self._given_reconnects = 0
        """What was told with the latest message that was given."""
        self._reading = False
        self._ended = False
        self._spot = link.new_spot()
        self.error: Exception | None = None
        """Why no more will come."""

    def __repr__(self) -> str:
        counts = self.statistics()
        return f"<Feed, {counts.received} received, {counts.dropped} dropped>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FeedMessage[Any]:
        if self._reading:
            raise RuntimeError("another task reads this feed: open one for each task")
        self._reading = True
        try:
            await checkpoint()
            while not self._waiting:
                if self._ended:
                    raise StopAsyncIteration
                if self.error is not None:
                    raise self.error
                await self._spot.wait()
        finally:
            self._reading = False
        return self._take()

    def statistics(self) -> FeedStatistics:
        """What was received and dropped so far. Never blocks."""
        return FeedStatistics(
            received=self._received,
            waiting=len(self._waiting),
            dropped=self._dropped,
            reconnects=self._reconnects,
            lost=self._lost,
        )

    def put(self, event: BaseEvent[Any], message: Message, lost: int = 0) -> None:
        """A message has come, and so many before it were missed. Called by the link's reader."""
        self._lost += lost
        if not self._requests and REQUEST_MARK in message.header.lower():
            return
        self._waiting.append(
            _Received(event, message, time.time(), self._received, self._reconnects, lost)
        )
        self._received += 1
        self._bytes += _size(message)
        # The latest one is kept in any case.
        while len(self._waiting) > self._size or (
            self._bytes > MAX_BUFFER_BYTES and len(self._waiting) > 1
        ):
            self._bytes -= _size(self._waiting.popleft().message)
            self._dropped += 1
        self._spot.wake()

    def end(self) -> None:
        """The context is left."""
        self._ended = True
        self._waiting.clear()
        self._spot.wake()

    def fail(self, error: Exception) -> None:
        """Nothing more will come."""
        if self.error is None:
            self.error = error
        self._spot.wake()

    def _take(self) -> FeedMessage[Any]:
        received = self._waiting.popleft()
        message = received.message
        self._bytes -= _size(message)
        dropped = received.number - self._given
        reconnected = received.reconnects != self._given_reconnects
        self._given, self._given_reconnects = received.number + 1, received.reconnects
        headers: dict[str, str] = {}
        decoded: Any = None
        error: DecodeError | HeaderError | None = None
        try:
            headers = parse_headers(message.header)
            decoded = decode_message(received.event, message.data, headers)
        except (DecodeError, HeaderError) as problem:
            error = problem
        return FeedMessage(
            event=received.event,
            message=decoded,
            error=error,
            payload=message.data,
            headers=headers,
            subject=message.subject.decode(errors="replace"),
            received_at=datetime.fromtimestamp(received.time, UTC),
            dropped=dropped,
            reconnected=reconnected,
            lost=received.lost,
        )

    # what the link tells

    def on_disconnect(self) -> None:
        """The connection is lost."""

    def on_reconnect(self) -> None:
        """The connection is there again, and its subscriptions with it."""
        self._reconnects += 1

    def on_close(self) -> None:
        """The connection is closed for good."""
        self.fail(ConnectionLostError(str(self._link.closed)))

    def on_refusal(self, refusal: Refusal) -> None:
        """The server refuses something; perhaps one of the subscriptions."""


def chosen_events(known: Mapping[str, BaseEvent[Any]], events: object) -> Sequence[BaseEvent[Any]]:
    """Give the events that are to be monitored; None: all of them.

    Raises:
        TypeError: `events` is no iterable of events.
        ValueError: one of them is not in the registry, or there are none.
    """
    if events is None:
        return list(known.values())
    if isinstance(events, BaseEvent | str | bytes) or not isinstance(events, Iterable):
        raise TypeError(f"events must be events in a list, such as [ORDERED], not {events!r}")
    chosen: dict[str, BaseEvent[Any]] = {}
    for event in cast("Iterable[object]", events):
        if not isinstance(event, BaseEvent):
            raise TypeError(f"events must hold events, not {event!r}")
        if known.get(event.name) != event:
            raise ValueError(
                f"event {event.name!r} is not in the registry this connection was made from: "
                "add it to Events(...)"
            )
        chosen[event.name] = event
    if not chosen:
        raise ValueError("events is empty: leave it out for all events, or name some")
    return list(chosen.values())


def check_buffer(size: object) -> None:
    """Refuse what is no size of a buffer.

    Raises:
        TypeError: it is not an int.
        ValueError: it is less than 1.
    """
    check_count("max_buffer_size", size)


def _size(message: Message) -> int:
    return len(message.data) + len(message.header)
