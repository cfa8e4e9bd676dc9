"""Handlers in worker processes: a pool of its own for each `listen`.

Theory of operation. anyio's pool (`anyio.to_process`) runs the main program in every process,
before anything of ours could run there; its pipe is the standard output, its standard error a pipe
that nobody reads, and it kills a process but not what that has started. None of this can be set
from outside, so the processes here are started with `anyio.open_process`, each in a session of its
own: no signal of a terminal reaches it, and it can be killed with all that its handlers started.

A process runs one job at a time; the other side of the pipes is `_process_side`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from walnats_anyio._actors.run._answering import Answering
from walnats_anyio._actors.run._channel import HEAD, READY
from walnats_anyio._actors.run._failure import Failure, WorkerProcessError
from walnats_anyio._actors.run._logs import Levels, log_again
from walnats_anyio._actors.run._process_side import BOOT, MainProgram, Request

START_WITHIN = 60.0
"""Seconds that a process may take to start and to import the handler's module."""

CLOSE_WITHIN = 1.0
"""Seconds that an idle process has to end by itself."""

REAP_WITHIN = 2.0
"""Seconds that the system may take to end a process that was killed."""

MAX_ANSWER = 1 << 30
"""Bytes of one answer; a log record can be large."""


class Processes:
    """The worker processes of one `listen`."""

    def __init__(self, most: int) -> None:
        self.limiter = anyio.CapacityLimiter(most)
        """Processes at once that run a job."""
        self._idle: list[WorkerProcess] = []
        self._main = _main_program()

    async def run(
        self,
        handler: Callable[[Any], Any],
        message: Any,
        *,
        actor: str,
        event: str,
        started: Callable[[], None],
    ) -> None:
        """Run a handler in a process; see `Executors.run`."""
        job = pickle.dumps((handler, message), pickle.HIGHEST_PROTOCOL)
        async with self.limiter:
            request = pickle.dumps(Request(actor, event, job, self._main, Levels.now()))
            answer: dict[str, Any] | None = None
            while self._idle and answer is None:
                answer = await self._run_in(self._idle.pop(), request, started)
            if answer is None:
                # None was there, or all had died: that is not the job's fault, and no attempt.
                process = await WorkerProcess.start()
                answer = await self._run_in(process, request, started)
                if answer is None:
                    raise WorkerProcessError(
                        f"the worker process {process.ending} while it imported the handler"
                    )
        if isinstance(handler, Answering):
            handler.response = base64.b64decode(answer["response"])

    async def _run_in(
        self, process: WorkerProcess, request: bytes, started: Callable[[], None]
    ) -> dict[str, Any] | None:
        """Run a job there; gives its answer. None: the process died before the handler started."""
        usable = False
        try:
            answer = await process.run(request, started)
            if answer is None:
                return None
            usable = answer["usable"]
        finally:
            if usable:
                self._idle.append(process)
            else:
                # Cancelled, dead, with a program half imported, or spoilt for good by a handler.
                await process.kill()
        if answer["ended"] is not None:
            raise Failure(**answer["ended"]).as_error()
        return answer

    async def close(self) -> None:
        """End the processes, which are idle."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                while self._idle:
                    tasks.start_soon(self._idle.pop().close, name="walnats/process")


class WorkerProcess:
    """A process that runs handlers, one after another."""

    def __init__(self, process: Process, lifeline: int) -> None:
        self._process = process
        self._lifeline = lifeline
        self._requests = cast("ByteSendStream", process.stdin)
        self._answers = BufferedByteReceiveStream(cast("ByteReceiveStream", process.stdout))
        self._has_started = False
        self._is_killed = False

    @classmethod
    async def start(cls) -> WorkerProcess:
        """Start a process; blocks until it is ready, some tenths of a second.

        Raises:
            WorkerProcessError: it cannot be started.
        """
        worker: WorkerProcess | None = None
        with anyio.CancelScope(shield=True):  # or a process could be left behind, unknown
            worker = cls(*await _open())
        assert worker is not None
        ready = False
        try:
            with anyio.move_on_after(START_WITHIN):
                await worker._answers.receive_until(READY, MAX_ANSWER)
                ready = True
        except _ENDED as error:
            raise WorkerProcessError(
                "no worker process can be started: it ended at once"
            ) from error
        finally:
            if not ready:
                await worker.kill()
        if not ready:
            raise WorkerProcessError(f"a worker process was not ready within {START_WITHIN} s")
        return worker

    @property
    def ending(self) -> str:
        """How the process ended, in words."""
        return ending_of(self._process.returncode)

    async def run(self, request: bytes, started: Callable[[], None]) -> dict[str, Any] | None:
        """Run a job; gives its last answer. None: the process died before the handler started.

        Raises:
            WorkerProcessError: it died later, or the handler's module was not there in time.
        """
        self._has_started = False
        try:
            return await self._converse(request, started)
        except _ENDED as error:
            await self.kill()
            if not self._has_started:
                return None
            raise WorkerProcessError(
                f"the worker process {self.ending} in the middle of the job"
            ) from error

    async def _converse(self, request: bytes, started: Callable[[], None]) -> dict[str, Any]:
        with anyio.move_on_after(START_WITHIN) as starting:
            await self._requests.send(len(request).to_bytes(HEAD) + request)
            while True:
                answer = await self._answer()
                if "started" in answer:
                    starting.deadline = math.inf
                    self._has_started = True
                    started()
                elif "ended" in answer:
                    return answer
        raise WorkerProcessError(
            f"the handler's module was not imported within {START_WITHIN} s in a worker process"
        )

    async def _answer(self) -> dict[str, Any]:
        """The next answer that is no log record."""
        while True:
            line = await self._answers.receive_until(b"\n", MAX_ANSWER)
            answer: dict[str, Any] = json.loads(line)
            if "log" not in answer:
                return answer
            log_again(answer["log"])

    async def kill(self) -> None:
        """Kill the process and what its handlers started; blocks until it is gone."""
        if not self._is_killed:
            self._is_killed = True  # once only: the number may be another process's later
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._let_go()
        with anyio.move_on_after(REAP_WITHIN, shield=True):
            await self._process.aclose()

    async def close(self) -> None:
        """End the process, which is idle: by itself if it can. What it still logs is logged."""
        with anyio.move_on_after(CLOSE_WITHIN):
            try:
                await self._requests.aclose()
                while True:
                    await self._answer()
            except _ENDED:
                await self._process.wait()
        if self._process.returncode is None:
            await self.kill()
        self._let_go()
        with anyio.move_on_after(REAP_WITHIN):
            await self._process.aclose()

    def _let_go(self) -> None:
        """Close the pipe whose end is the end of the process. It has been killed, or has ended."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def ending_of(code: int | None) -> str:
    """Say how a process ended.

    Args:
        code: what `subprocess` gives as its `returncode`.
    """
    if code is None:
        return "closed its pipes"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # one of the real-time signals
        return f"was killed by signal {-code}"


