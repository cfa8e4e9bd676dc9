"""The worker processes of one `run`: which of them run, and which take the place of others.

Theory of operation. Each worker has a number and a place: `running` says which process is in it.
`_look_after` keeps one place filled. A process that ends by itself leaves its place empty, and
another one is started after a delay (`_restarts.py`).

Two things put a process into a place that is not empty. Either way the new one loads the program
while the old one still works, and it is kept in `coming` until then.

Recycling (`_recycling.py`) waits until the new one receives events, and only then has the old one
stop: there is never one worker less. One place at a time is treated so.

Reloading (`_reloading.py`) has the new ones wait when they have loaded the program. When that
failed, the old ones go on. When a file changes meanwhile, the new ones are stopped, and the program
is loaded once more. Else the old ones are stopped, and each new one goes on when the old one in its
place has ended: of one place, never two versions of the program run at once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from walnats_anyio.cli._endings import ExitCode
from walnats_anyio.cli._logs import logger
from walnats_anyio.cli._plan import Plan
from walnats_anyio.cli._recycling import Use
from walnats_anyio.cli._reloading import files_in_words, watch
from walnats_anyio.cli._restarts import Backoff, Restart, Restarts
from walnats_anyio.cli._signals import LAST_RESORT
from walnats_anyio.cli._sizes import memory_of
from walnats_anyio.cli._worker_process import WorkerProcess

KILL_AFTER = LAST_RESORT + 2.0
"""Seconds from the moment that jobs are cancelled to SIGKILL, for a worker that does not end."""

LOOK_EVERY = 1.0
"""Seconds between two looks at what the workers need and have done."""

RESTARTS_KEPT = 100
"""How many of the latest restarts are in the report."""


class Workers:
    """Keeps as many worker processes running as were asked for."""

    def __init__(
        self,
        plan: Plan,
        *,
        ended: Callable[[WorkerProcess], None],
        changed: Callable[[], None],
        give_up: Callable[[int | None], None],
    ) -> None:
        self._plan = plan
        self._on_ended = ended
        self._on_changed = changed
        self._give_up = give_up
        self._policy = Restarts(plan.workers, plan.max_restarts)
        self._stopping = self._over = False
        self._change = anyio.Event()
        self._turn = anyio.Lock()
        self._tasks: TaskGroup
        self._changed = set[Path]()
        """Files that have changed since the program was last loaded."""
        self._loading = False
        """Whether the processes in `coming` load the program anew."""
        self._recycle_after = 0.0
        self._recycling_fails = Backoff()
        self.env: dict[str, str] = {}
        """What is in the environment of the processes, besides what is in that of this one."""
        self.running: dict[int, WorkerProcess] = {}
        """The process in each place, by number."""
        self.coming: dict[int, WorkerProcess] = {}
        """The process that is to take a place, and is not ready for that."""
        self.retiring: set[WorkerProcess] = set()
        """Processes that were told to stop, as others have taken their places."""
        self.memory: dict[int, int] = {}
        """The resident memory of each process in its place, by number, in bytes."""
        self.restarts: deque[Restart] = deque(maxlen=RESTARTS_KEPT)
        """The latest processes that ended unasked, and that others took the place of."""
        self.restarted = 0
        """How many there were of them."""
        self.recycled = 0
        """Processes that others took the place of, as they had done or needed enough."""
        self.reloaded = 0
        """How often the program was loaded anew."""

    @property
    def all(self) -> list[WorkerProcess]:
        """Every process there is."""
        return [*self.running.values(), *self.coming.values(), *self.retiring]

    async def run(self, all_started: Callable[[], None]) -> None:
        """Keep them running, until all have ended as they should."""
        async with anyio.create_task_group() as renewing:
            async with anyio.create_task_group() as self._tasks:
                for number in range(1, self._plan.workers + 1):
                    if self._stopping:
                        break
                    await self._tasks.start(self._look_after, number)
                all_started()
                if self._plan.recycling.wanted or self._plan.watched:
                    renewing.start_soon(self._look_at_use)
                if self._plan.reloading.reload:
                    renewing.start_soon(watch, self._plan.watched_directories, self._reload)
            # No task may start a process any more: nobody would wait for it.
            self._over = True
            renewing.cancel_scope.cancel()

    def stop(self) -> None:
        """Have all of them stop gracefully, and start no others."""
        self._stopping = True
        self._wake()
        for worker in self.all:
            worker.stop()

    # one place

    async def _look_after(self, number: int, *, task_status: TaskStatus[None]) -> None:
        """Keep one place filled, with one process after the other."""
        started: Callable[[], None] = task_status.started
        while True:
            if number in self.running:  # a reload has put it there
                delay = await self._until_empty(number)
            else:
                try:
                    worker = await self._start(number)
                except OSError as error:
                    started()
                    delay = self._not_started(number, error)
                else:
                    if number in self.running:  # a reload was faster
                        self._retire(worker)
                    else:
                        self._place(worker)
                    started()
                    delay = await self._until_empty(number)
            started = self._on_changed
            if delay is None:
                return
            await self._pause(number, delay)
            if self._stopping and number not in self.running:
                return

    async def _pause(self, number: int, seconds: float) -> None:
        """Wait so long, or until something is in the place or nothing is to be there any more."""
        with anyio.move_on_after(seconds):
            while not self._stopping and number not in self.running:
                await self._change.wait()

    async def _until_empty(self, number: int) -> float | None:
        """Wait until no process is in the place; the seconds until another one, None: never."""
        while True:
            worker = self.running[number]
            await worker.ended.wait()
            if self.running[number] is not worker:
                continue
            coming = self.coming.pop(number, None)
            if coming is None:
                del self.running[number]
                return self._decide(worker)
            self._place(coming)
            coming.go()
            if not self._stopping:
                reason = f"{worker.end_in_words()}: {coming} takes its place"
                logger.warning("%s %s", worker, reason)
                self._note(self._restart_of(worker))

    def _place(self, worker: WorkerProcess) -> None:
        self.running[worker.number] = worker
        self.memory.pop(worker.number, None)
        self._wake()
        self._on_changed()

    def _wake(self) -> None:
        self._change.set()
        self._change = anyio.Event()

    async def _start(
        self, number: int, *, standby: bool = False, register: bool = False
    ) -> WorkerProcess:
        worker = await WorkerProcess.start(
            number,
            self._plan,
            standby=standby,
            register=register,
            env={**os.environ, **self.env},
        )
        if self._over:
            worker.kill()
        else:
            self._tasks.start_soon(self._run, worker)
        if self._stopping:
            worker.stop()
        return worker

    async def _run(self, worker: WorkerProcess) -> None:
        try:
            await worker.run(partial(self._ready, worker))
        finally:
            self.retiring.discard(worker)
            self._on_ended(worker)
            worker.ended.set()

    def _ready(self, worker: WorkerProcess) -> None:
        self._policy.ready()
        if self._plan.recycling.max_memory is not None:
            worker.memory_at_start = memory_of(worker.pid)

    def _retire(self, worker: WorkerProcess) -> None:
        worker.retired = True
        self.retiring.add(worker)
        worker.stop()
        if self._plan.shutdown_timeout is not None:
            seconds = self._plan.shutdown_timeout + KILL_AFTER
            self._tasks.start_soon(self._kill_later, worker, seconds)

    async def _kill_later(self, worker: WorkerProcess, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await worker.ended.wait()
            return
        worker.kill()

    # ends

    def _decide(self, worker: WorkerProcess) -> float | None:
        """Decide what the end of a worker means: the seconds until its replacement, if any."""
        if self._stopping:
            return None
        if worker.ended_as == ExitCode.DONE and self._plan.burst:
            logger.info("%s: done", worker)
            return None
        ready_for = None
        if worker.ready_at is not None:
            ready_for = anyio.current_time() - worker.ready_at
        return self._replace(str(worker), self._restart_of(worker), ready_for)

    def _not_started(self, number: int, error: OSError) -> float | None:
        reason = f"could not be started: {error}"
        restart = Restart(number, None, None, None, reason, _now())
        return self._replace(f"worker {number}", restart, None)

    def _replace(self, who: str, restart: Restart, ready_for: float | None) -> float | None:
        others = any(worker.ready_at is not None for worker in self.running.values())
        decided = self._policy.ended(restart, ready_for, others=others)
        if isinstance(decided, str):
            if self._plan.reloading.reload:
                logger.error(
                    "%s %s: %s, waiting for a file to change", who, restart.reason, decided
                )
                return inf
            logger.error("%s %s: %s, giving up", who, restart.reason, decided)
            self._give_up(restart.exit_code)
            return None
        what = "trying again" if restart.pid is None else "replacing it"
        logger.warning("%s %s: %s in %.1f s", who, restart.reason, what, decided)
        self._note(restart)
        return decided

    def _note(self, restart: Restart) -> None:
        self.restarts.append(restart)
        self.restarted += 1

    def _restart_of(self, worker: WorkerProcess) -> Restart:
        return Restart(
            worker.number,
            worker.pid,
            worker.ending().exit_code,
            worker.killed_by,
            worker.end_in_words(),
            _now(),
        )

    # recycling

    async def _look_at_use(self) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY)
            # One that made room may have jobs for hours: never a third process for a place.
            leaving = {each.number for each in self.retiring}
            for number, worker in sorted(self.running.items()):
                if not worker.ready:
                    continue
                self.memory[number] = memory_of(worker.pid)
                reason = self._plan.recycling.reason(self._use_of(worker))
                if number in leaving or reason is None:
                    continue
                if anyio.current_time() >= self._recycle_after:
                    # One at a time: there is room for one more process, perhaps not for all.
                    async with self._turn:
                        if self.running.get(number) is worker and worker.ready:
                            await self._recycle(worker, reason)
                    break

    def _use_of(self, worker: WorkerProcess) -> Use:
        ready_at = worker.ready_at
        return Use(
            jobs=worker.jobs,
            memory=self.memory[worker.number],
            memory_at_start=worker.memory_at_start,
            ready_for=0.0 if ready_at is None else anyio.current_time() - ready_at,
        )

    async def _recycle(self, old: WorkerProcess, reason: str) -> None:
        """Have another process take the place of one that goes on until then."""
        number = old.number
        logger.info("%s %s: another process takes its place", old, reason)
        try:
            new = await self._start(number)
        except OSError as error:
            self._not_recycled(old, f"no other process could be started: {error}")
            return
        self.coming[number] = new
        if await _is_ready(new):
            # Else the old one has died meanwhile, and it has the place already.
            if self.coming.pop(number, None) is new and not self._stopping:
                self.recycled += 1
                self._recycling_fails.ends = 0
                self._place(new)
                self._retire(old)
        elif self.coming.get(number) is new:
            await new.ended.wait()
            self.coming.pop(number, None)
            if not self._stopping:
                self._not_recycled(old, f"{new}, which was to take its place, {new.end_in_words()}")

    def _not_recycled(self, old: WorkerProcess, why: str) -> None:
        delay = self._recycling_fails.ended(None)
        self._recycle_after = anyio.current_time() + delay
        logger.error("%s goes on: %s; trying again in %.1f s", old, why, delay)

    # reloading

    async def _reload(self, files: list[Path]) -> None:
        """Load the program anew, and have it take the place of the old one if that worked."""
        self._changed.update(files)
        if self._loading:
            # What they load is outdated, and it may hang.
            for worker in self.coming.values():
                worker.retired = True
                worker.stop()
        async with self._turn:
            changed, self._changed = self._changed, set[Path]()
            if self._stopping or not changed:
                return
            names = files_in_words(sorted(changed), self._plan.watched_directories)
            logger.info("%s changed: loading the program anew", names)
            self._loading = True
            loaded = await self._load()
            self._loading = False
            if loaded:
                self.reloaded += 1
                await self._hand_over()
            elif not (self._changed or self._stopping):
                rest = "the old version goes on" if self.running else "waiting for a file to change"
                logger.error("the new version cannot be used: %s", rest)

    async def _hand_over(self) -> None:
        old, new = dict(self.running), dict(self.coming)
        self.coming.clear()
        for number, worker in new.items():
            if number in old:
                self._retire(old[number])
            self._place(worker)
        for number, worker in sorted(new.items()):
            if number in old:
                await old[number].ended.wait()
            worker.go()
            if number == 1:  # it registers what the others need
                await _is_ready(worker)

    async def _load(self) -> bool:
        """Start a process for each place, which loads the program and waits; whether all did."""
        # The first one alone: a mistake is to be said once.
        for numbers in ([1], range(2, self._plan.workers + 1)):
            for number in numbers:
                try:
                    self.coming[number] = await self._start(
                        number, standby=True, register=self._plan.register and number == 1
                    )
                except OSError as error:
                    logger.error("worker %d could not be started: %s", number, error)
                    break
            loading = [self.coming.get(number) for number in numbers]
            done = [worker is not None and await _has_loaded(worker) for worker in loading]
            if not all(done) or self._stopping or self._changed:
                await self._give_up_loading()
                return False
        return True

    async def _give_up_loading(self) -> None:
        for worker in list(self.coming.values()):
            worker.retired = True
            worker.stop()
            await worker.ended.wait()
        self.coming.clear()

    def report(self) -> dict[str, Any]:
        """What has become of them, for a program."""
        return {
            "restarted": self.restarted,
            "restarts": [asdict(restart) for restart in self.restarts],
            "recycled": self.recycled,
            "reloaded": self.reloaded,
        }


async def _has_loaded(worker: WorkerProcess) -> bool:
    return await worker.until(lambda: worker.loaded)


async def _is_ready(worker: WorkerProcess) -> bool:
    return await worker.until(lambda: worker.ready_at is not None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
