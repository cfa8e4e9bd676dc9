"""`NatsServer`: the real nats-server as a context manager."""

from __future__ import annotations

import secrets
from pathlib import Path

from walnats_anyio._events._arguments import check_seconds
from walnats_anyio.testing._arguments import check_name, check_port
from walnats_anyio.testing._binary import check_version, find_binary
from walnats_anyio.testing._config import Config, render_config
from walnats_anyio.testing._context import ServerContext
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._looks import Looks, wait_async, wait_blocking
from walnats_anyio.testing._ports import HOST
from walnats_anyio.testing._process import ServerProcess, Settings


class NatsServer(ServerContext):
    """A real `nats-server` with JetStream on 127.0.0.1, for tests, demonstrations and development.

    `async with NatsServer() as server` runs it on asyncio and on trio; `with NatsServer() as
    server` without an event loop. Clients may connect to `server.url` and use JetStream as soon as
    the context is entered. Leaving it stops the server and removes its temporary directory,
    whatever happened in between; if this program dies too hard for that (SIGKILL), a watchdog
    process does it.

    A server that is stopped or killed keeps its ports and its storage: `start` brings it back where
    it was. Its process is in a process group of its own, so that Ctrl-C reaches the program alone.

    Args:
        port: where clients connect; 0 (the default) for any free port.
        http_port: the monitoring port; 0 for any free port, None (the default) for no monitoring.
        store_dir: where JetStream keeps its data. It is made if it is missing and never removed.
            None (the default) for a temporary directory, removed when the context is left.
        config: anything else, in the words of nats-server: a dict (`{"max_payload": 4096,
            "jetstream": {"sync_interval": "always"}}`) or the text of a configuration file.
            Passwords are not put into `url`.
        server_name: what the server calls itself; None (the default) for a name made up.
        binary: the program to run, a path or a name to be found on PATH; None (the default) for the
            `nats-server` in the environment of the running Python, else on PATH. It must be of
            version 2.12 or later.
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
        server_name: str | None = None,
        binary: str | Path | None = None,
        start_timeout: float = 30.0,
        stop_timeout: float = 10.0,
    ) -> None:
        check_port("port", port)
        if http_port is not None:
            check_port("http_port", http_port)
        check_seconds("start_timeout", start_timeout)
        check_seconds("stop_timeout", stop_timeout)
        if server_name is not None:
            check_name("server_name", server_name)
        self._binary = binary
        self._settings = Settings(
            config=render_config(config),
            port=port,
            http_port=http_port,
            store_dir=None if store_dir is None else Path(store_dir).absolute(),
            server_name=server_name or f"walnats-{secrets.token_hex(4)}",
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
        )
        self._entered: ServerProcess | None = None
        self._inside = False

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
        return self._inside and self._process.running

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

        Returns when it is ready; at once when it is running. Raises NatsServerError, with the log,
        when it does not start.
        """
        await wait_async(self._present().start())

    async def stop(self) -> None:
        """Stop gracefully, or by SIGKILL after `stop_timeout`. Ports and storage stay."""
        await wait_async(self._present().stop())

    async def restart(self) -> None:
        """`stop`, then `start`: clients are disconnected, data stays. Revives a killed one too."""
        await wait_async(self._restarting())

    def start_blocking(self) -> None:
        """`start` for a program without an event loop."""
        wait_blocking(self._present().start())

    def stop_blocking(self) -> None:
        """`stop` for a program without an event loop."""
        wait_blocking(self._present().stop())

    def restart_blocking(self) -> None:
        """`restart` for a program without an event loop."""
        wait_blocking(self._restarting())

    def kill(self) -> None:
        """SIGKILL: no goodbye to clients, no last write. The storage stays as it is on disk.

        Returns when the process is gone, which takes a millisecond or two. Does nothing when there
        is none.
        """
        self._present().kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers. NatsServerError when nothing runs."""
        self._present().pause()

    def resume(self) -> None:
        """SIGCONT: go on after `pause`. NatsServerError when nothing runs."""
        self._present().resume()

    def _present(self) -> ServerProcess:
        if not self._inside:
            raise NatsServerError("the context of this server is not entered, or it was left")
        return self._process

    def _restarting(self) -> Looks[None]:
        process = self._present()
        yield from process.stop()
        yield from process.start()

    # The context

    def _entering(self) -> Looks[None]:
        if self._inside:
            raise NatsServerError("the context of this server is entered already")
        binary = find_binary(self._binary)
        yield from check_version(binary)
        process = self._entered = ServerProcess(binary, self._settings)
        try:
            yield from process.start()
        except BaseException:
            process.close()
            raise
        self._inside = True

    def _leaving(self) -> Looks[None]:
        self._inside = False
        try:
            yield from self._process.stop()
        finally:
            self._process.close()
