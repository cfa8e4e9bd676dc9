"""One run of one candidate, in a process of its own.

So no run sees the memory or the event loop of another.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from benchmarks.workers._job import Figures, Job

ROOT = Path(__file__).resolve().parent.parent
"""Where a worker finds these benchmarks and the ``walnats_anyio`` of this checkout."""

TIME_TO_STOP = 10.0
"""Seconds a worker gets to shut down before it is killed."""


class RunError(Exception):
    """A worker failed, or never answered."""


@contextmanager
def other_root(checkout: Path) -> Iterator[Path]:
    """A folder where a worker finds these benchmarks and the ``walnats_anyio`` of a checkout.

    The benchmarks of the checkout itself will not do: they lack what was added since.
    """
    with tempfile.TemporaryDirectory(prefix="walnats-before-") as name:
        root = Path(name)
        (root / "benchmarks").symlink_to(ROOT / "benchmarks")
        (root / "walnats_anyio").symlink_to(checkout.resolve() / "walnats_anyio")
        yield root


async def run_worker(
    worker: str,
    job: Job,
    time_limit: float,
    check: Callable[[], Awaitable[None]],
    root: Path = ROOT,
) -> Figures:
    """Start a worker, take its figures, run the check while it is still up, and let it stop.

    The worker imports from ``root`` before it looks among the installed packages.

    Raises:
        RunError: it died or gave no answer within ``time_limit`` seconds. The end of its standard
            error is in the message.
    """
    order = msgspec.json.encode(job).decode()
    command = [sys.executable, "-m", f"benchmarks.workers.{worker}", order]
    with tempfile.TemporaryFile() as stderr:
        # With -m, Python looks into the folder that it is started in first.
        async with await anyio.open_process(command, cwd=root, stderr=stderr) as process:
            try:
                with anyio.fail_after(time_limit):
                    figures = await read_figures(process)
                await check()
            except (TimeoutError, anyio.IncompleteRead) as error:
                complaint = f"{worker} {job.task} died, or took longer than {time_limit:.0f} s"
                raise RunError(f"{complaint}\n{end_of(stderr)}") from error
            finally:
                with anyio.CancelScope(shield=True):
                    await stop(process)
    return figures


def end_of(stderr: IO[bytes]) -> str:
    """The last lines a worker wrote to standard error."""
    stderr.seek(0)
    return stderr.read().decode(errors="replace").strip()[-2000:]


async def read_figures(process: Process) -> Figures:
    """The first line on standard output that is a JSON object; a library may print other things."""
    assert process.stdout is not None  # for the type checker: ``open_process`` pipes it
    lines = BufferedByteReceiveStream(process.stdout)
    line = b""
    while not line.startswith(b"{"):
        line = await lines.receive_until(b"\n", 65536)
    return msgspec.json.decode(line, type=Figures)


async def stop(process: Process) -> None:
    """Let the worker go, and wait until it has gone; it is killed when it takes too long."""
    assert process.stdin is not None  # for the type checker: ``open_process`` pipes it
    await process.stdin.aclose()  # the end of its standard input is what it waits for
    with anyio.move_on_after(TIME_TO_STOP):
        await process.wait()
    if process.returncode is None:
        process.kill()
