"""Refusing to connect in a program that a worker process runs again.

A worker process of `ExecuteIn.PROCESS` imports the main program where its handler lives there. A
program without a guard would start the whole service again, once for each process.
"""

from __future__ import annotations

from contextvars import ContextVar

GUARD = (
    "a worker process of ExecuteIn.PROCESS imports the main program once more, to find the handler "
    "there. Put what the program runs under a guard, or the handler into a module of its own:\n\n"
    '    if __name__ == "__main__":\n'
    "        main()"
)

in_handler: ContextVar[bool] = ContextVar("in_handler", default=False)
"""Whether this code was called by a handler. A handler may connect, to emit for instance."""

_in_worker_process = False


def enter_worker_process() -> None:
    """Refuse connections from now on, except those of handlers."""
    global _in_worker_process  # noqa: PLW0603 - it is a fact about the whole process
    _in_worker_process = True


def refuse_again(what: str) -> None:
    """Refuse `what` where the main program runs again in a worker process.

    Raises:
        RuntimeError: it does; says how to guard it.
    """
    if _in_worker_process and not in_handler.get():
        raise RuntimeError(f"{what} in a program that runs again: {GUARD}")
