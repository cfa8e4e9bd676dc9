"""Opening a nats-py client: the first connect, reconnecting, and closing.

This room is all that knows nats-py. What it uses beyond the public names is listed here, and
`tests/link/test_nats_py.py` fails when nats-py changes one of them:

- `_pending`, `_pending_data_size`, `_flush_queue`: to hand over a batch of commands in one call;
- `_disconnected_cb`, `_reconnected_cb`, `_closed_cb`, `_error_cb`, `_default_error_callback`: to
  hear of a caller's client;
- `_transport._io_writer`: to cut a connection, and to see how much is unsent;
- `_ps`, `_pongs`, `_pings_outstanding`: to hear whether the server is still there;
- `Subscription._id`: to end a subscription at the server before the client forgets it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import nats.errors
from nats.aio.client import Client

from walnats_anyio._link._adopted import Listener, callbacks, chain, listening_in
from walnats_anyio._link._backend import Backend
from walnats_anyio._link._errors import ConnectError
from walnats_anyio._link._guard import GuardedClient
from walnats_anyio._link._options import Server, without_password

logger = logging.getLogger("walnats_anyio.link")

FIRST_CONNECT_WITHIN = 5.0
"""Seconds in which the first connection must succeed, unless `connect_timeout` asks for more."""

FIRST_CONNECT_TRIES = 3
"""How often each server is tried at first before giving up early."""

CLOSE_WITHIN = 2.0
"""Seconds that closing a connection may take; clean-up is shielded, so it has to be bounded."""

BACKOFF = (0.05, 5.0)
"""Seconds before the second attempt to reconnect, doubled at every further one, and the most."""

DEFAULTS: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
    # Where `_hearing` cannot cut it, on a websocket, a connection that is lost without a word is
    # noticed within a minute; nats-py's own default takes six.
    "ping_interval": 20,
    "max_outstanding_pings": 2,
}
"""What is passed to nats-py unless the caller says otherwise."""

REFUSALS = ("authorization", "authentication", "permissions", "expired", "revoked", "ssl")
"""Words in an error that does not go away by trying again."""


@asynccontextmanager
async def open_client(
    backend: Backend, server: Server, close: bool, options: dict[str, Any], listener: Listener
) -> AsyncIterator[Client]:
    """A connected client: the caller's own, or a new one that is closed at the end.

    Raises:
        ConnectError: no server could be reached, or the client given is not connected.
        TypeError: a client of the caller's on trio.
        ValueError: options that nats-py cannot make use of.
    """
    if not isinstance(server, Client):
        client = await _connect(backend, server, options, listener)
        try:
            yield client
        finally:
            await _close(backend, client)
        return
    if not backend.native:
        raise TypeError(
            "a nats.NATS of your own can be used on asyncio only; on trio pass the server's URL"
        )
    if not server.is_connected:
        raise ConnectError("the nats.NATS given is not connected: await nats.connect(...) first")
    try:
        with listening_in(server, listener):
            yield server
    finally:
        if close:
            await _close(backend, server)


async def _connect(
    backend: Backend, server: str | Sequence[str], options: dict[str, Any], listener: Listener
) -> Client:
    urls = [server] if isinstance(server, str) else list(server)
    client = GuardedClient()
    failures: list[Exception] = []
    connected = False
    scope = anyio.CancelScope()

    def on_error(error: Exception) -> None:
        if connected:
            listener.on_error(error)
            return
        failures.append(error)
        refusals = sum(map(_is_refusal, failures))
        if refusals >= len(urls) or len(failures) >= FIRST_CONNECT_TRIES * len(urls):
            scope.cancel()

    keywords = DEFAULTS | _reconnect_policy(client, options) | options
    for name, callback in (callbacks(listener) | {"error_cb": on_error}).items():
        keywords[name] = chain(callback, options.get(name))

    async def connect() -> None:
        await client.connect(servers=urls, **keywords)

    patience = max(FIRST_CONNECT_WITHIN, options.get("connect_timeout", 2) * len(urls) + 1)
    scope.deadline = anyio.current_time() + patience
    try:
        with scope:
            await backend.run(connect)
            connected = True
    except (OSError, nats.errors.Error, TimeoutError) as exc:
        failures.append(exc)
    except Exception as exc:
        raise ValueError(f"the NATS client cannot use {sorted(options)}: {exc!r}") from exc
    finally:
        if not connected:
            await _close(backend, client)
    if not connected:
        raise ConnectError(_explain(urls, failures)) from (failures[-1] if failures else None)
    return client


def _reconnect_policy(client: Client, options: dict[str, Any]) -> dict[str, Any]:
    """Back-off with jitter, unless the caller has a rule of its own."""
    if "reconnect_time_wait" in options or "reconnect_to_server_handler" in options:
        return {}
    first, most = BACKOFF

    def choose(servers: list[Any], _info: dict[str, Any]) -> tuple[Any, float]:
        # nats-py would leave the socket of an attempt that failed to the garbage collector.
        abort(client)
        # The least tried server first; the wait grows with whole rounds over all servers.
        server = min(servers, key=lambda candidate: candidate.reconnects)
        tries = server.reconnects
        delay = 0.0 if tries == 0 else min(most, first * 2 ** min(tries - 1, 16))
        # Jitter on the upper half: the many clients of one server do not come back at once.
        return server, delay * random.uniform(0.5, 1.0)

    return {"reconnect_to_server_handler": choose}


async def _close(backend: Backend, client: Client) -> None:
    if client._flush_queue is None:
        return  # never got as far as connecting: there is nothing to close
    writer = _writer(client)
    if writer is not None and writer.transport.is_closing():
        # What is unsent reaches nobody, and from Python 3.12 on asyncio breaks over writing it.
        client._pending.clear()
        client._pending_data_size = 0
    with anyio.move_on_after(CLOSE_WITHIN, shield=True) as scope:
        try:
            await backend.run(client.close)
        except (OSError, nats.errors.Error) as error:
            # Its last words do not reach a server that is away; what was unanswered is told of.
            logger.warning("closing the connection: %s", str(error) or type(error).__name__)
    if scope.cancelled_caught:
        logger.warning("closing the connection took over %s s and was cut short", CLOSE_WITHIN)
    # A client that was cut short while it closed says that it is closed, and keeps its socket.
    abort(client)


def abort(client: Client) -> None:
    """Cut the connection, whatever is unsent; nats-py then makes a new one, or is closed."""
    writer = _writer(client)
    if writer is not None:
        writer.transport.abort()


def _writer(client: Client) -> Any:
    return getattr(client._transport, "_io_writer", None)


def _is_refusal(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return any(word in text for word in REFUSALS)


def _explain(urls: list[str], failures: list[Exception]) -> str:
    reasons = list(dict.fromkeys(str(error) or type(error).__name__ for error in failures))
    if any(_is_refusal(error) for error in failures):
        remedy = "check user, password, token, nkeys or credentials, and the TLS context"
    else:
        remedy = "start one with: walnats-anyio server (or: nats-server -js)"
    tried = ", ".join(without_password(url) for url in urls)
    return f"cannot connect to {tried}: {'; '.join(reasons) or 'no answer'}. {remedy}"
