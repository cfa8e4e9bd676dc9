"""What an event is, and how it is emitted."""

from __future__ import annotations

from walnats_anyio._events._checks import check_event
from walnats_anyio._events._clock import TICK_TIME, Clock
from walnats_anyio._events._cloud_event import CloudEvent
from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._control import (
    Control,
    Held,
    encode_control,
    read_control,
    subject_of,
)
from walnats_anyio._events._current import current_job
from walnats_anyio._events._delays import CancelResult
from walnats_anyio._events._event import BaseEvent, Event, in_namespace
from walnats_anyio._events._event_with_response import EventWithResponse, as_answered
from walnats_anyio._events._headers import (
    HEADER_ACTOR,
    HEADER_DELAY,
    HEADER_DUE,
    HEADER_ERROR,
    HEADER_ID,
    HEADER_REPLY,
    HEADER_TIMEOUT,
    HEADER_TRACE,
    Meta,
    meta_of,
    uid_in,
)
from walnats_anyio._events._held import Encoded, HeldEmitter
from walnats_anyio._events._limits import Limits
from walnats_anyio._events._middleware import EmitContext, EmitMiddleware
from walnats_anyio._events._monitor import Feed, FeedMessage, FeedStatistics
from walnats_anyio._events._plan import (
    FieldChange,
    PlanAction,
    PlanEntry,
    plan_each,
    plan_helper,
    raise_all,
    raise_failures,
)
from walnats_anyio._events._refusals import explain_refusal
from walnats_anyio._events._registry import Events
from walnats_anyio._events._rules import Action, Difference, Rule, compare, show
from walnats_anyio._events._schemas import schema_warnings, warn_of_schema
from walnats_anyio._events._server_ticks import fill_in_tick
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import RegisterOptions, check_owner
from walnats_anyio._events._structured import cloud_event_of, data_of, decode_message
from walnats_anyio._events._sync import SyncEvents
from walnats_anyio._events._timing import MAX_SECONDS as MAX_DELAY
from walnats_anyio._events._timing import Timing, timing_of

__all__ = [
    "HEADER_ACTOR",
    "HEADER_DELAY",
    "HEADER_DUE",
    "HEADER_ERROR",
    "HEADER_ID",
    "HEADER_REPLY",
    "HEADER_TIMEOUT",
    "HEADER_TRACE",
    "MAX_DELAY",
    "TICK_TIME",
    "Action",
    "BaseEvent",
    "CancelResult",
    "Clock",
    "CloudEvent",
    "ConnectedEvents",
    "Control",
    "Difference",
    "EmitContext",
    "EmitMiddleware",
    "EmitStatistics",
    "Encoded",
    "Event",
    "EventWithResponse",
    "Events",
    "Feed",
    "FeedMessage",
    "FeedStatistics",
    "FieldChange",
    "Held",
    "HeldEmitter",
    "Limits",
    "Meta",
    "PlanAction",
    "PlanEntry",
    "RegisterOptions",
    "Rule",
    "SyncEvents",
    "Timing",
    "as_answered",
    "check_event",
    "check_owner",
    "cloud_event_of",
    "compare",
    "current_job",
    "data_of",
    "decode_message",
    "encode_control",
    "explain_refusal",
    "fill_in_tick",
    "in_namespace",
    "meta_of",
    "plan_each",
    "plan_helper",
    "raise_all",
    "raise_failures",
    "read_control",
    "schema_warnings",
    "show",
    "subject_of",
    "timing_of",
    "uid_in",
    "warn_of_schema",
]
