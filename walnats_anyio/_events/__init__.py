"""What an event is, and how it is emitted."""

from __future__ import annotations

from walnats_anyio._events._checks import check_event
from walnats_anyio._events._clock import TICK_TIME, Clock
from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._current import current_job
from walnats_anyio._events._delays import CancelResult
from walnats_anyio._events._event import BaseEvent, Event, in_namespace
from walnats_anyio._events._headers import (
    HEADER_ACTOR,
    HEADER_DELAY,
    HEADER_ID,
    HEADER_TRACE,
    Meta,
    meta_of,
    uid_in,
)
from walnats_anyio._events._held import Encoded, HeldEmitter
from walnats_anyio._events._limits import Limits
from walnats_anyio._events._middleware import EmitContext, EmitMiddleware
from walnats_anyio._events._monitor import Feed, FeedMessage, FeedStatistics
from walnats_anyio._events._registry import Events
from walnats_anyio._events._rules import Action, Difference, Rule, compare, show
from walnats_anyio._events._schemas import warn_of_schema
from walnats_anyio._events._server_ticks import fill_in_tick
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import check_owner, raise_all
from walnats_anyio._events._structured import cloud_event_of, data_of, decode_message
from walnats_anyio._events._sync import SyncEvents
from walnats_anyio._events._timing import MAX_SECONDS as MAX_DELAY
from walnats_anyio._events._timing import Timing, timing_of

__all__ = [
    "HEADER_ACTOR",
    "HEADER_DELAY",
    "HEADER_ID",
    "HEADER_TRACE",
    "MAX_DELAY",
    "TICK_TIME",
    "Action",
    "BaseEvent",
    "CancelResult",
    "Clock",
    "CloudEvent",
    "ConnectedEvents",
    "Difference",
    "EmitContext",
    "EmitMiddleware",
    "EmitStatistics",
    "Encoded",
    "Event",
    "Events",
    "Feed",
    "FeedMessage",
    "FeedStatistics",
    "HeldEmitter",
    "Limits",
    "Meta",
    "Rule",
    "SyncEvents",
    "Timing",
    "check_event",
    "check_owner",
    "cloud_event_of",
    "compare",
    "current_job",
    "data_of",
    "decode_message",
    "fill_in_tick",
    "in_namespace",
    "meta_of",
    "raise_all",
    "show",
    "timing_of",
    "uid_in",
    "warn_of_schema",
]
