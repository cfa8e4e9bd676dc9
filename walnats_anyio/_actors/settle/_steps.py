"""Running a coroutine of the user's step by step, in a context of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Protocol

BLOCKING = 1.0
"""Seconds that one step may take before it counts as blocking the event loop."""


class Turns(Protocol):
    """Says when a step may run, so that many of them do not hold up everybody else."""

    @property
    def is_over(self) -> bool:
        """Whether the step is to wait for another turn of the event loop."""
        ...

    def next_turn(self) -> Coroutine[Any, Any, None]:
        """Wait for that turn."""
        ...

    def step_ended(self, took: float) -> None:
        """A step has ended, and took so many seconds."""
        ...


class Steps:
    """Awaits the rest of a coroutine that was started in a context of its own.

    Every step of it runs in that context, so what one job sets in a context variable is not seen
    by the next job of the same task.

    It is its own iterator rather than a generator, and has the attributes of a coroutine that
    debuggers follow (`cr_await`, `cr_frame`), so they see what the handler awaits: trio's
    `Task.iter_await_frames` for instance.

    Args:
        coroutine: what was started.
        run: runs a step in the context of the coroutine (`Context.run`).
        yielded: what its first step has yielded.
        cancels: how many native cancellations of this task have been asked for (asyncio's
            `Task.cancelling`); None where there is no such thing.
        turns: says when a step may run; None: always.
    """

    __slots__ = (
        "_cancels", "_coroutine", "_gate", "_held", "_run", "_turns", "_yielded",
        "cancelled_itself", "closed", "longest",
    )  # fmt: skip

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        run: Callable[..., Any],
        yielded: Any,
        cancels: Callable[[], int] | None,
        turns: Turns | None = None,
    ) -> None:
        self.cancelled_itself = False
        """Whether a step has cancelled the task that it runs in."""
        self.closed = False
        """Whether the coroutine was closed from outside."""
        self.longest = 0.0
        """Seconds that the longest step took."""
        self._coroutine = coroutine
        self._run = run
        self._yielded = yielded
        self._cancels = cancels
        self._turns = turns
        self._gate: Coroutine[Any, Any, None] | None = None
        """Waits for the turn of the next step."""
        self._held: Any = None
        """What the next step is given."""

    def __await__(self) -> Steps:
        return self

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> Any:
        yielded = self._yielded
        if yielded is not _NOTHING:
            self._yielded = _NOTHING
            return yielded
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Run the next step; gives what it yields."""
        yielded = self._yielded
        if yielded is not _NOTHING:
            self._yielded = _NOTHING
            return yielded
        if self._turns is not None:
            if self._gate is None and self._turns.is_over:
                self._gate, self._held, value = self._turns.next_turn(), value, None
            if self._gate is not None:
                try:
                    return self._gate.send(value)
                except StopIteration:
                    value, self._held, self._gate = self._held, None, None
                except BaseException as error:  # noqa: BLE001 - a cancellation, for the coroutine
                    self._held = self._gate = None
                    return self._step(self._coroutine.throw, error)
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Run the next step, which begins with an exception."""
        self._yielded = _NOTHING
        self._close_gate()
        return self._step(self._coroutine.throw, *error)

    def close(self) -> None:
        """Close the coroutine."""
        self.closed = True
        self._close_gate()
        self._run(self._coroutine.close)

    def _close_gate(self) -> None:
        gate, self._gate, self._held = self._gate, None, None
        if gate is not None:
            gate.close()

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        cancels = self._cancels
        before = 0 if cancels is None else cancels()
        began = monotonic()
        try:
            return self._run(step, *args)
        finally:
            took = monotonic() - began
            if took > self.longest:
                self.longest = took
            if self._turns is not None:
                self._turns.step_ended(took)
            if cancels is not None and cancels() > before:
                self.cancelled_itself = True

    @property
    def cr_frame(self) -> Any:
        """The frame of the coroutine."""
        return getattr(self._coroutine, "cr_frame", None)

    @property
    def cr_await(self) -> Any:
        """What the coroutine awaits."""
        return getattr(self._coroutine, "cr_await", None)

    @property
    def cr_running(self) -> bool:
        """Whether the coroutine runs."""
        return bool(getattr(self._coroutine, "cr_running", False))

    @property
    def cr_code(self) -> Any:
        """The code of the coroutine."""
        return getattr(self._coroutine, "cr_code", None)


_NOTHING = object()
