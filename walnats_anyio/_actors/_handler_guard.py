"""Signal handlers that stop a program gracefully, and stay there whatever its handlers do.

Whatever runs in the main thread may call `signal.signal`: a job, the lifespan, a library that one
of them uses. The signal would then not stop the program gracefully any more, and where the other
handler does nothing, it would not stop it at all. Python tells nobody of it, so one has to look.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable
from functools import partial
from signal import Signals
from typing import Any

logger = logging.getLogger("walnats_anyio.actors")

LOOK_EVERY = 1.0
"""Seconds between two looks. A signal that comes before the next one goes to the other handler."""


class HandlerGuard:
    """Knows the handlers that the signals have now, and puts them back."""

    def __init__(self, numbers: Iterable[Signals]) -> None:
        self._own = {number: signal.getsignal(number) for number in numbers}
        self._told: set[tuple[Signals, str]] = set()

    def put_back(self) -> None:
        """Put back what something else has replaced, and log what that was, once. Never blocks."""
        for number, own in self._own.items():
            found = signal.getsignal(number)
            if found is own:
                continue
            signal.signal(number, own)
            name = _name(found)
            if (number, name) not in self._told:
                self._told.add((number, name))
                logger.warning(
                    "%s: %s had taken the place of the handler that stops this program gracefully, "
                    "which is put back. What is to be done at the stop belongs into the lifespan",
                    number.name,
                    name,
                )


def _name(handler: Any) -> str:
    """What a handler is called, for a person."""
    if handler is signal.SIG_DFL:
        return "signal.SIG_DFL"
    if handler is signal.SIG_IGN:
        return "signal.SIG_IGN"
    if isinstance(handler, partial):
        handler = handler.func
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    return f"{getattr(handler, '__module__', type(handler).__module__)}.{name}"
