"""A child that a handler forks, and that comes back out of the handler: it ends there.

Such a child is a copy of the whole worker: it would go on with the connection, the events and the
event loop of its parent, run events again, and stop the parent from hearing of its own sockets,
which the kernel counts as the same. A handler that forks should end the child itself
(`os._exit`); this is for the one that forgets, or whose `os.execv` raises.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

logger = logging.getLogger("walnats_anyio.actors")

_mark: list[bool] = []


def mark() -> list[bool]:
    """Give what is false in this process, and true in a child forked from now on.

    A list, as to ask it is all that a job which does not fork pays for this.
    """
    return _mark


def end_child() -> NoReturn:
    """End this process, a child that came back from a handler, at once; say so before.

    Nothing that belongs to the parent is touched: no `finally` runs, no buffer is written.
    """
    error = sys.exc_info()[1]
    if isinstance(error, StopIteration):
        error = None  # a coroutine that has returned
    code = 0 if error is None else 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        code = error.code or 0
    try:
        logger.error(
            "process %d, which a handler has forked, came back out of the handler, and is ended: "
            "end it in the handler, with os._exit",
            os.getpid(), exc_info=error,
        )  # fmt: skip
    finally:
        os._exit(code)


def _forked() -> None:
    global _mark  # noqa: PLW0603 - it is a fact about the whole process
    _mark.append(True)
    _mark = []  # of what the child makes for itself


os.register_at_fork(after_in_child=_forked)
