"""One run of one candidate, in a process of its own.

So no run sees the memory or the event loop of another.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.workers._job import Figures, Job
from walnats_anyio.tune._process import ProcessDiedError, started

ROOT = Path(__file__).resolve().parent.parent
"""Where a worker finds these benchmarks and the ``walnats_anyio`` of this checkout."""


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
    # With -m, Python looks into the folder that it is started in first.
    async with started(command, f"{worker} {job.task}", cwd=root) as process:
        try:
            figures = msgspec.json.decode(await process.answer(time_limit), type=Figures)
        except ProcessDiedError as error:
            raise RunError(str(error)) from error
        await check()
    return figures
