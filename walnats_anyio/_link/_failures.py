"""What came out of a task group: one error as itself, several as a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import anyio

from walnats_anyio._link._parking import current_backend


def failures_of(error: BaseException) -> list[BaseException]:
    """What really failed: the parts of an exception that are no cancellation."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [one for part in group.exceptions for one in failures_of(part)]
    return [] if isinstance(error, anyio.get_cancelled_exc_class()) else [error]


def one_or_group(what: str, errors: Sequence[BaseException]) -> BaseException:
    """One error as itself, several as a group; what ends the program as itself.

    On asyncio a `KeyboardInterrupt` or `SystemExit` that leaves a child task has left the event
    loop as well, at once, and `asyncio.run` has cancelled the task around. When the same error
    left that task too, `asyncio.run` would wait no longer, and close the event loop as it is: no
    callback runs any more, and the threads of anyio, which wait for one, keep the process for ever.
    So what leaves it then is the cancellation.
    """
    for error in errors:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            cancels = current_backend().cancels
            if cancels is not None and cancels():
                return anyio.get_cancelled_exc_class()()
            return error
        if len(errors) == 1:
            return error
    return BaseExceptionGroup(what, errors)
