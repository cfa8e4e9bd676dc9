"""What is done about each field of a stream or a consumer that is not as declared.

Theory of operation. Other programs make and change streams and consumers too, so `register` meets
fields that no declaration has. A table has a rule for each field. `compare` is pure: it takes what
is declared and what the server has, and gives the fields that differ with their rules. Whoever
calls it changes, refuses or warns as the rules say. The tables of the docs are these tables.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast


class Action(enum.Enum):
    """What is done about a field that is not as it should be; the value is what the docs say."""

    CHANGE = "changed"
    FORCE = "refused, unless `force=True`"
    REFUSE = "refused"
    WARN = "kept, with a warning"
    KEEP = "kept"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done about one field."""

    field: str
    """The name in the JetStream API."""

    register: Action
    """What `register` does."""

    effect: str
    """What the field does to events; a part of a sentence."""

    remedy: str = ""
    """What a person can do about it, as an order; empty where `register` does it."""

    listen: Action = Action.KEEP
    """What `listen` does. Only the fields of consumers have it."""

    default: Any = None
    """What the field should be where the declaration does not say. None stands for nothing."""

    quiet: bool = False
    """Whether a change is not worth a line in the log."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that is not as it should be."""

    rule: Rule
    want: Any
    have: Any

    @property
    def field(self) -> str:
        return self.rule.field

    def __str__(self) -> str:
        have = f"{self.field} is {show(self.field, self.have)}"
        return have if self.want is None else f"{have}, not {show(self.field, self.want)}"

    def told(self) -> str:
        """The difference and what it does, as a sentence without its end."""
        return f"{self} ({self.rule.effect})"


def compare(
    rules: Iterable[Rule], declared: Mapping[str, Any], actual: Mapping[str, Any]
) -> list[Difference]:
    """Find the fields that differ, in the order of the rules.

    A field that the server leaves out of its answer has its zero value, which is what it should be
    where nothing is declared. Fields without a rule are
    of later servers: they are left as they are.
    """
    found: list[Difference] = []
    for rule in rules:
        want = declared.get(rule.field, rule.default)
        have = actual.get(rule.field)
        if have is None and rule.field not in declared:
            continue
        if have != want and (have or want):
            found.append(Difference(rule, want, have))
    return found


def show(field: str, value: Any) -> str:
    """A value as a person reads it: durations in seconds."""
    if value is None:
        return "nothing"
    if field not in DURATIONS or not value:
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(show(field, each) for each in cast('list[int]', value))}]"
    return f"{value / 10**9:g} s"


DURATIONS = frozenset(
    {
        "ack_wait",
        "backoff",
        "duplicate_window",
        "inactive_threshold",
        "max_age",
        "max_expires",
        "priority_timeout",
        "subject_delete_marker_ttl",
    }
)
"""Fields in nanoseconds."""
