"""One of several worker processes, as its supervisor sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from signal import Signals
from typing import IO, Any

import anyio
from anyio.abc import Process

from walnats_anyio.cli._ended import WorkerEnding
from walnats_anyio.cli._endings import ExitCode
from walnats_anyio.cli._heartbeat import GO, SHOW_STACKS, beat_of
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan

STARTING_FACTOR = 5
"""How many hang timeouts a worker may take for its first heartbeat: it loads the program."""

SHOW_WITHIN = 0.5
"""Seconds that a worker has to print the stacks of its threads before it is killed."""


class WorkerProcess:
    """A worker process: its heartbeats, its news, its end."""

    def __init__(self, number: int, process: Process, pipe: socket.socket, plan: Plan) -> None:
        self.number = number
        """Which one, from 1."""
        self.pid = process.pid
        """Its process id."""
        self.ready_at: float | None = None
        """Since when it receives events, in the event loop's time; None when it never did."""
        self.ended_as: int | None = None
        """Its return code; None while it runs."""
        self.actors: list[dict[str, Any]] | None = None
        """What it did; None as long as it has not told."""
        self.jobs_cancelled = False
        """Whether it told that the shutdown timeout cut jobs short."""
        self.statistics: dict[str, Any] = {}
        """What it is doing, as it told last; empty before that."""
        self.loaded = False
        """Whether it has loaded the program."""
        self.memory_at_start = 0
        """Its resident memory in bytes when it was ready, where there is a limit."""
        self.retired = False
        """Whether another process has taken its place."""
        self.ended = anyio.Event()
        """Set when it has ended, and everybody who has to know does."""
        self._news = anyio.Event()
        self._silence = 0.0
        self._limit: float | None = None
        self._told_to_stop = False
        self._process = process
        self._pipe = pipe
        self._unread = b""
        self._pipe_ended = False
        self._hang_timeout = plan.heartbeats_missed_after
        self._hung_for: float | None = None
        self._on_ready: Callable[[], None]

    @classmethod
    async def start(
        cls,
        number: int,
        plan: Plan,
        *,
        standby: bool = False,
        register: bool = False,
        output: IO[bytes] | None = None,
        env: dict[str, str] | None = None,
    ) -> WorkerProcess:
        """Start the process.

        Args:
            number: which one, from 1.
            plan: what it is to run.
            standby: whether it is to load the program and then wait for `go`.
            register: whether it is to register the actors before it listens.
            output: where its output goes; None: where that of this process goes.
            env: its environment; None: that of this process.

        Raises:
            OSError: the system does not let us.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await anyio.open_process(
                [sys.executable, "-m", "walnats_anyio", "run", plan.target, f"--worker={number}"],
                stdin=theirs.fileno(),
                stdout=output,
                stderr=output,
                cwd=plan.directory,
                env=env,
                start_new_session=True,
                pass_fds=() if plan.log_lock is None else (plan.log_lock,),
            )
            # It fits into the buffer of the socket: nobody has to wait for its reader.
            ours.sendall(plan.for_worker(number, standby=standby, register=register))
            ours.setblocking(False)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(number, process, ours, plan)

    def __str__(self) -> str:
        return f"worker {self.number} ({self.pid})"

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Wait for its end; kill it when it hangs, or when this is cancelled."""
        self._on_ready = on_ready
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                self.ended_as = await self._process.wait()
                tasks.cancel_scope.cancel()
        finally:
            if self.ended_as != ExitCode.DONE:
                # With the processes that it started for handlers: nobody waits for those any more,
                # and their events go to others. The id is theirs for as long as there are any.
                self.kill()
            with anyio.CancelScope(shield=True):
                await self._process.aclose()
            while self._hear():
                pass
            self._pipe.close()
            self._tell()

    def send(self, number: Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.ended_as is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def stop(self) -> None:
        """Have it stop gracefully; a second call does nothing, as a second SIGTERM would."""
        if not self._told_to_stop:
            self._told_to_stop = True
            self.send(signal.SIGTERM)

    def go(self) -> None:
        """Have it go on, if it waits for its turn."""
        with suppress(OSError):  # it has ended
            self._pipe.send(GO)

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until it has told something, or has ended; whether it was the former."""
        while not condition() and self.ended_as is None:
            await self._news.wait()
        return condition()

    @property
    def ready(self) -> bool:
        """Whether it receives events, and is not to stop."""
        return self.ready_at is not None and self.ended_as is None and not self._told_to_stop

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for too long, and has not ended for all that was done."""
        return self._limit is not None and self._silence >= self._limit

    @property
    def connected(self) -> bool:
        """Whether it is connected to NATS, as far as it has told."""
        return bool(self.statistics.get("connected", False))

    @property
    def jobs(self) -> int:
        """Jobs that came to an end in it, as far as it has told."""
        return int(self.statistics.get("jobs", 0))

    def kill(self) -> None:
        """Send SIGKILL to it and to the processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def ending(self) -> WorkerEnding:
        """How it ended."""
        return WorkerEnding(self.number, self.pid, -1 if self.ended_as is None else self.ended_as)

    def end_in_words(self) -> str:
        """How it ended, for a person."""
        if self._hung_for is not None:
            return f"sent no heartbeat for {self._hung_for:g} s and was killed"
        if (name := self.killed_by) is not None:
            return f"was killed by {name}"
        if self.ended_as == ExitCode.NO_CONNECTION:
            return "lost NATS or did not reach it, and ended with exit code 3"
        return f"ended with exit code {self.ended_as}"

    @property
    def killed_by(self) -> str | None:
        """The signal that killed it."""
        code = self.ended_as
        if code is None or code >= 0:
            return None
        try:
            return Signals(-code).name
        except ValueError:  # one of the real-time signals
            return f"signal {-code}"

    async def _watch(self) -> None:
        """Take its news; when no heartbeats come for too long, kill it.

        Silence is counted by the ticks of this process: where all processes stood still together,
        as in a container that was paused, time has passed that nobody could use.
        """
        timeout = self._hang_timeout
        tick = None if timeout is None else beat_of(timeout)
        self._limit = None if timeout is None else timeout * STARTING_FACTOR
        while True:
            with anyio.move_on_after(tick):
                await self._readable()
            if self._hear():
                self._limit, self._silence = timeout, 0.0
            elif tick is not None and self._limit is not None:
                self._silence += tick
                if self.hangs:
                    await self._end_hanging(self._limit)

    async def _readable(self) -> None:
        if self._pipe_ended:  # for ever, as it closed the pipe and goes on
            await anyio.sleep_forever()
        await anyio.wait_readable(self._pipe)

    def _hear(self) -> bool:
        """Read from the pipe; false when there was nothing."""
        try:
            data = self._pipe.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._pipe_ended = not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in filter(None, lines):
            self._take(json.loads(line))
        return bool(data)

    def _take(self, news: dict[str, Any]) -> None:
        self.loaded = news.get("loaded", self.loaded)
        self.actors = news.get("summary", self.actors)
        self.jobs_cancelled = news.get("jobs_cancelled", self.jobs_cancelled)
        self.statistics = news.get("statistics", self.statistics)
        if news.get("ready"):
            self.ready_at = anyio.current_time()
            self._on_ready()
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _end_hanging(self, limit: float) -> None:
        self._hung_for = limit
        logger.error("%s: no heartbeat for %g s, so it hangs: killing it", self, limit)
        self.send(SHOW_STACKS)
        await anyio.sleep(SHOW_WITHIN)
        self.kill()
        await anyio.sleep_forever()
