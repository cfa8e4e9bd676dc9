"""The arguments of a call, by name, however they are given."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from walnats_anyio.linter._scopes import Scope
from walnats_anyio.linter._values import evaluate

EVENT = ("name", "schema", "serializer", "description", "limits")
LIMITS = ("age", "consumers", "messages", "bytes", "message_size")
ACTOR = (
    "name",
    "event",
    "handler",
    "description",
    "ack_wait",
    "max_attempts",
    "max_ack_pending",
    "middlewares",
    "max_jobs",
    "job_timeout",
    "execute_in",
    "retry_delay",
    "pulse",
    "priority",
)
"""What the arguments by position are called. The tests compare it with the classes."""

ACTOR_DEFAULTS = {"ack_wait": 16, "job_timeout": 32, "max_attempts": None, "pulse": True}
"""The defaults that a check looks at; compared likewise."""


@dataclass(frozen=True)
class Arguments:
    """What a call is given."""

    call: ast.Call
    scope: Scope
    given: dict[str, ast.expr]
    """The arguments that can be seen."""

    complete: bool
    """Whether those are all: there is no `*args` and no `**kwargs`."""

    def value(self, name: str) -> Any:
        """The value of an argument, or UNKNOWN; UNKNOWN also when it is not given."""
        return evaluate(self.given.get(name), self.scope)

    def value_or_default(self, name: str, default: Any) -> Any:
        """The value of an argument, or UNKNOWN; its default where it is known not to be given."""
        if name in self.given or not self.complete:
            return self.value(name)
        return default

    def is_left_out(self, name: str) -> bool:
        """Whether the argument is known not to be given, or to be None."""
        return self.value_or_default(name, None) is None


def arguments_of(call: ast.Call, scope: Scope, names: tuple[str, ...]) -> Arguments:
    """Name the arguments of a call to what takes arguments of these names by position."""
    given: dict[str, ast.expr] = {}
    complete = all(keyword.arg is not None for keyword in call.keywords)
    for name, argument in zip(names, call.args, strict=False):
        if isinstance(argument, ast.Starred):
            complete = False
            break
        given[name] = argument
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
    return Arguments(call, scope, given, complete)
