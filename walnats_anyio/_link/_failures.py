"""What came out of a task group: one error as itself, several as a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import anyio


class Interrupted(BaseException):
    """A child task was to end the program, with `error`.

    asyncio raises a `KeyboardInterrupt` or `SystemExit` that leaves a task out of its event loop as
    well, at once. When the same error leaves the main task again, while `asyncio.run` waits for
    that, it closes the event loop as it is: no callback runs any more, and the threads of anyio,
    which wait for one, keep the process for ever. So it leaves the child task as this, and only the
    task around as itself.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.error = error


def failures_of(error: BaseException) -> list[BaseException]:
    """What really failed: the parts of an exception that are no cancellation."""
    if isinstance(error, Interrupted):
        return [error.error]
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [one for part in group.exceptions for one in failures_of(part)]
    return [] if isinstance(error, anyio.get_cancelled_exc_class()) else [error]


def one_or_group(what: str, errors: Sequence[BaseException]) -> BaseException:
    """One error as itself, several as a group; what ends the program as itself."""
    for error in errors:
        if len(errors) == 1 or isinstance(error, KeyboardInterrupt | SystemExit):
            return error
    return BaseExceptionGroup(what, errors)
