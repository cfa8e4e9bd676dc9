"""`NatsServer`: the real nats-server as a context manager."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from walnats_anyio._events._arguments import check_seconds
from walnats_anyio.testing._arguments import check_flag, check_name, check_port
from walnats_anyio.testing._binary import check_version, find_binary
from walnats_anyio.testing._config import Config, fixed_config, render_config
from walnats_anyio.testing._context import ServerContext
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._monitoring import read_page
from walnats_anyio.testing._ports import HOST
from walnats_anyio.testing._process import ServerProcess, Settings
from walnats_anyio.testing._waiting import Check, in_thread, uninterrupted

_ANSWER_TIMEOUT = 2.0
"""Seconds in which a server answers a question about itself, or counts as not there."""


class NatsServer(ServerContext):
    """A real `nats-server` with JetStream on 127.0.0.1, for tests, demonstrations and development.

    `async with NatsServer() as server` runs it on asyncio and on trio; `with NatsServer() as
    server` without an event loop. Clients may connect to `server.url` and use JetStream as soon as
    the context is entered. Leaving it stops the server and removes its temporary directory,
    whatever happened in between; if this program dies too hard for that (SIGKILL), a watchdog
    process does it.

    A server that is stopped or killed keeps its ports and its storage: `start` brings it back where
    it was. Its process is in a process group of its own, so that Ctrl-C reaches the program alone.

    What is awaited runs in a thread. A cancellation interrupts it within milliseconds (while a page
    is read, within 2 seconds) and waits until it has cleaned up. A method `..._blocking` does the
    same for a program without an event loop. The methods that are neither return at once.

    Args:
        port: where clients connect; 0 (the default) for any free port.
        http_port: the monitoring port; 0 for any free port, None (the default) for no monitoring.
        store_dir: where JetStream keeps its data. It is made if it is missing and never removed.
            None (the default) for a temporary directory, removed when the context is left.
        config: anything else, in the words of nats-server: a dict (`{"max_payload": 4096,
            "jetstream": {"sync_interval": "always"}}`) or the text of a configuration file: TLS,
            users and their permissions, accounts, an operator, limits. A websocket, leafnode or
            gateway listener needs a port: see `held_port`. Passwords are not put into `url`.
        jetstream: whether it has JetStream; True by default.
        server_name: what the server calls itself; None (the default) for a name made up.
        binary: the program to run, a path or a name to be found on PATH; None (the default) for the
            `nats-server` in the environment of the running Python, else on PATH. It must be of
            version 2.9 or later.
        start_timeout: seconds until the server must be ready, at each start; 30 by default.
        stop_timeout: seconds it may take to stop gracefully before it is killed; 10 by default.

    Raises:
        ValueError, TypeError: an argument is wrong.
        NatsServerError: on entering: there is no binary (the message names the extra to install) or
            an old one; a port is taken; the server did not start, with what it logged.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        http_port: int | None = None,
        store_dir: str | Path | None = None,
        config: Config | None = None,
        jetstream: bool = True,
        server_name: str | None = None,
        binary: str | Path | None = None,
        start_timeout: float = 30.0,
        stop_timeout: float = 10.0,
    ) -> None:
        check_port("port", port)
        if http_port is not None:
            check_port("http_port", http_port)
        check_flag("jetstream", jetstream)
        check_seconds("start_timeout", start_timeout)
        check_seconds("stop_timeout", stop_timeout)
        if server_name is not None:
            check_name("server_name", server_name)
        name = server_name or f"walnats-{secrets.token_hex(4)}"
        self._binary = binary
        self._settings = Settings(
            config=render_config(config),
            fixed=fixed_config(name),
            jetstream=jetstream,
            port=port,
            http_port=http_port,
            store_dir=None if store_dir is None else Path(store_dir).absolute(),
            server_name=name,
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
        )
        self._entered: ServerProcess | None = None

    # What it is

    @property
    def url(self) -> str:
        """Where clients connect: `nats://127.0.0.1:PORT`. The same as long as the context lasts."""
        return f"nats://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The port of `url`."""
        return self._process.port

    @property
    def http_port(self) -> int | None:
        """The monitoring port, or None when none was asked for."""
        return self._process.http_port

    @property
    def server_name(self) -> str:
        """What the server calls itself."""
        return self._settings.server_name

    @property
    def store_dir(self) -> Path:
        """Where JetStream keeps its data."""
        return self._process.store_dir

    @property
    def running(self) -> bool:
        """Whether there is a server process at this moment; a paused one counts."""
        return self._inside and self._entered is not None and self._entered.running

    @property
    def pid(self) -> int:
        """The process id. Raises NatsServerError when no process is running."""
        return self._process.pid

    @property
    def logs(self) -> str:
        """All that the server logged since the context was entered. Stays after the exit."""
        return self._process.logs

    @property
    def _process(self) -> ServerProcess:
        if self._entered is None:
            raise NatsServerError(
                "the server is not there yet: enter `async with NatsServer() as server` first"
            )
        return self._entered

    # What can be done to it

    async def start(self) -> None:
        """Bring a stopped or killed server back, with its ports and its storage.

        Returns when it is ready; at once when it is running.

        Raises:
            NatsServerError: it did not start, with what it logged; or the context is not entered,
                as for all methods.
        """
        await in_thread(self._present().start)

    async def stop(self) -> None:
        """Stop gracefully, or by SIGKILL after `stop_timeout`. Ports and storage stay.

        Returns when the process is gone; at once when there is none. Cancelled, it kills. Raises
        NatsServerError when the process survives even SIGKILL.
        """
        await in_thread(self._present().stop)

    async def restart(self) -> None:
        """`stop`, then `start`: clients are disconnected, data stays. Revives a killed one too.

        Returns when it is ready. Raises NatsServerError as `start` does.
        """
        self._present()
        await in_thread(self._restart)

    async def reload(self, config: Config | None = None) -> None:
        """Make the running server read its configuration again, by SIGHUP; clients stay connected.

        Returns when the server has taken it over.

        Args:
            config: what takes the place of the argument `config=` of the server, now and at the
                next start; None (the default) to read the same again, with files that it names.

        Raises:
            ValueError, TypeError: as for `config=` of the server.
            NatsServerError: nothing runs, or it is paused; or the server refused the configuration,
                or one field that it cannot change while it runs, with what it logged. Then it goes
                on as it was.
        """
        await in_thread(self._reloading(config))

    async def monitor(self, page: str) -> dict[str, Any]:
        """A page of the monitoring port, such as `/varz` or `/connz?subs=1`, whatever its status.

        Blocks for up to 2 seconds.

        Raises:
            ValueError: it does not begin with a slash.
            NatsServerError: the server was made without `http_port`, or it did not answer.
        """
        self._present()
        return await in_thread(lambda _: self._read_page(page))

    def start_blocking(self) -> None:
        """`start` for a program without an event loop."""
        self._present().start(uninterrupted)

    def stop_blocking(self) -> None:
        """`stop` for a program without an event loop."""
        self._present().stop(uninterrupted)

    def restart_blocking(self) -> None:
        """`restart` for a program without an event loop."""
        self._restart(uninterrupted)

    def reload_blocking(self, config: Config | None = None) -> None:
        """`reload` for a program without an event loop."""
        self._reloading(config)(uninterrupted)

    def monitor_blocking(self, page: str) -> dict[str, Any]:
        """`monitor` for a program without an event loop."""
        self._present()
        return self._read_page(page)

    def kill(self) -> None:
        """SIGKILL: no goodbye to clients, no last write. The storage stays as it is on disk.

        Returns when the process is gone, which takes a millisecond or two. Does nothing when there
        is none. Raises NatsServerError when the process survives.
        """
        self._present().kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers.

        Returns when the process stands still. Raises NatsServerError when nothing runs.
        """
        self._present().pause()

    def resume(self) -> None:
        """SIGCONT: go on after `pause`. Raises NatsServerError when nothing runs."""
        self._present().resume()

    def lame_duck(self) -> None:
        """SIGUSR2: clients are told to go elsewhere, JetStream ends, and then the server.

        Returns at once. The server takes no new connections and closes the old ones over
        `lame_duck_duration`, 30 seconds at least; it ends when there are none. `running` tells
        when; `restart` brings it back, sooner as well. Raises NatsServerError when nothing runs.
        """
        self._present().lame_duck()

    def _present(self) -> ServerProcess:
        if not self._inside:
            raise NatsServerError("the context of this server is not entered, or it was left")
        return self._process

    def _restart(self, check: Check) -> None:
        process = self._present()
        process.stop(check)
        process.start(check)

    def _reloading(self, config: Config | None) -> Callable[[Check], None]:
        process = self._present()
        text = None if config is None else render_config(config)
        return lambda check: process.reload(text, check)

    def _read_page(self, page: str) -> dict[str, Any]:
        if not page.startswith("/"):
            raise ValueError(f"page is {page!r}: give a path such as '/varz'")
        if self.http_port is None:
            raise NatsServerError(
                "the server has no monitoring port: make it with NatsServer(http_port=0)"
            )
        try:
            return read_page(self.http_port, page, _ANSWER_TIMEOUT)
        except (OSError, ValueError, TypeError) as error:
            raise NatsServerError(f"{self.server_name} does not show {page}: {error}") from error

    # The context

    def _enter(self, check: Check) -> None:
        self._prepare(check).start(check)

    def _prepare(self, check: Check) -> ServerProcess:
        """Take all that a process needs, without starting one."""
        binary = find_binary(self._binary)
        check_version(binary, check)
        self._entered = ServerProcess(binary, self._settings)
        return self._entered

    def _leave(self, check: Check) -> None:
        self._inside = False
        self._process.stop(check)

    def _close(self) -> None:
        if self._entered is not None:
            self._entered.close()
