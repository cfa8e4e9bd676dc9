"""A program of docs/examples, started as a reader would start it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.docs._blocks import EXAMPLES, ROOT
from tests.support.waiting import DEADLINE, until_blocking

BIN = Path(sys.executable).parent


@dataclass
class Program:
    """A program that runs; its output goes into a file."""

    process: subprocess.Popen[bytes]
    file: Path

    @property
    def output(self) -> str:
        return self.file.read_text()

    def says(self, *texts: str) -> None:
        """Wait until its output has each of the texts."""
        until_blocking(lambda: all(text in self.output for text in texts), lambda: self.output)

    def ends(self, signal_number: int | None = None) -> int:
        """Wait for its end, for which a signal asks; its exit code."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it goes on: {self.output}") from None


@contextmanager
def started(
    directory: str, file: Path, server: str, *command: str, text: bytes | None = None, **env: str
) -> Iterator[Program]:
    """Run a command in a directory of docs/examples; end it by force when the block is left.

    The command begins with a file, which Python runs, or with a program that is installed.
    """
    first, *rest = command
    program = [sys.executable, "-u", first] if first.endswith(".py") else [str(BIN / first)]
    with (
        file.open("wb") as output,
        subprocess.Popen(
            [*program, *rest],
            cwd=EXAMPLES / directory,
            env={**os.environ, "NATS_SERVER": server, "PYTHONPATH": str(ROOT),
                 "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        try:
            if process.stdin is not None:
                process.stdin.write(text or b"")
                process.stdin.close()
            yield Program(process, file)
        finally:
            process.kill()


@dataclass(frozen=True)
class Web:
    """A web server on loopback."""

    port: int

    def ask(self, method: str, path: str, body: str = "") -> int:
        """The status of one request."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            client.request(method, path, body, {"Content-Type": "application/json"})
            return client.getresponse().status
        finally:
            client.close()

    def answers(self, path: str, status: int, program: Program) -> None:
        """Wait until a GET of a path has a status."""

        def asked() -> bool:
            assert program.process.poll() is None, program.output
            try:
                return self.ask("GET", path) == status
            except OSError:
                time.sleep(0.05)
                return False

        until_blocking(asked, lambda: program.output)


def web_server() -> Web:
    """A port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Web(listener.getsockname()[1])
