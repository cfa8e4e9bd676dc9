"""What a connection may have left behind in this process: tasks, sockets, threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import anyio
import trio

from tests.support.waiting import DEADLINE

POOLS = ("asyncio_", "Trio thread")
"""Names of the threads that belong to an event loop, which keeps them for the next host name."""


class Leftovers:
    """Made before, asked after."""

    def __init__(self) -> None:
        self._before = _present()

    def now(self) -> list[str]:
        """What is there that was not there before."""
        return [shown for key, shown in _present().items() if key not in self._before]

    async def none(self) -> None:
        """Wait a moment until nothing is left, and fail when something stays.

        A task that was told to end needs a turn of the event loop for it.
        """
        left: list[str] = []
        with anyio.move_on_after(DEADLINE):
            # One look that finds nothing is enough: trio gives a thread of its pool, which was
            # started for a host name and then abandoned, its name late, and takes it away again.
            while left := self.now():
                # What only a traceback keeps alive goes.
                gc.collect()
                await anyio.sleep(0.01)
            return
        raise AssertionError(f"left behind: {left}")


def _present() -> dict[object, str]:
    on_trio = trio.lowlevel.in_trio_run()
    tasks: list[object] = list(_trio_tasks() if on_trio else asyncio.all_tasks())
    found: dict[object, str] = {id(task): repr(task) for task in tasks}
    for file in Path("/proc/self/fd").iterdir():
        try:
            opened = str(file.readlink())
        except OSError:  # closed while we looked
            continue
        if opened.startswith("socket:"):
            found[opened] = opened
    for thread in threading.enumerate():
        if not thread.name.startswith(POOLS):
            found[thread.ident] = repr(thread)
    return found


def _trio_tasks() -> list[object]:
    root = trio.lowlevel.current_root_task()
    tasks = [] if root is None else [root]
    for task in tasks:
        for nursery in task.child_nurseries:
            tasks.extend(nursery.child_tasks)
    return list(tasks)
