"""Where the messages of a live feed come from.

Theory of operation. `SentTap` subscribes to the subjects of the events, beside the streams: the
server keeps nothing for it. So it has what was sent to the server, also what the stream refused or
dropped as a duplicate, and does not have what enters a stream inside of the server.

`StoredTap` has what the streams store, by an ephemeral consumer of each that needs no
acknowledgements. As the streams keep events for as long as a consumer is interested, they keep each
one until it is sent here, which is at once; and for `INACTIVE` seconds more where this process has
died. After a lost connection a new consumer goes on behind the last message that came; what is not
there any more is counted by the numbers in the stream (ADR-17 calls this an ordered consumer).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._monitor import Feed
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    Link,
    Message,
    Metadata,
    Refusal,
    ServerError,
    StreamConfigError,
    Subscription,
    WalnatsError,
    api,
    pub,
)

HEARTBEAT = 5.0
"""Seconds after which an idle consumer says that it is there."""

SILENCE = 2.5 * HEARTBEAT
"""Seconds without a word from a consumer after which it is taken for gone."""

INACTIVE = 5.0
"""Seconds after which the server deletes a consumer whose reader is gone."""

AGAIN_AFTER = 1.0
"""Seconds until it is tried again to make a consumer."""

NANOSECONDS = 10**9

HEARTBEAT_STATUS = b"NATS/1.0 100"


class SentTap(Feed):
    """A feed of what is sent to the subjects of events.

    Args:
        subjects: the events, by the subject that each has on this connection.
    """

    def __init__(
        self, link: Link, subjects: Mapping[str, BaseEvent[Any]], size: int, requests: bool
    ) -> None:
        super().__init__(link, size, requests)
        self._subjects = subjects
        self._subscriptions: list[Subscription] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Feed]:
        """Subscribe, and wait until the server has read it.

        Raises:
            ServerError: this user may not subscribe, or the server does not answer.
            ConnectionLostError: the connection is closed for good.
        """
        self._link.watch(self)
        try:
            for subject, event in self._subjects.items():
                deliver = partial(self.put, event)
                self._subscriptions.append(self._link.subscribe_to(subject, deliver))
            await self._link.flush()
            if self.error is not None:
                raise self.error
            yield self
        finally:
            for subscription in self._subscriptions:
                self._link.forget(subscription)
            self._link.unwatch(self)
            self.end()

    def on_refusal(self, refusal: Refusal) -> None:
        if refusal.operation != "subscribe":
            return
        event = self._subjects.get(refusal.subject or "")
        if event is not None:
            self.fail(ServerError(f"event {event.name!r} cannot be monitored: {refusal}"))
        elif refusal.subject is None:
            # Too many subscriptions: the server does not say which one.
            self.fail(ServerError(f"the events cannot be monitored: {refusal}"))


class _Source:
    """The consumer of one stream, and how far it has come."""

    def __init__(self, event: BaseEvent[Any], stream: str) -> None:
        self.event = event
        self.stream = stream
        self.consumer = ""
        """The consumer whose messages count; empty for none."""
        self.subscription: Subscription | None = None
        self.last: int | None = None
        """The number in the stream of the latest message that came, or was there before."""
        self.heard_at = 0.0
        """When it last said something."""
        self.stale = False
        """Whether another consumer has to take its place."""


class StoredTap(Feed):
    """A feed of what the streams of events store.

    Args:
        streams: the events, by the stream that each has on this connection.
    """

    def __init__(
        self, link: Link, streams: Mapping[str, BaseEvent[Any]], size: int, requests: bool
    ) -> None:
        super().__init__(link, size, requests)
        self._sources = [_Source(event, stream) for stream, event in streams.items()]
        self._stale = link.new_spot()
        self._again = False
        """Whether a consumer could not be made just now."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Feed]:
        """Make the consumers, and see to it that they stay.

        Raises:
            StreamConfigError: an event is not registered.
            ServerError: the server refuses a consumer, or does not answer.
            ConnectionLostError: the connection is closed for good.
        """
        body: BaseException | None = None
        self._link.watch(self)
        try:
            async with anyio.create_task_group() as tasks:
                # The task group would wrap what is raised in a group.
                try:
                    for source in self._sources:
                        await self._start_first(source)
                    tasks.start_soon(self._keep)
                    yield self
                except BaseException as error:  # noqa: BLE001 - raised below
                    body = error
                tasks.cancel_scope.cancel()
        finally:
            for source in self._sources:
                self._leave(source.stream, source.consumer, source.subscription)
            self._link.unwatch(self)
            self.end()
        if body is not None:
            raise body

    async def _start_first(self, source: _Source) -> None:
        try:
            await self._start(source)
        except ServerError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            raise StreamConfigError(
                f"event {source.event.name!r} has no stream: call register(), or monitor without "
                "stored=True"
            ) from error

    async def _start(self, source: _Source) -> None:
        """Make a consumer that goes on where the one before ended."""
        link, name = self._link, f"monitor-{secrets.token_hex(8)}"
        config: dict[str, Any] = {"deliver_policy": "new"}
        if source.last is not None:
            info = await api(link, f"STREAM.INFO.{source.stream}")
            # It is less where somebody has made the stream anew, and it counts from 1 again.
            source.last = min(source.last, info["state"]["last_seq"])
            config = {"deliver_policy": "by_start_sequence", "opt_start_seq": source.last + 1}
        before = source.consumer, source.subscription
        source.consumer = name
        source.subscription = link.subscribe(partial(self._deliver, source, name))
        config |= {
            "name": name,
            "description": "a live feed of walnats-anyio",
            "deliver_subject": source.subscription.subject.decode(),
            "ack_policy": "none",
            "max_deliver": 1,
            "idle_heartbeat": int(HEARTBEAT * NANOSECONDS),
            "inactive_threshold": int(INACTIVE * NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = {"stream_name": source.stream, "config": config}
        try:
            answer = await api(link, f"CONSUMER.CREATE.{source.stream}.{name}", body)
        finally:
            self._leave(source.stream, *before)
        if source.last is None:  # else the first message has come already
            source.last = answer["delivered"]["stream_seq"]
        source.heard_at, source.stale = link.now(), False

    def _leave(self, stream: str, consumer: str, subscription: Subscription | None) -> None:
        """Delete a consumer. The server does so by itself after a while, so nobody waits for it."""
        if subscription is not None:
            self._link.forget(subscription)
        if consumer and self._link.closed is None:
            subject = self._link.prefixes.api_subject(f"CONSUMER.DELETE.{stream}.{consumer}")
            self._link.post(pub(subject, b"", self._link.new_reply()))

    def _deliver(self, source: _Source, consumer: str, message: Message) -> None:
        if source.consumer != consumer:
            return
        source.heard_at = self._link.now()
        if message.header.startswith(HEARTBEAT_STATUS) and not message.data:
            return
        try:
            number = Metadata.of(message.reply).sequence.stream
        except ValueError:
            return  # a stranger's
        lost = 0 if source.last is None else number - source.last - 1
        if lost >= 0:
            source.last = number
            self.put(source.event, message, lost)

    async def _keep(self) -> None:
        """Make another consumer wherever one is gone, until cancelled."""
        while self.error is None:
            with anyio.move_on_after(AGAIN_AFTER if self._again else HEARTBEAT):
                await self._stale.wait()
            self._again = False
            for source in self._sources:
                if self._link.now() - source.heard_at > SILENCE:
                    source.stale = True
                if source.stale and self._link.connected:
                    await self._replace(source)

    async def _replace(self, source: _Source) -> None:
        try:
            await self._start(source)
        except ServerError as error:
            if error.code == STREAM_NOT_FOUND:
                name = source.event.name
                self.fail(StreamConfigError(f"event {name!r} has no stream any more"))
            else:
                self._again = True
        except WalnatsError as error:
            self.fail(error)

    def on_disconnect(self) -> None:
        # Nothing more of the old consumers: what they have sent and did not arrive would be missed.
        for source in self._sources:
            if source.subscription is not None:
                self._link.forget(source.subscription)

    def on_reconnect(self) -> None:
        super().on_reconnect()
        for source in self._sources:
            source.stale = True
        self._stale.wake()
