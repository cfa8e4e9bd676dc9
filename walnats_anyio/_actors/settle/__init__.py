"""What becomes of a delivery: attempts, verdict, hooks, dead letter, and telling NATS once."""

from __future__ import annotations

from walnats_anyio._actors.settle._attempts import Attempts, Standing
from walnats_anyio._actors.settle._batch import DeliveryBatch
from walnats_anyio._actors.settle._batch_conclusion import MOVED, BatchConclusion
from walnats_anyio._actors.settle._breaker import Breaker
from walnats_anyio._actors.settle._callers import Caller, Callers
from walnats_anyio._actors.settle._conclusion import Conclusion
from walnats_anyio._actors.settle._copies import Origin
from walnats_anyio._actors.settle._delivery import Deliveries, Delivery
from walnats_anyio._actors.settle._hooks import Hooks
from walnats_anyio._actors.settle._notes import first_place, place_of
from walnats_anyio._actors.settle._summary import ActorSummary, Counts, Ended, Summary
from walnats_anyio._actors.settle._verdict import (
    Ack,
    Cancelled,
    DeadLetterVerdict,
    HandBack,
    JobResult,
    Nak,
    Outcome,
    Policy,
    Postpone,
    Postponed,
    Superseded,
    Term,
    Verdict,
    decide,
    to_wire,
    wish_of,
)

__all__ = [
    "MOVED",
    "Ack",
    "ActorSummary",
    "Attempts",
    "BatchConclusion",
    "Breaker",
    "Caller",
    "Callers",
    "Cancelled",
    "Conclusion",
    "Counts",
    "DeadLetterVerdict",
    "Deliveries",
    "Delivery",
    "DeliveryBatch",
    "Ended",
    "HandBack",
    "Hooks",
    "JobResult",
    "Nak",
    "Origin",
    "Outcome",
    "Policy",
    "Postpone",
    "Postponed",
    "Standing",
    "Summary",
    "Superseded",
    "Term",
    "Verdict",
    "decide",
    "first_place",
    "place_of",
    "to_wire",
    "wish_of",
]
