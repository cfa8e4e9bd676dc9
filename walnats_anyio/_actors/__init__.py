"""What an actor is, and how it runs."""

from __future__ import annotations

from walnats_anyio._actors._connection import ConnectedActors
from walnats_anyio._actors._registry import Actors
from walnats_anyio._actors._statistics import ActorStatistics, ListenStatistics
from walnats_anyio._actors.declare import Auto, Ratio, current_context
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._choices import (
    Batch,
    BatchError,
    ExecuteIn,
    Priority,
    Reject,
    Retry,
    Snooze,
)
from walnats_anyio._actors.run import AutoStatistics, HandlerError, WorkerProcessError
from walnats_anyio._actors.settle import ActorSummary, Ended, Summary

__all__ = [
    "Actor",
    "ActorStatistics",
    "ActorSummary",
    "Actors",
    "Auto",
    "AutoStatistics",
    "Batch",
    "BatchError",
    "ConnectedActors",
    "Ended",
    "ExecuteIn",
    "HandlerError",
    "ListenStatistics",
    "Priority",
    "Ratio",
    "Reject",
    "Retry",
    "Snooze",
    "Summary",
    "WorkerProcessError",
    "current_context",
]
