"""A worker process that answers in lines of JSON: for `tune`, and for the benchmarks.

It is told what to do on its standard input, and ends when that ends. Its answers come on its
standard output, each a line that begins with `{`; other lines are left out. What it writes to
standard error is kept, and the end of it is in the error when the process dies.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

LONGEST_LINE = 2**20
"""Bytes of an answer at most."""

TIME_TO_STOP = 10.0
"""Seconds that a process has to end before it is killed."""

SHOWN = 2000
"""Characters of standard error that an error shows."""


class ProcessDiedError(Exception):
    """A worker process ended, or did not answer in time; the message has its last words."""


class WorkerProcess:
    """One worker process. Made by `started`."""

    def __init__(self, process: Process, stderr: IO[bytes], name: str) -> None:
        assert process.stdout is not None  # for the type checker: `open_process` pipes it
        self._process, self._stderr, self._name = process, stderr, name
        self._lines = BufferedByteReceiveStream(process.stdout)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, line: bytes) -> None:
        """Tell it something, in one line.

        Raises:
            ProcessDiedError: it is gone.
        """
        assert self._process.stdin is not None  # for the type checker
        try:
            await self._process.stdin.send(line + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ProcessDiedError(self._complaint("died")) from error

    async def answer(self, within: float) -> bytes:
        """Its next answer.

        Args:
            within: seconds that it has.

        Raises:
            ProcessDiedError: it died, or took longer.
        """
        line = b""
        try:
            with anyio.fail_after(within):
                while not line.startswith(b"{"):
                    line = await self._lines.receive_until(b"\n", LONGEST_LINE)
        except TimeoutError as error:
            raise ProcessDiedError(
                self._complaint(f"gave no answer within {within:.0f} s")
            ) from error
        except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise ProcessDiedError(self._complaint("died")) from error
        return line

    async def stop(self) -> None:
        """Let it go, and wait until it has gone; it is killed when it takes too long."""
        assert self._process.stdin is not None  # for the type checker
        await self._process.stdin.aclose()  # the end of its standard input is what it waits for
        with anyio.move_on_after(TIME_TO_STOP):
            await self._process.wait()
        self.kill()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()

    def _complaint(self, what: str) -> str:
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip()[-SHOWN:]
        return f"{self._name} {what}" + (f"\n{words}" if words else "")


@asynccontextmanager
async def started(
    command: Sequence[str], name: str, cwd: Path | None = None, *, session: bool = False
) -> AsyncIterator[WorkerProcess]:
    """Start a worker process, which has ended when the block is left.

    Args:
        command: the program and its arguments.
        name: what errors call it.
        cwd: the directory that it is started in.
        session: whether it has a session of its own, so that Ctrl-C does not reach it.
    """
    with tempfile.TemporaryFile() as stderr:
        async with await anyio.open_process(
            command, cwd=cwd, stderr=stderr, start_new_session=session
        ) as process:
            worker = WorkerProcess(process, stderr, name)
            try:
                yield worker
            except BaseException:
                worker.kill()
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    await worker.stop()
