"""One nats-server process after another, on the same ports and the same storage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._looks import LOOK_EVERY, Deadline, Looks
from walnats_anyio.testing._ports import HOST, HeldPort
from walnats_anyio.testing._watchdog import Watchdog
from walnats_anyio.testing._wire import check_accepts, read_info

_KILL_TIMEOUT = 10.0
"""Seconds until a process that was sent SIGKILL must be gone. It takes a millisecond or two."""


@dataclass(frozen=True)
class Settings:
    """How a server is to be run."""

    config: str
    """The text of its configuration file."""

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

    `close` gives all of it back. Methods that take time are looks; all others return at once.
    """

    def __init__(self, binary: str, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._last_logs = ""
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
            self._command = self._write_command(binary)
            self._watchdog = Watchdog(self.directory)
            undo.callback(self._watchdog.dismiss)
            self._undo = undo.pop_all()

    def _write_command(self, binary: str) -> list[str]:
        """Flags for what is ours, a file for what is the user's: a flag wins over the file."""
        self._ports_dir = self.directory / "ports"
        self._ports_dir.mkdir()
        command = [binary, "-a", HOST, "-p", str(self.port)]
        command += ["-js", "-sd", str(self.store_dir), "-n", self._settings.server_name]
        command += ["--ports_file_dir", str(self._ports_dir)]
        if self.http_port is not None:
            command += ["-m", str(self.http_port)]
        if self._settings.config:
            config = self.directory / "server.conf"
            config.write_text(self._settings.config, encoding="utf-8")
            command += ["-c", str(config)]
        return command

    @property
    def port(self) -> int:
        return self._held.number

    @property
    def http_port(self) -> int | None:
        return self._held_http.number if self._held_http else None

    @property
    def running(self) -> bool:
        """Whether there is a process; a paused one counts."""
        return self._process is not None and self._process.poll() is None

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

    def start(self) -> Looks[None]:
        """Run the server until it is ready for clients, unless it runs already."""
        if self.running:
            return
        for stale in self._ports_dir.iterdir():
            stale.unlink()
        logged_before = self._log.stat().st_size
        self._launch()
        try:
            yield from self._until_ready(logged_before)
        except BaseException:
            self.kill()
            raise

    def _launch(self) -> None:
        # A file takes any amount of log, where a pipe that nobody reads would stop the server. Its
        # own process group: Ctrl-C in the terminal is for the program, which may still need its
        # server to end well.
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
        self._watchdog.guard(self._process.pid)
        self._paused = False

    def _until_ready(self, logged_before: int) -> Looks[None]:
        deadline = Deadline(self._settings.start_timeout)
        # The file is written by this very process, once all its listeners accept: a foreign server
        # on the port cannot be mistaken for it.
        while not self._ports_told():
            if not self.running or deadline.passed:
                raise self._not_ready(logged_before)
            yield LOOK_EVERY
        try:
            if "handshake_first" in self._settings.config:
                # Such a server says nothing before TLS is agreed on.
                yield from check_accepts(self.port, deadline)
                return
            info = yield from read_info(self.port, deadline)
        except (OSError, ValueError) as error:
            raise self._not_ready(logged_before) from error
        if not info.get("jetstream"):
            raise NatsServerError(f"nats-server runs without JetStream: {info}")

    def _ports_told(self) -> bool:
        for file in self._ports_dir.glob("*.ports"):
            try:
                return bool(json.loads(file.read_text()))
            except ValueError:  # not yet written to its end
                return False
        return False

    def _not_ready(self, logged_before: int) -> NatsServerError:
        code = self._process.poll() if self._process else None
        what = "was not ready in time" if code is None else f"ended with exit status {code}"
        log = self._log.read_bytes()[logged_before:].decode(errors="replace").strip()
        seconds = self._settings.start_timeout
        return NatsServerError(f"nats-server {what} (start_timeout={seconds}). Its log:\n{log}")

    def stop(self) -> Looks[None]:
        """SIGTERM; after `stop_timeout`, SIGKILL."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a paused process would never see the SIGTERM
            deadline = Deadline(self._settings.stop_timeout)
            while process.poll() is None and not deadline.passed:
                yield LOOK_EVERY
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Does nothing when there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        try:
            process.wait(_KILL_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            self._process = process
            raise NatsServerError(f"nats-server {process.pid} survives SIGKILL") from error
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
        if self._process is None or self._process.poll() is not None:
            raise NatsServerError(
                "nats-server is not running: it was stopped or killed, or it ended"
            )
        return self._process

    def close(self) -> None:
        """Kill the process if there is one, and give back all that is held."""
        try:
            self.kill()
        finally:
            self._last_logs = self.logs
            self._undo.close()
