"""Checking pieces of programs."""

from __future__ import annotations

from walnats_anyio.linter import Selection, check_source

PRELUDE = """\
import time
import walnats_anyio as w
from walnats_anyio import Actor, Actors, Event, ExecuteIn, Limits, Reject, Retry, Snooze
EVENT = Event("placed", int)
"""


def codes_in(source: str, *extend_select: str, prelude: str = PRELUDE) -> list[str]:
    """The codes of what is found, in the order of the lines."""
    found = Selection(extend_select=extend_select).wanted(check_source(prelude + source))
    return [each.code for each in found]
