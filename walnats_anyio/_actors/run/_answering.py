"""A handler whose result is kept: that of an actor which answers."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

from walnats_anyio._actors.declare._handler import check_result
from walnats_anyio._events import EventWithResponse


class Answering:
    """One call of a handler, and the response, encoded where the handler runs.

    It can go to a worker process: what the handler returns need not be picklable then.

    Args:
        handler: the actor's.
        event: what it answers.
    """

    __slots__ = ("_event", "_handler", "response")

    def __init__(self, handler: Callable[[Any], Any], event: EventWithResponse[Any, Any]) -> None:
        self._handler = handler
        self._event = event
        self.response: bytes | None = None
        """The response, once the handler has returned."""

    def __call__(self, message: Any) -> Any:
        """Call the handler; gives None, or what is to be awaited.

        Raises:
            EncodeError: the response does not fit the schema.
            TypeError: the result is work that is still to be done.
            BaseException: what the handler raises.
        """
        result: Any = self._handler(message)
        if isinstance(result, Awaitable):
            return self._keep_later(result)
        return self._keep(result)

    async def _keep_later(self, result: Any) -> None:
        self._keep(await result)

    def _keep(self, result: object) -> None:
        check_result(result)
        self.response = self._event.encode_response(result)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._handler, _pickled(self._event))


def _unpickled(handler: Callable[[Any], Any], event: bytes) -> Answering:
    return Answering(handler, _event_of(event))


@functools.lru_cache(maxsize=256)
def _pickled(event: EventWithResponse[Any, Any]) -> bytes:
    return pickle.dumps(event, pickle.HIGHEST_PROTOCOL)


@functools.lru_cache(maxsize=256)
def _event_of(event: bytes) -> EventWithResponse[Any, Any]:
    # To make its codecs takes from 20 us to a millisecond, for each job.
    found: EventWithResponse[Any, Any] = pickle.loads(event)
    return found
