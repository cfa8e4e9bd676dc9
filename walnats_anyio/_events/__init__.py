"""What an event is, and how it is emitted."""

from __future__ import annotations

from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._current import current_job
from walnats_anyio._events._event import BaseEvent, Event, in_namespace
from walnats_anyio._events._headers import HEADER_ACTOR, HEADER_ID, HEADER_TRACE
from walnats_anyio._events._held import Encoded, HeldEmitter, check_event
from walnats_anyio._events._limits import Limits
from walnats_anyio._events._middleware import EmitContext, EmitMiddleware
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
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import RegisterOptions, check_owner
from walnats_anyio._events._sync import SyncEvents

__all__ = [
    "HEADER_ACTOR",
    "HEADER_ID",
    "HEADER_TRACE",
    "Action",
    "BaseEvent",
    "ConnectedEvents",
    "Difference",
    "EmitContext",
    "EmitMiddleware",
    "EmitStatistics",
    "Encoded",
    "Event",
    "Events",
    "FieldChange",
    "HeldEmitter",
    "Limits",
    "PlanAction",
    "PlanEntry",
    "RegisterOptions",
    "Rule",
    "SyncEvents",
    "check_event",
    "check_owner",
    "compare",
    "current_job",
    "explain_refusal",
    "in_namespace",
    "plan_each",
    "plan_helper",
    "raise_all",
    "raise_failures",
    "schema_warnings",
    "show",
    "warn_of_schema",
]
