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

generation = 0
"""How many forks there are between this process and the one that has imported this module first.

What was made in a process notes it, and finds another number in a child.
"""


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
    global generation  # noqa: PLW0603 - it is a fact about the whole process
    generation += 1


os.register_at_fork(after_in_child=_forked)