_ENDED = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
)
"""What reading from or writing to a process that has ended raises."""


async def _open() -> tuple[Process, int]:
    """Start a process; gives it and the pipe that it dies with: `_channel` tells why.

    Raises:
        WorkerProcessError: the system does not start it.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        try:
            try:
                stdout = os.dup(1)
            except OSError:  # this program has none
                stdout = os.open(os.devnull, os.O_WRONLY)
            theirs.callback(os.close, stdout)
            parent, lifeline = os.pipe()
            theirs.callback(os.close, parent)
            ours.callback(os.close, lifeline)
            numbers = (stdout, parent)
            process = await anyio.open_process(
                [sys.executable, "-c", BOOT, *map(str, numbers), *map(os.path.abspath, sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None,
                pass_fds=numbers,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerProcessError(f"no worker process can be started: {error}") from error
        ours.pop_all()
        return process, lifeline


def _main_program() -> MainProgram:
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    spec = getattr(main, "__spec__", None)
    if path is not None and spec is None and not Path(path).exists():
        path = None  # it came from standard input
    return MainProgram(
        list(sys.argv),
        None if spec is None else spec.name,
        None if path is None else str(Path(path).absolute()),
        # Each has an exception of its own for a cancellation, in a module of its own.
        anyio.get_cancelled_exc_class().__module__.partition(".")[0],
    )
