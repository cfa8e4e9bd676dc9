"""The task group of the workers of a `listen`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from walnats_anyio._actors.run._worker import Worker
from walnats_anyio._actors.settle._verdict import leaves_of

if TYPE_CHECKING:
    from types import TracebackType

    from anyio.abc import TaskGroup


@asynccontextmanager
async def worker_tasks() -> AsyncIterator[TaskGroup]:
    """A task group in which spoilt tasks may end, when it does; see `Workers.let_go`.

    Where a handler has left a scope or a task group open, anyio and trio raise a `RuntimeError` at
    the end of its task. By then it is reported and counted as a failure of that job.
    """
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        _, others = group.split(_is_of_spoilt_task)
        if others is group:
            raise
        if others is None:
            return
        leaves = list(leaves_of(others))
        if all(isinstance(leaf, anyio.get_cancelled_exc_class()) for leaf in leaves):
            raise leaves[0] from None  # a cancellation leaves a task group alone, as usual
        raise others from None


def _is_of_spoilt_task(error: BaseException) -> bool:
    """Whether it is raised around the code of a worker, rather than by it."""
    return type(error) is RuntimeError and not _comes_from_worker(error.__traceback__)


def _comes_from_worker(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if traceback.tb_frame.f_code is Worker.run.__code__:
            return True
        traceback = traceback.tb_next
    return False
