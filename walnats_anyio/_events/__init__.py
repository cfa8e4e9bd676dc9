"""What an event is, and how it is emitted."""

from __future__ import annotations

from walnats_anyio._events._cancellation import (
    Cancellation,
    encode_cancellation,
    read_cancellation,
    subject_of,
)
from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._current import current_job
from walnats_anyio._events._event import BaseEvent, Event, in_namespace
from walnats_anyio._events._event_with_response import EventWithResponse, as_answered
from walnats_anyio._events._headers import (
    HEADER_ACTOR,
    HEADER_ERROR,
    HEADER_ID,
    HEADER_REPLY,
    HEADER_TIMEOUT,
    HEADER_TRACE,
)
from walnats_anyio._events._held import Encoded, HeldEmitter, check_event
from walnats_anyio._events._limits import Limits
from walnats_anyio._events._middleware import EmitContext, EmitMiddleware
from walnats_anyio._events._registry import Events
from walnats_anyio._events._rules import Action, Difference, Rule, compare, show
from walnats_anyio._events._schemas import warn_of_schema
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import check_owner, raise_all
from walnats_anyio._events._sync import SyncEvents

__all__ = [
    "HEADER_ACTOR",
    "HEADER_ERROR",
    "HEADER_ID",
    "HEADER_REPLY",
    "HEADER_TIMEOUT",
    "HEADER_TRACE",
    "Action",
    "BaseEvent",
    "Cancellation",
    "ConnectedEvents",
    "Difference",
    "EmitContext",
    "EmitMiddleware",
    "EmitStatistics",
    "Encoded",
    "Event",
    "EventWithResponse",
    "Events",
    "HeldEmitter",
    "Limits",
    "Rule",
    "SyncEvents",
    "as_answered",
    "check_event",
    "check_owner",
    "compare",
    "current_job",
    "encode_cancellation",
    "in_namespace",
    "raise_all",
    "read_cancellation",
    "show",
    "subject_of",
    "warn_of_schema",
]
