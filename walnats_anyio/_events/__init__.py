"""What an event is, and how it is emitted."""

from __future__ import annotations

from walnats_anyio._events._connection import ConnectedEvents
from walnats_anyio._events._event import BaseEvent, Event, in_namespace
from walnats_anyio._events._headers import HEADER_ACTOR, HEADER_ID, HEADER_TRACE
from walnats_anyio._events._limits import Limits
from walnats_anyio._events._registry import Events
from walnats_anyio._events._rules import Action, Difference, Rule, compare, show
from walnats_anyio._events._statistics import EmitStatistics
from walnats_anyio._events._streams import check_owner, raise_all
from walnats_anyio._events._sync import SyncEvents

__all__ = [
    "HEADER_ACTOR",
    "HEADER_ID",
    "HEADER_TRACE",
    "Action",
    "BaseEvent",
    "ConnectedEvents",
    "Difference",
    "EmitStatistics",
    "Event",
    "Events",
    "Limits",
    "Rule",
    "SyncEvents",
    "check_owner",
    "compare",
    "in_namespace",
    "raise_all",
    "show",
]
