"""The events that a program emits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from walnats_anyio._events._connection import ConnectedEvents, connect_events
from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._events._middleware import EmitMiddleware, check_middlewares
from walnats_anyio._events._sync import SyncEvents, check_sync, connect_forwarding
from walnats_anyio._link import Prefixes, Server, check_connect, prefixes_for

MAX_SHOWN = 10
"""How many events a registry shows of itself."""


class Events:
    """The events that a program emits.

        events = Events(USER_CREATED, USER_DELETED)

    An event given twice is kept once. Iterating gives the events in the order they were given.

    Args:
        events: the events.
        middlewares: surround each emit of a connection, the first one outermost.

    Raises:
        TypeError: something given is not an event, or not an `EmitMiddleware`.
        ValueError: no event is given, two events of one name differ, or two names belong to one
            stream.
    """

    __slots__ = ("_events", "middlewares")

    _events: dict[str, BaseEvent[Any]]

    middlewares: tuple[EmitMiddleware, ...]
    """Surround each emit of a connection."""

    def __init__(self, *events: BaseEvent[Any], middlewares: Sequence[EmitMiddleware] = ()) -> None:
        if not events:
            raise ValueError("Events() needs at least one event")
        self._events = {}
        for event in events:
            _check_event(event)
            known = self._events.setdefault(event.name, event)
            if known != event:
                raise ValueError(
                    f"two events are named {event.name!r} and differ in"
                    f" {_difference(known, event)}:"
                    " rename one, or declare the event once and share it"
                )
        self._check_streams()
        check_middlewares("Events()", middlewares)
        self.middlewares = tuple(middlewares)

    def get(self, name: str) -> BaseEvent[Any] | None:
        """Find an event by its name; None if there is none of that name."""
        return self._events.get(name)

    def connect(
        self,
        server: Server | None = None,
        close: bool = True,
        *,
        domain: str | None = None,
        js_prefix: str | None = None,
        namespace: str | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[ConnectedEvents]:
        """Connect to NATS, to emit these events.

            async with events.connect() as conn:
                await conn.register()
                await conn.emit(USER_CREATED, user)

        Entering blocks until connected. Leaving blocks until every emitted event is acknowledged;
        when it is cancelled, for a few seconds at most.

        Args:
            server: a URL, a list of URLs, a `ConnectedActors` or `ConnectedEvents` whose connection
                is shared, or (on asyncio) a connected `nats.NATS`. None: the value of the
                environment variable `NATS_SERVER`, else `nats://localhost:4222`.
            close: close a `nats.NATS` of yours on leaving. A connection made here is always closed,
                one that is shared never.
            domain: the JetStream domain of the streams, such as that of a leafnode. None: that of
                the server.
            js_prefix: what the subjects of JetStream's API begin with, where an account imports
                them under another name, such as `$JS.hub.API`. None: `$JS.API`, or what `domain`
                means.
            namespace: goes before every subject, stream and durable, so that several installations
                share an account; who emits and who listens must have the same one. None: nothing.
            options: passed to the NATS client unchanged: `tls`, `user`, `password`, `token`,
                `nkeys_seed`, `user_credentials`, `name`, ... Unless they say otherwise it
                reconnects for ever, with back-off and jitter.

        Raises:
            ConnectError: on entering: no server could be reached within seconds.
            EmitError: on leaving: an event was not accepted by its stream.
            TypeError: `server` or an option is of no use.
            ValueError: a URL that is none, credentials that are not there, both `domain` and
                `js_prefix`, or one of the last three that NATS does not take before
                the names.
            ConnectionLostError: on entering: the connection to be shared is closed for good.
        """
        check_connect(server, options)
        prefixes = prefixes_for(server, domain, js_prefix, namespace)
        for event in self:
            in_namespace(event, prefixes)
        return connect_events(self, server, close, prefixes, options, ConnectedEvents)

    def connect_sync(
        self,
        server: str | Sequence[str] | None = None,
        *,
        domain: str | None = None,
        js_prefix: str | None = None,
        namespace: str | None = None,
        backend: str = "asyncio",
        **options: Any,
    ) -> SyncEvents:
        """Connect to NATS from a program without an event loop, to emit these events.

            with events.connect_sync() as conn:
                conn.register()
                conn.emit(USER_CREATED, user)

        Nothing is connected before `with`, or `open()`, which blocks until connected. Leaving
        `with`, or `close()`, blocks until every emitted event is acknowledged.

        Args:
            server: a URL or a list of URLs. None: the value of the environment variable
                `NATS_SERVER`, else `nats://localhost:4222`.
            domain: see `connect`.
            js_prefix: see `connect`.
            namespace: see `connect`.
            backend: the event loop in the thread of the connection: "asyncio" or "trio".
            options: see `connect`. Callbacks are called in the thread of the connection.

        Raises:
            ConnectError: on entering: no server could be reached within seconds.
            EmitError: on leaving: an event was not accepted by its stream.
            TypeError: `server` or an option is of no use. What is connected already belongs to
                another event loop, and cannot be used here.
            ValueError: as of `connect`, or there is no such backend.
            ImportError: the backend is not installed.
        """
        check_sync(server, backend)
        check_connect(server, options)
        prefixes = Prefixes.of(domain, js_prefix, namespace)
        for event in self:
            in_namespace(event, prefixes)
        connect = functools.partial(connect_forwarding, self, server, prefixes, options)
        return SyncEvents(connect, backend)

    def __iter__(self) -> Iterator[BaseEvent[Any]]:
        return iter(self._events.values())

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event: object) -> bool:
        return isinstance(event, BaseEvent) and self._events.get(event.name) == event

    def __repr__(self) -> str:
        names = [repr(event.name) for event in self]
        if len(names) > MAX_SHOWN:
            names[MAX_SHOWN:] = [f"and {len(names) - MAX_SHOWN} more"]
        return f"Events({', '.join(names)})"

    def _check_streams(self) -> None:
        names: dict[str, str] = {}
        for event in self:
            other = names.setdefault(event.stream_name, event.name)
            if other != event.name:
                raise ValueError(
                    f"the events {other!r} and {event.name!r} would share the stream"
                    f" {event.stream_name!r}, as '.' becomes '-' in it: rename one"
                )


def _check_event(event: object) -> None:
    if isinstance(event, BaseEvent):
        return
    kind = type(event).__name__
    if isinstance(event, Iterable) and not isinstance(event, str | bytes):
        raise TypeError(
            f"Events() takes events, not {kind}: put a * before it, as in Events(*events)"
        )
    raise TypeError(f"Events() takes events, not {kind}: {event!r}")


def _difference(one: BaseEvent[Any], other: BaseEvent[Any]) -> str:
    if type(one) is not type(other):
        return f"their class ({type(one).__name__} and {type(other).__name__})"
    return ", ".join(
        f"{field.name} ({getattr(one, field.name)!r} and {getattr(other, field.name)!r})"
        for field in dataclasses.fields(one)
        if field.compare and getattr(one, field.name) != getattr(other, field.name)
    )
