"""Where plain functions run: in threads and in worker processes, each with a limit of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

from walnats_anyio._actors.declare._choices import ExecuteIn
from walnats_anyio._actors.run._processes import Processes
from walnats_anyio._actors.run._threads import Threads
from walnats_anyio._link import hold_clock


class Executors:
    """The threads and worker processes of one `listen`.

    An asynchronous context manager. Leaving it ends the worker processes, within 3 seconds; a
    thread that was abandoned runs on.
    """

    def __init__(self, max_threads: int | None, max_processes: int | None) -> None:
        cores = os.cpu_count() or 1
        self.threads = Threads(max_threads or min(32, cores + 4))
        self.processes = Processes(max_processes or cores)

    async def __aenter__(self) -> Executors:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with hold_clock():
            await self.processes.close()

    async def run(
        self,
        place: ExecuteIn,
        handler: Callable[[Any], Any],
        message: Any,
        *,
        actor: str,
        event: str,
        started: Callable[[], None],
    ) -> None:
        """Run a handler elsewhere and wait for its end; its result is dropped there.

        Blocks until a thread or process is free, and then until the handler returns. Cancelling
        kills a process, with all that it had started. A thread is abandoned: it runs on, and keeps
        its place until it returns. A handler that has not begun by then never runs.

        Args:
            place: where; not in the event loop.
            handler: the actor's.
            message: what it is called with.
            actor: the name of the actor, for the log.
            event: the name of its event, for the log.
            started: called in the event loop when the handler starts: the time that it may take
                begins here. Not called where it never does.

        Raises:
            Retry: the handler raised that, or a subclass. The same goes for `Reject`.
            HandlerError: it raised something else in a process, or in a thread an exception that
                is no `Exception`, such as `SystemExit`.
            WorkerProcessError: its process died, or did not start.
            Exception: what it raised in a thread.
        """
        with hold_clock():  # what runs there takes real time
            if place is ExecuteIn.PROCESS:
                run = self.processes.run
                await run(handler, message, actor=actor, event=event, started=started)
            else:
                await self.threads.run(handler, message, actor=actor, started=started)

    def hung(self, place: ExecuteIn) -> bool:
        """Whether no job can start there, as every place is held by a handler that was given up.

        Only threads can hang: a process is killed.
        """
        return place is ExecuteIn.THREAD and self.threads.hung
