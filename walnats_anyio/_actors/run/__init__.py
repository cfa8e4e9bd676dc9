"""Running jobs outside the event loop: in threads and in worker processes."""

from __future__ import annotations

from walnats_anyio._actors.run._executors import Executors
from walnats_anyio._actors.run._failure import HandlerError, WorkerProcessError

__all__ = ["Executors", "HandlerError", "WorkerProcessError"]
