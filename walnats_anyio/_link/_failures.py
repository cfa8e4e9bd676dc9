"""What came out of a task group: one error as itself, several as a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import anyio


def failures_of(error: BaseException) -> list[BaseException]:
    """What really failed: the parts of an exception that are no cancellation."""
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
