"""HTTP for probes and scrapers: one request a connection, read by h11.

Whoever connects may be slow, or mean harm. So a connection has little time and little room, and of
more connections than there are places the one that has kept its request back for longest goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import cast

import anyio
import h11
from anyio.abc import SocketListener, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from walnats_anyio.cli._endings import Problem
from walnats_anyio.cli._logs import logger

REQUEST_WITHIN = 5.0
"""Seconds in which a request has to be there."""

ANSWER_WITHIN = 10.0
"""Seconds in which it has to be answered, and the answer taken."""

LARGEST_REQUEST = 8192
"""Bytes that the request line and the headers may have."""

CONNECTIONS = 64
"""Connections at once."""

ACCEPT_AGAIN_AFTER = 0.1
"""Seconds until the next attempt where the system does not let us accept a connection."""

ALLOWED = (b"GET", b"HEAD")

ALLOW = (("allow", "GET, HEAD"),)
"""What an answer to another method has to say (RFC 9110, section 15.5.6)."""


@dataclass(frozen=True)
class Answer:
    """What a request is answered with."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


Answering = Callable[[str], Awaitable[Answer]]
"""Gives the answer to a path, without what follows a `?`."""


async def listen_at(host: str, port: int) -> MultiListener[SocketStream]:
    """Take the port.

    Raises:
        Problem: it is taken, or the address is not one of this machine.
    """
    try:
        return await anyio.create_tcp_listener(local_host=host, local_port=port)
    except OSError as error:
        raise Problem(
            f"--health-port {port} cannot be used on {host}: {error.strerror or error}",
            hint="choose another one; 0 takes a free one, and the log says which",
        ) from error


async def serve(listeners: MultiListener[SocketStream], answer: Answering) -> None:
    """Answer requests until cancelled, or until the listeners are closed."""
    places = _Places()
    async with anyio.create_task_group() as tasks:
        for listener in listeners.listeners:
            tasks.start_soon(_accept, cast("SocketListener", listener), tasks, places, answer)


async def _accept(
    listener: SocketListener,
    tasks: TaskGroup,
    places: _Places,
    answer: Answering,
) -> None:
    while True:
        try:
            stream = await listener.accept()
        except anyio.ClosedResourceError:  # the port is given back
            return
        except OSError as error:
            # The other side is gone already, or there are no descriptors left.
            logger.warning("health port: no connection could be accepted: %s", error)
            await anyio.sleep(ACCEPT_AGAIN_AFTER)
        else:
            tasks.start_soon(_Exchange(stream, answer).run, places)


class _Places:
    """The connections that there are, the oldest first."""

    def __init__(self) -> None:
        self._all: dict[_Exchange, None] = {}
        self._waiting: dict[_Exchange, None] = {}

    def enter(self, exchange: _Exchange) -> None:
        """Take a place, if need be that of the oldest one, such as still waits for its request."""
        if len(self._all) >= CONNECTIONS:
            oldest = next(iter(self._waiting or self._all))
            oldest.scope.cancel()
            self.leave(oldest)
        self._all[exchange] = self._waiting[exchange] = None

    def has_request(self, exchange: _Exchange) -> None:
        """Its request is there, and it is being answered."""
        self._waiting.pop(exchange, None)

    def leave(self, exchange: _Exchange) -> None:
        """Give the place back, if it still has one."""
        self._waiting.pop(exchange, None)
        self._all.pop(exchange, None)


class _Exchange:
    """One connection: one request and its answer."""

    def __init__(self, stream: SocketStream, answer: Answering) -> None:
        self._stream = stream
        self._answer = answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_REQUEST)
        self.scope = anyio.CancelScope()
        """Cancelled when somebody else gets its place."""

    async def run(self, places: _Places) -> None:
        """Read the request and answer it; whatever the other side does ends this alone."""
        places.enter(self)
        try:
            with self.scope:
                await self._exchange(places)
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, h11.RemoteProtocolError):
            return  # it is gone, or speaks something else
        finally:
            places.leave(self)
            await anyio.aclose_forcefully(self._stream)

    async def _exchange(self, places: _Places) -> None:
        self.scope.deadline = anyio.current_time() + REQUEST_WITHIN
        try:
            request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._send(_refusal(HTTPStatus(error.error_status_hint)), with_body=True)
            return
        places.has_request(self)
        self.scope.deadline = anyio.current_time() + ANSWER_WITHIN
        if request.method not in ALLOWED:
            refusal = _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
            await self._send(replace(refusal, headers=ALLOW), with_body=True)
            return
        path = request.target.decode("ascii", "replace").partition("?")[0]
        await self._send(await self._answer(path), with_body=request.method == b"GET")

    async def _request(self) -> h11.Request:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                raise anyio.EndOfStream
            try:
                data = await self._stream.receive()
            except anyio.EndOfStream:
                data = b""
            self._http.receive_data(data)

    async def _send(self, answer: Answer, *, with_body: bool) -> None:
        headers = [
            ("content-type", answer.content_type),
            ("content-length", str(len(answer.body))),
            ("cache-control", "no-store"),
            ("connection", "close"),
            *answer.headers,
        ]
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.status.phrase)
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        data = self._http.send(head) or b""
        await self._stream.send(data + (answer.body if with_body else b""))
        await self._stream.send_eof()
        # What is unread when a connection is closed makes the system forget what was sent.
        with anyio.move_on_after(1.0):
            while await self._stream.receive():
                pass


def _refusal(status: HTTPStatus) -> Answer:
    return Answer(f"{status.value} {status.phrase}\n".encode(), status, "text/plain; charset=utf-8")
