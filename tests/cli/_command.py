"""Running the command as a process of its own, and waiting for what it does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds until a condition must hold: long, as only a broken program takes them all."""

LOST = "Exception ignored in"
"""What Python says of an exception that it loses."""

MARK = "WALNATS_TEST_MARK"
"""An environment variable that every process of a test inherits."""


def until(condition: Callable[[], T], explain: Callable[[], object] = lambda: "") -> T:
    """Wait until the condition gives something true, and return that."""
    deadline = time.monotonic() + DEADLINE
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE} s. {explain()}")
        time.sleep(0.02)


IN_TERMINAL = """
import os, pty, sys
words = [sys.executable, "-m", "walnats_anyio", *sys.argv[1:]]
sys.exit(os.waitstatus_to_exitcode(pty.spawn(words)))
"""
"""A program that gives the command a terminal, whose keyboard is the program's standard input."""


class Command:
    """`walnats-anyio ...` in a process of its own."""

    def __init__(
        self,
        directory: Path,
        words: tuple[str, ...],
        env: dict[str, str],
        *,
        terminal: bool,
        python: Path | None,
    ) -> None:
        self.directory = directory
        self.mark = uuid.uuid4().hex
        self.temporary = directory / f"temporary-{self.mark}"
        self.temporary.mkdir()
        self._output = directory / f"{self.mark}.out"
        own = {MARK: self.mark, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"}
        # How wide the terminal of whoever runs the tests is must not matter.
        inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    python or sys.executable,
                    *(["-c", IN_TERMINAL] if terminal else ["-m", "walnats_anyio"]),
                    *words,
                ],
                cwd=directory,
                env={**inherited, **own, **env},
                stdin=subprocess.PIPE if terminal else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(errors="replace")

    def says(self, text: str) -> None:
        """Wait until it has printed the text; fail when it ends without."""

        def said() -> bool:
            ended = self.process.poll() is not None
            if text in self.output:
                return True
            if ended:
                raise AssertionError(f"it ended without {text!r}:\n{self.output}")
            return False

        until(said, lambda: f"No {text!r} in:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def interrupt(self) -> None:
        """Press Ctrl-C, and once more where Python loses it.

        It does so in a callback of a weak reference, and says that it is ignored.
        """

        def heard() -> bool:
            return LOST in self.output or self.process.poll() is not None

        self.send(signal.SIGINT)
        until(heard, lambda: f"It does not end. It said:\n{self.output}")
        if self.process.poll() is None:
            self.send(signal.SIGINT)

    def press(self, keys: bytes) -> None:
        """Type something, if it has a terminal."""
        assert self.process.stdin is not None
        self.process.stdin.write(keys)
        self.process.stdin.flush()

    def ends(self) -> int:
        """Wait until it has ended, and return its exit code."""
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it does not end. It said:\n{self.output}") from None

    def left_behind(self) -> list[int | Path]:
        """Processes and files of it that are still there after a while; empty when none is."""

        def left() -> list[int | Path]:
            return [*marked(self.mark), *self.temporary.iterdir()]

        with contextlib.suppress(TimeoutError):
            until(lambda: not left())
        return left()

    def kill_all(self) -> None:
        """End whatever is left of it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        for pid in marked(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def marked(mark: str) -> Iterator[int]:
    """The processes that inherited a mark and still run."""
    wanted = f"{MARK}={mark}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environ.read_bytes().split(b"\0"):
                yield int(environ.parent.name)
        except OSError:  # it ended meanwhile, or is somebody else's
            continue


@contextlib.contextmanager
def started(
    directory: Path,
    *words: str,
    terminal: bool = False,
    python: Path | None = None,
    **env: str,
) -> Iterator[Command]:
    """Run `walnats-anyio WORDS` in a directory; nothing of it outlives the block."""
    command = Command(directory, words, env, terminal=terminal, python=python)
    try:
        yield command
    finally:
        command.kill_all()


def report_in(file: Path, state: str) -> dict[str, Any]:
    """Wait for a JSON report of this state."""

    def read() -> dict[str, Any] | None:
        if not file.exists():
            return None
        report: dict[str, Any] = json.loads(file.read_text())
        return report if report.get("state") == state else None

    return until(read) or {}
