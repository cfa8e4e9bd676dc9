"""Asking for events: the pull consumer of an actor, and what its actors share."""

from __future__ import annotations

from walnats_anyio._actors.pull._budget import RequestBudget, Share
from walnats_anyio._actors.pull._polls import Polls
from walnats_anyio._actors.pull._pull_consumer import PullConsumer
from walnats_anyio._actors.pull._requests import PENDING_BYTES, Options, period_of

__all__ = [
    "PENDING_BYTES",
    "Options",
    "Polls",
    "PullConsumer",
    "RequestBudget",
    "Share",
    "period_of",
]
