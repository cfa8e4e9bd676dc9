"""One nats-server process after another, on the same ports and the same storage."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._ports import HOST, HeldPort
from walnats_anyio.testing._waiting import Check, wait_until
from walnats_anyio.testing._watchdog import Watchdog

_KILL_TIMEOUT = 10.0
"""Seconds until a process that was sent SIGKILL must be gone. It takes a millisecond or two."""

_RELOADED = re.compile(rb"Reloaded server configuration|Failed to reload server configuration: .+")
"""What the server logs when it has read its configuration again; a whole line, or its beginning."""


@dataclass(frozen=True)
class Settings:
    """How a server is to be run."""

    config: str
    """What the user wants in its configuration file."""

    fixed: str
    """What comes after it in that file, also when the user's part changes."""

    jetstream: bool
    """Whether it runs with JetStream."""

    port: int
    """Where clients connect; 0 for any free port."""

    http_port: int | None
    """The monitoring port; 0 for any free port, None for no monitoring."""

    store_dir: Path | None
    """Where JetStream keeps its data; None for a place inside the temporary directory."""

    server_name: str
    """What the server calls itself."""

    start_timeout: float
    """Seconds until it must be ready."""

    stop_timeout: float
    """Seconds it may take to stop before it is killed."""


class ServerProcess:
    """Owns the ports, the directory, the log, the watchdog, and the process while there is one.

    `close` gives all of it back. Methods with a `check` block; all others return within
    milliseconds. The methods may be called from several threads.
    """

    def __init__(self, binary: str, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._last_logs = ""
        self._logged_before = 0
        # Held while a process is started or killed, so that there are never two.
        self._changing = threading.Lock()
        with ExitStack() as undo:
            # Not TemporaryDirectory: its finalizer in a forked child would remove what is in use.
            self.directory = Path(mkdtemp(prefix="walnats-nats-"))
            undo.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self._held = HeldPort(settings.port)
            undo.callback(self._held.release)
            self._held_http = None
            if settings.http_port is not None:
                self._held_http = HeldPort(settings.http_port)
                undo.callback(self._held_http.release)
            self.store_dir = settings.store_dir or self.directory / "store"
            self._log = self.directory / "server.log"
            self._log.touch()
            self._ports_dir = self.directory / "ports"
            self._ports_dir.mkdir()
            self._config = self.directory / "server.conf"
            self._write_config(settings.config)
            self._command = self._make_command(binary)
            self._watchdog = Watchdog(self.directory)
            undo.callback(self._watchdog.dismiss)
            self._undo = undo.pop_all()

    def _make_command(self, binary: str) -> list[str]:
        """Flags for what is ours, a file for what is the user's: a flag wins over the file."""
        command = [binary, "-a", HOST, "-p", str(self.port), "-c", str(self._config)]
        command += ["--ports_file_dir", str(self._ports_dir)]
        if self._settings.jetstream:
            command += ["-js", "-sd", str(self.store_dir)]
        if self.http_port is not None:
            command += ["-m", str(self.http_port)]
        return command

    def _write_config(self, config: str) -> None:
        # What is fixed comes last: of two values for one field nats-server takes the last one.
        self._config.write_text(f"{config}\n{self._settings.fixed}", encoding="utf-8")

    @property
    def port(self) -> int:
        return self._held.number

    @property
    def http_port(self) -> int | None:
        return self._held_http.number if self._held_http else None

    @property
    def running(self) -> bool:
        """Whether there is a process; a paused one counts."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def answers(self) -> bool:
        """Whether there is a process and it was not paused."""
        return self.running and not self._paused

    @property
    def pid(self) -> int:
        return self._alive().pid

    @property
    def logs(self) -> str:
        """All that was logged since the first start. Stays after `close`."""
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return self._last_logs

    def start(self, check: Check) -> None:
        """Run the server until it is ready for clients, unless it runs already."""
        if self.launch():
            try:
                self.wait_ready(check)
            except BaseException:
                self.kill()
                raise

    def launch(self) -> bool:
        """Start a process without waiting for it; False when there is one already."""
        with self._changing:
            if self.running:
                return False
            self._logged_before = self._log.stat().st_size
            # A file takes any amount of log, where a pipe that nobody reads would stop the server.
            # Its own process group: Ctrl-C in the terminal is for the program, which may still
            # need its server to end well.
            with self._log.open("ab") as log:
                try:
                    self._process = subprocess.Popen(
                        self._command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        process_group=0,
                    )
                except OSError as error:
                    raise NatsServerError(f"{self._command[0]} cannot be run: {error}") from error
            self._paused = False
            self._watchdog.guard(self._process.pid)
            return True

    def wait_ready(self, check: Check) -> None:
        """Return once the process that was launched is ready for clients."""
        wait_until(
            lambda: self._ports_told() or not self.running, self._settings.start_timeout, check
        )
        if not (self.running and self._ports_told()):
            raise self._not_ready()

    def _ports_told(self) -> bool:
        # The server writes this file when all its listeners accept, and JetStream, which comes
        # before them, is there. With its pid in the name, so that no foreign server on the port and
        # no earlier process is mistaken for it. What a server says to a client tells less: with
        # `handshake_first` it says nothing, with `max_connections` reached an error.
        process = self._process
        return process is not None and any(
            file.stat().st_size for file in self._ports_dir.glob(f"*_{process.pid}.ports")
        )

    def _not_ready(self) -> NatsServerError:
        process = self._process
        code = process.poll() if process else None
        what = "was not ready in time" if code is None else f"ended with exit status {code}"
        log = self._logged_since(self._logged_before).decode(errors="replace").strip()
        seconds = self._settings.start_timeout
        return NatsServerError(f"nats-server {what} (start_timeout={seconds}). Its log:\n{log}")

    def _logged_since(self, size: int) -> bytes:
        return self._log.read_bytes()[size:]

    def stop(self, check: Check) -> None:
        """SIGTERM; after `stop_timeout`, SIGKILL."""
        self.terminate()
        self.wait_stopped(check)

    def terminate(self) -> None:
        """SIGTERM, without waiting for what it does."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a paused process would never see the SIGTERM

    def wait_stopped(self, check: Check) -> None:
        """Wait up to `stop_timeout` until the process has ended; then kill it."""
        try:
            wait_until(lambda: not self.running, self._settings.stop_timeout, check)
        finally:
            # When the wait was given up, too: a next start must not take it for one that runs.
            self.kill()

    def reload(self, config: str | None, check: Check) -> None:
        """SIGHUP, with another user's part of the configuration unless that is None."""
        process = self._alive()
        if self._paused:
            raise NatsServerError("nats-server is paused and cannot reload: resume() it first")
        before = self._config.read_text(encoding="utf-8")
        if config is not None:
            self._write_config(config)
        logged_before = self._log.stat().st_size
        process.send_signal(signal.SIGHUP)

        def said() -> bytes | None:
            found = _RELOADED.search(self._logged_since(logged_before))
            return found[0] if found else None

        wait_until(
            lambda: said() or process.poll() is not None, self._settings.start_timeout, check
        )
        answer = said()
        if answer is None or answer.startswith(b"Failed"):
            # What it runs with is what the next start must read.
            self._config.write_text(before, encoding="utf-8")
            log = self._logged_since(logged_before).decode(errors="replace").strip()
            raise NatsServerError(f"nats-server did not reload. Its log:\n{log}")

    def lame_duck(self) -> None:
        """SIGUSR2, without waiting for what it does."""
        self._alive().send_signal(signal.SIGUSR2)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Does nothing when there is none."""
        with self._changing:
            process = self._process
            if process is None:
                return
            process.kill()
            try:
                process.wait(_KILL_TIMEOUT)
            except subprocess.TimeoutExpired as error:
                raise NatsServerError(f"nats-server {process.pid} survives SIGKILL") from error
            self._process = None
            self._watchdog.guard(None)

    def pause(self) -> None:
        """SIGSTOP, and wait until the process stands still."""
        process = self._alive()
        self._paused = True
        process.send_signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        self._alive().send_signal(signal.SIGCONT)
        self._paused = False

    def _alive(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is None or process.poll() is not None:
            raise NatsServerError(
                "nats-server is not running: it was stopped or killed, or it ended"
            )
        return process

    def close(self) -> None:
        """Kill the process if there is one, and give back all that is held."""
        try:
            self.kill()
        finally:
            self._last_logs = self.logs
            self._undo.close()
