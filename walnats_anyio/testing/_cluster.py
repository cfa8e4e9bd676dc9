"""`NatsCluster`: servers with one JetStream between them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from walnats_anyio._events._arguments import check_seconds
from walnats_anyio.testing._arguments import check_size
from walnats_anyio.testing._config import Config, render_config
from walnats_anyio.testing._context import ServerContext
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._members import Member, agree
from walnats_anyio.testing._ports import HOST, held_port
from walnats_anyio.testing._server import NatsServer
from walnats_anyio.testing._waiting import Check, in_thread, uninterrupted, wait_until

_ASK_EVERY = 0.02
"""Seconds between two rounds of questions to the members. A cluster forms in about 0.3 s."""


class NatsCluster(ServerContext):
    """Real `nats-server`s that share one clustered JetStream, on 127.0.0.1.

    `async with NatsCluster(3) as cluster` runs them on asyncio and on trio; `with NatsCluster(3) as
    cluster` without an event loop. Once the context is entered, a meta leader is elected and all
    members are current: streams with up to `size` replicas can be made. Leaving it ends every
    member as leaving a `NatsServer` does.

    Each member is a `NatsServer` with a monitoring port and can be killed, paused and restarted by
    itself, keeping its ports and its storage. `await cluster.wait_ready()` waits until the members
    that are left, or are back, agree on a leader.

    Args:
        size: how many servers, from 2 to 64; 3 by default.
        config: as of `NatsServer`, for each of the members; without `cluster`.
        binary: as of `NatsServer`.
        start_timeout: seconds until the cluster, or a member restarted, is ready; 60 by default.
        stop_timeout: seconds a member may take to stop before it is killed; 10 by default.

    Raises:
        ValueError, TypeError: an argument is wrong.
        NatsServerError: on entering: as of `NatsServer`; or the members did not become a cluster in
            time, with what they logged.
    """

    def __init__(
        self,
        size: int = 3,
        *,
        config: Config | None = None,
        binary: str | Path | None = None,
        start_timeout: float = 60.0,
        stop_timeout: float = 10.0,
    ) -> None:
        check_size("size", size)
        if isinstance(config, Mapping) and "cluster" in config:
            raise ValueError("config sets 'cluster', which NatsCluster makes itself: leave it out")
        check_seconds("start_timeout", start_timeout)
        check_seconds("stop_timeout", stop_timeout)
        self._size = size
        render_config(config)  # refused here, not when the context is entered
        self._config = config
        self._binary = binary
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._name = f"walnats-{secrets.token_hex(4)}"
        self._members: tuple[Member, ...] = ()
        self._undo = ExitStack()

    @property
    def name(self) -> str:
        """The name of the cluster, as in the placement of a stream; its servers are NAME-1 ..."""
        return self._name

    @property
    def servers(self) -> tuple[NatsServer, ...]:
        """The members, running or not, always in the same order."""
        return self._members

    @property
    def urls(self) -> list[str]:
        """Where clients connect, one URL a member, in the order of `servers`."""
        return [member.url for member in self._members]

    async def wait_ready(self) -> None:
        """Return when all members that run, and are not paused, agree on a leader and are current.

        Raises:
            NatsServerError: they do not within `start_timeout`, with the logs: when fewer than a
                majority run, for instance; or the context is not entered.
        """
        await in_thread(self._wait_ready)

    def wait_ready_blocking(self) -> None:
        """`wait_ready` for a program without an event loop."""
        self._wait_ready(uninterrupted)

    async def leader(self, stream: str | None = None, consumer: str | None = None) -> NatsServer:
        """The member that leads: the cluster, or the stream, or the consumer of the stream.

        Blocks until it is among the members that run and are not paused.

        Args:
            stream: the name of a stream; None (the default) for the leader of the cluster.
            consumer: the name of a consumer of that stream; None (the default) for the stream's.

        Raises:
            ValueError: there is a consumer and no stream.
            NatsServerError: there is no such leader within `start_timeout`, with the logs; or the
                context is not entered.
        """
        return await in_thread(lambda check: self._find_leader(stream, consumer, check))

    def leader_blocking(self, stream: str | None = None, consumer: str | None = None) -> NatsServer:
        """`leader` for a program without an event loop."""
        return self._find_leader(stream, consumer, uninterrupted)

    def _enter(self, check: Check) -> None:
        with ExitStack() as undo:
            ports = [undo.enter_context(held_port()) for _ in range(self._size)]
            routes = [f"nats://{HOST}:{port}" for port in ports]
            self._members = tuple(
                Member(
                    server_name=f"{self._name}-{number}",
                    config=self._config,
                    cluster={"name": self._name, "listen": f"{HOST}:{port}", "routes": routes},
                    binary=self._binary,
                    start_timeout=self._start_timeout,
                    stop_timeout=self._stop_timeout,
                )
                for number, port in enumerate(ports, 1)
            )
            for member in self._members:
                undo.callback(member.close)
            # All are launched before one is waited for: they start side by side.
            for member in self._members:
                member.launch(check)
            for member in self._members:
                member.wait_ready(check)
            self._wait_ready(check)
            self._undo = undo.pop_all()

    def _leave(self, check: Check) -> None:
        for member in self._members:
            member.terminate()
        for member in self._members:
            member.wait_stopped(check)

    def _close(self) -> None:
        self._undo.close()

    def _wait_ready(self, check: Check) -> None:
        self._check_present()

        def ready() -> bool:
            return agree([member for member in self._members if member.answers], check)

        if not wait_until(ready, self._start_timeout, check, every=_ASK_EVERY):
            raise self._not_in_time("did not become a cluster")

    def _find_leader(self, stream: str | None, consumer: str | None, check: Check) -> NatsServer:
        if consumer is not None and stream is None:
            raise ValueError(f"consumer is {consumer!r} but stream is None: give its stream, too")
        self._check_present()

        def look() -> NatsServer | None:
            members = {member.server_name: member for member in self._members if member.answers}
            for member in members.values():
                check()
                leader = member.leader_known(stream, consumer)
                # Soon after a leader died, others still take it for the leader.
                if leader in members:
                    return members[leader]
            return None

        found = wait_until(look, self._start_timeout, check, every=_ASK_EVERY)
        if found is None:
            raise self._not_in_time("has no leader" if stream is None else "knows no leader")
        return found

    def _check_present(self) -> None:
        if not self._inside:
            raise NatsServerError("the context of this cluster is not entered, or it was left")

    def _not_in_time(self, what: str) -> NatsServerError:
        logs = "\n".join(
            f"--- {member.server_name} ({'runs' if member.answers else 'does not run'}):\n"
            + "\n".join(member.logs.splitlines()[-40:])
            for member in self._members
        )
        return NatsServerError(
            f"{self._name} {what} in time (start_timeout={self._start_timeout}). The logs:\n{logs}"
        )
