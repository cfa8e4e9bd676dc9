"""A client of the caller's: hearing of its connection without taking its callbacks away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import nats.aio.client
from nats.aio.client import Client


class Listener(Protocol):
    """Whoever wants to hear what becomes of the connection; called inside nats-py's loop."""

    def on_disconnect(self) -> None: ...
    def on_reconnect(self) -> None: ...
    def on_close(self) -> None: ...
    def on_error(self, error: Exception) -> None: ...


def callbacks(listener: Listener) -> dict[str, Callable[..., None]]:
    """What of the listener nats-py calls, by the names of nats-py's options."""
    return {
        "disconnected_cb": listener.on_disconnect,
        "reconnected_cb": listener.on_reconnect,
        "closed_cb": listener.on_close,
        "error_cb": listener.on_error,
    }


def chain(
    mine: Callable[..., None], theirs: Callable[..., Awaitable[None]] | None
) -> Callable[..., Awaitable[None]]:
    """A callback that calls ours and then the caller's."""

    async def both(*args: Any) -> None:
        mine(*args)
        # What nats-py does by default is to log the error, and so do we.
        if theirs is not None and theirs is not nats.aio.client._default_error_callback:
            await theirs(*args)

    return both


class _Ear:
    """What is put into one client, for all the links that use it."""

    def __init__(self, client: Client) -> None:
        self.listeners: list[Listener] = []
        self._client = client
        self._before = {name: getattr(client, f"_{name}") for name in callbacks(self)}
        for name, callback in callbacks(self).items():
            setattr(client, f"_{name}", chain(callback, self._before[name]))

    def take_out(self) -> None:
        for name, callback in self._before.items():
            setattr(self._client, f"_{name}", callback)

    def on_disconnect(self) -> None:
        for listener in list(self.listeners):
            listener.on_disconnect()

    def on_reconnect(self) -> None:
        for listener in list(self.listeners):
            listener.on_reconnect()

    def on_close(self) -> None:
        for listener in list(self.listeners):
            listener.on_close()

    def on_error(self, error: Exception) -> None:
        for listener in list(self.listeners):
            listener.on_error(error)


# Several links may use one client and be left in any order, so what is put in is put in once.
_ears: WeakKeyDictionary[Client, _Ear] = WeakKeyDictionary()


@contextmanager
def listening_in(client: Client, listener: Listener) -> Iterator[None]:
    """Tell `listener` of a caller's client, beside the caller's own callbacks."""
    ear = _ears.get(client)
    if ear is None:
        ear = _ears[client] = _Ear(client)
    ear.listeners.append(listener)
    try:
        yield
    finally:
        ear.listeners.remove(listener)
        if not ear.listeners:
            del _ears[client]
            ear.take_out()
