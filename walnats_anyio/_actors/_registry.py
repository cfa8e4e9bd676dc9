"""The actors that a process runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from walnats_anyio._actors._connection import ConnectedActors, connect_actors
from walnats_anyio._actors._lifespan import Lifespan, check_lifespan
from walnats_anyio._actors._running import run_actors
from walnats_anyio._actors.declare._actor import Actor, on_server
from walnats_anyio._actors.settle import Summary
from walnats_anyio._link import Server, check_connect, check_echo, prefixes_for

MAX_SHOWN = 10
"""How many actors a registry shows of itself."""


class Actors:
    """The actors that a process runs.

        actors = Actors(SEND_EMAIL, UPDATE_STATISTICS)

    Iterating gives the actors in the order they were given.

    Args:
        actors: the actors.
        lifespan: a function of the `ConnectedActors` that gives an async context manager, for what
            the handlers need: `listen` enters it before the first event and leaves it after the
            last job, in the same task. What it yields is `current_context().state` in every job.
            None: there is none.

    Raises:
        TypeError: something given is not an actor, or `lifespan` gives no async context manager.
        ValueError: no actor is given, or two have one name on one event.
    """

    __slots__ = ("_actors", "lifespan")

    _actors: tuple[Actor[Any, Any], ...]

    lifespan: Lifespan | None
    """Entered by `listen` before the first event, and left after the last job."""

    def __init__(self, *actors: Actor[Any, Any], lifespan: Lifespan | None = None) -> None:
        if not actors:
            raise ValueError("Actors() needs at least one actor")
        seen: set[tuple[str, str]] = set()
        for actor in actors:
            _check_actor(actor)
            key = (actor.event.stream_name, actor.name)
            if key in seen:
                raise ValueError(
                    f"two actors of event {actor.event.name!r} are named {actor.name!r}, and would "
                    "share one consumer: rename one, or list it once"
                )
            seen.add(key)
        check_lifespan(lifespan)
        self._actors = actors
        self.lifespan = lifespan

    def get(self, name: str) -> Actor[Any, Any] | None:
        """Find an actor by its name, the first one of several; None if there is none."""
        for actor in self._actors:
            if actor.name == name:
                return actor
        return None

    def only(self, names: Iterable[str] | None) -> Actors:
        """Give a registry of some of these actors, with the same lifespan.

        Args:
            names: those of the actors; one that several have, on several events, names all of them.
                None: all actors.

        Raises:
            ValueError: there is no actor of such a name, or none is named.
            TypeError: it is not a list of names.
        """
        if names is None:
            return self
        if isinstance(names, str):
            raise TypeError(f"actors must be a list of names, such as [{names!r}], not {names!r}")
        chosen = list(names)
        there = {actor.name for actor in self}
        for name in chosen:
            if name not in there:
                known = ", ".join(map(repr, sorted(there)))
                raise ValueError(f"there is no actor {name!r}: there is {known}")
        if not chosen:
            raise ValueError("actors names none: leave it out to have all of them")
        return Actors(*(actor for actor in self if actor.name in chosen), lifespan=self.lifespan)

    def connect(
        self,
        server: Server | None = None,
        close: bool = True,
        *,
        domain: str | None = None,
        js_prefix: str | None = None,
        namespace: str | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[ConnectedActors]:
        """Connect to NATS, to run these actors.

            async with actors.connect() as conn:
                await conn.register()
                await conn.listen()

        Entering blocks until connected.

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
            TypeError: `server` or an option is of no use.
            ValueError: a URL that is none, credentials that are not there, `no_echo`, both `domain`
                and `js_prefix`, or one of the last three that NATS does not take before the names.
            ConnectionLostError: on entering: the connection to be shared is closed for good.
        """
        check_connect(server, options)
        check_echo(server, options)
        prefixes = prefixes_for(server, domain, js_prefix, namespace)
        for actor in self:
            on_server(actor, prefixes)
        return connect_actors(self, server, close, prefixes, options)

    def run(
        self,
        server: Server | None = None,
        *,
        backend: str = "asyncio",
        register: bool = True,
        actors: Iterable[str] | None = None,
        domain: str | None = None,
        js_prefix: str | None = None,
        namespace: str | None = None,
        **listen_options: Any,
    ) -> Summary:
        """Connect and listen, as the whole of a program.

            if __name__ == "__main__":
                ACTORS.run()

        Blocks until it is told to stop. SIGINT (Ctrl-C) and SIGTERM stop it gracefully: running
        jobs finish, within `shutdown_timeout`. A second signal cancels them. In another thread
        than the main one signals are left alone. The log says at level INFO when every actor is
        receiving, which signal came, and at the end what was done.

        Args:
            server: see `connect`.
            backend: the event loop: "asyncio" or "trio".
            register: register the actors, and their events, before.
            actors: the names of those to register and run. None: all of them.
            domain: see `connect`.
            js_prefix: see `connect`.
            namespace: see `connect`.
            listen_options: see `ConnectedActors.listen`.

        Returns:
            What it did, and why it ended.

        Raises:
            ValueError: there is no such backend, no actor of such a name, or an option of `listen`
                is out of its range.
            KeyboardInterrupt: a second SIGINT came; for SIGTERM it is a `SystemExit`.
            Exception: what `connect`, `register` and `listen` raise.
        """
        names = {"domain": domain, "js_prefix": js_prefix, "namespace": namespace}
        return run_actors(self.only(actors), server, backend, register, names, listen_options)

    def __iter__(self) -> Iterator[Actor[Any, Any]]:
        return iter(self._actors)

    def __len__(self) -> int:
        return len(self._actors)

    def __contains__(self, actor: object) -> bool:
        return actor in self._actors

    def __repr__(self) -> str:
        names = [repr(actor.name) for actor in self]
        if len(names) > MAX_SHOWN:
            names[MAX_SHOWN:] = [f"and {len(names) - MAX_SHOWN} more"]
        return f"Actors({', '.join(names)})"


def _check_actor(actor: object) -> None:
    if isinstance(actor, Actor):
        return
    kind = type(actor).__name__
    if isinstance(actor, Iterable) and not isinstance(actor, str | bytes):
        raise TypeError(
            f"Actors() takes actors, not {kind}: put a * before it, as in Actors(*actors)"
        )
    raise TypeError(f"Actors() takes actors, not {kind}: {actor!r}")
