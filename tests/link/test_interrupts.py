"""Ctrl-C at any moment: the program ends soon, with a KeyboardInterrupt, and never hangs."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from math import inf
from pathlib import Path

import anyio
import pytest

from tests.support.waiting import until_blocking
from walnats_anyio._link import _asyncio
from walnats_anyio._link._parking import current_backend
from walnats_anyio._link._patience import Patience

BACKENDS = ["asyncio", "trio"]
PHASES = ["connect", "emit", "listen", "shutdown"]
WITHIN = ["in_reader", "in_handler", "in_child"]

RUNS = int(os.environ.get("WALNATS_INTERRUPTS", "40"))
"""Programs that are interrupted, over both backends and all phases; 400 in `nox -s faults`."""

HANGS_AFTER = 30.0
"""Seconds after Ctrl-C; clean-up takes a few at most, on a machine with nothing else to do."""

SIDE_BY_SIDE = 10

CANCELLED_FUTURE = re.compile(
    r"Fatal error: protocol\.data_received\(\) call failed\.\n(?:.+\n)+?"
    r"asyncio\.exceptions\.InvalidStateError: invalid state\n"
)
"""asyncio and anyio set the result of a future that the interrupt has cancelled just before."""

NEVER_AWAITED = re.compile(
    r"(?:sys:1|\S+/trio/_util\.py:\d+): RuntimeWarning: coroutine '[^']+' was never awaited\n"
    r"(?:  coro = async_fn\(\*args\)\n)?"
    r"RuntimeWarning: Enable tracemalloc to get the object allocation traceback\n"
)
"""What Python says where Ctrl-C comes in the middle of trio's `start_soon` in the main task: the
coroutine is made by then, and not started. That is so in any program on trio."""

LOST = "Exception ignored in"
"""What Python says where Ctrl-C comes in a callback of a weak reference: then it is lost."""

ENDED = ("130", "-2")
"""By the signal where Ctrl-C came while Python ran a text, as it does to make a dataclass: then it
kills itself at its end. A shell takes both for 130."""


class Programs:
    """Some programs that take turns with their phases, each in a process of its own."""

    def __init__(
        self, directory: Path, url: str, backend: str, phases: list[str], number: int
    ) -> None:
        self._directory = directory
        self._what = f"one of {phases} on {backend}"
        words = [backend, ",".join(phases), str(number)]
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.link._interrupted", *words],
                env={**os.environ, "NATS_SERVER": url, "PYTHONPATH": str(Path.cwd())},
                cwd=directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def lines(self, word: str) -> list[list[str]]:
        """What was printed so far after a word, a line each."""
        words = [line.split() for line in self._output.read_text().splitlines()]
        return [more for first, *more in words if first == word]

    def next_ready(self, known: set[int]) -> int:
        """Wait until one more is ready; gives its process id."""

        def found() -> bool:
            assert self._parent.poll() is None, self.errors()
            return self.ready() > known

        until_blocking(found, self.errors)
        return min(self.ready() - known)

    def ready(self) -> set[int]:
        return {int(pid) for [pid] in self.lines("ready")}

    def errors(self) -> str:
        """What went wrong, in all of them."""
        files = [self._output, *self._directory.glob("*.err")]
        return "\n".join(file.read_text() for file in files)

    def finish(self, *, silent: bool = True) -> None:
        """Wait until all have ended, and look at how."""
        try:
            self._parent.wait(HANGS_AFTER)
        except subprocess.TimeoutExpired:
            ended = {int(pid) for pid, _ in self.lines("ended")}
            for pid in self.ready() - ended:
                # One whose interrupt Python has lost ends at the next; another one shows where it
                # stands.
                lost = LOST in self._error_of(pid)
                os.kill(pid, signal.SIGINT if lost else signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                self._parent.wait(HANGS_AFTER)
            if self._parent.poll() is None:
                pytest.fail(f"{self._what} hangs after Ctrl-C: {self.errors()}")
        for word, code in self.lines("ended"):
            assert code in ENDED, self.errors()
            error = CANCELLED_FUTURE.sub("", NEVER_AWAITED.sub("", self._error_of(int(word))))
            assert error == "" or LOST in error or not silent, self._what
            self._file_of(int(word)).unlink()

    def _file_of(self, pid: int) -> Path:
        return self._directory / f"{pid}.err"

    def _error_of(self, pid: int) -> str:
        return self._file_of(pid).read_text()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.wait()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.timeout(1200)
def test_an_interrupt_at_a_random_moment(tmp_path: Path, nats_url: str, backend: str) -> None:
    left = max(1, RUNS // len(BACKENDS))
    while left > 0:
        number = min(left, SIDE_BY_SIDE)
        left -= number
        programs = Programs(tmp_path, nats_url, backend, PHASES, number)
        try:
            interrupted = set[int]()
            while len(interrupted) < number:
                pid = programs.next_ready(interrupted)
                time.sleep(random.uniform(0, 0.05))  # the moment is what is tried
                os.kill(pid, signal.SIGINT)
                interrupted.add(pid)
            programs.finish()
        finally:
            programs.kill()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_inside_of_a_task(tmp_path: Path, nats_url: str, backend: str) -> None:
    """asyncio raises it out of its event loop at once; raised there twice, threads would hang."""
    programs = Programs(tmp_path, nats_url, backend, WITHIN, len(WITHIN))
    try:
        programs.finish(silent=False)
    finally:
        programs.kill()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_while_it_connects_comes_out_as_itself(backend: str) -> None:
    async def connect() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        patience = Patience(10.0, at_most=inf, now=time.monotonic)
        with pytest.raises(KeyboardInterrupt):
            await patience.wait_for(connect)

    anyio.run(main, backend=backend)


def test_a_task_of_the_library_goes_on_for_the_body_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the body is interrupted as it leaves, nobody ends it. asyncio waits for it."""
    monkeypatch.setattr(_asyncio, "WATCH_EVERY", 0.01)

    async def main() -> None:
        over = asyncio.Event()

        async def body() -> asyncio.Task[None]:
            task = asyncio.create_task(current_backend().protect(anyio.sleep_forever)())
            begun.set_result(task)
            await over.wait()
            return task

        begun = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(body())
        task: asyncio.Task[None] = await begun
        for _ in range(3):
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        over.set()
        await asyncio.wait([task], timeout=HANGS_AFTER)
        assert task.cancelled()
        assert await running is task

    asyncio.run(main())


def test_an_interrupt_while_somebody_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio then cancels the main task, and with it what that waits for."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        class Interrupted(asyncio.Future[None]):
            def done(self) -> bool:
                done = super().done()
                self.cancel()
                return done

        monkeypatch.setattr(loop, "create_future", lambda: Interrupted(loop=loop))
        spot = _asyncio.AsyncioSpot()
        loop.call_soon(spot.wake)
        with pytest.raises(asyncio.CancelledError):
            await spot.wait()

    failures: list[object] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failures.append(about))
        await main()

    asyncio.run(watched())
    assert failures == []
