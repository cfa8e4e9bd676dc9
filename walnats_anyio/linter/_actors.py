"""Arguments of an actor that do not go together."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from walnats_anyio.linter import _codes as codes
from walnats_anyio.linter._arguments import (
    ACTOR_DEFAULTS,
    EVENT,
    Arguments,
    arguments_of,
)
from walnats_anyio.linter._declarations import Problem
from walnats_anyio.linter._scopes import Defined, FunctionNode, Scope
from walnats_anyio.linter._values import call_of, dotted, find, function_of, is_ours, origin

MAIN, THREAD, PROCESS = "MAIN", "THREAD", "PROCESS"


def check_actor(actor: Arguments) -> Iterator[Problem]:
    """Check attempts, time limits and handler of an actor."""
    yield from _check_end(actor)
    yield from _check_timeout(actor)
    yield from _check_importable(actor)
    yield from _check_list(actor)


def runs_in(actor: Arguments) -> str | None:
    """Where the handler runs: the name of the member of `ExecuteIn`; None where nobody knows."""
    node = actor.given.get("execute_in")
    if node is None:
        return MAIN if actor.complete else None
    full = dotted(node, actor.scope)
    for name in (MAIN, THREAD, PROCESS):
        if is_ours(full, f"ExecuteIn.{name}"):
            return name
    return None


def _check_end(actor: Arguments) -> Iterator[Problem]:
    event = actor.given.get("event")
    if event is None or not actor.is_left_out("max_attempts"):
        return
    made = call_of(event, actor.scope, "Event")
    if made is not None and _is_unlimited(arguments_of(*made, EVENT)):
        text = "an event that cannot be handled is retried for ever: give the actor max_attempts"
        yield actor.call, codes.WITHOUT_END, f"{text}, or the event limits"


def _is_unlimited(event: Arguments) -> bool:
    if event.is_left_out("limits"):
        return True
    made = (
        call_of(event.given["limits"], event.scope, "Limits") if "limits" in event.given else None
    )
    return made is not None and not made[0].args and not made[0].keywords


def _check_timeout(actor: Arguments) -> Iterator[Problem]:
    if actor.value_or_default("pulse", ACTOR_DEFAULTS["pulse"]) is not False:
        return
    ack_wait, timeout = (
        actor.value_or_default(name, ACTOR_DEFAULTS[name]) for name in ("ack_wait", "job_timeout")
    )
    if not isinstance(ack_wait, int | float) or not isinstance(timeout, int | float):
        return
    if timeout > ack_wait:
        text = (
            f"without pulse, a job of up to job_timeout={timeout} s is run by somebody else as well"
            f" after ack_wait={ack_wait} s: make ack_wait the longer one"
        )
        yield actor.given.get("job_timeout", actor.call), codes.TIMEOUT_ABOVE_ACK_WAIT, text


def _check_importable(actor: Arguments) -> Iterator[Problem]:
    handler = actor.given.get("handler")
    if handler is None or runs_in(actor) != PROCESS:
        return
    function = function_of(handler, actor.scope)
    if function is None:
        return
    if isinstance(function.node, ast.Lambda):
        kind = "is a lambda"
    elif function.scope.is_function:
        kind = "is defined in a function"
    else:
        return
    text = f"the handler {kind}, which a worker process cannot import"
    yield handler, codes.NOT_IMPORTABLE, f"{text}: define it at the top of a module"


NO_LISTS = {
    *(f"builtins.{name}" for name in ("int", "str", "bytes", "float", "bool", "dict")),
    "datetime.datetime",
    "datetime.date",
}
"""Types of messages, none of which a list of messages is."""


def _check_list(actor: Arguments) -> Iterator[Problem]:
    """Find a handler of batches whose parameter is one message, as its annotation says."""
    batch, handler = actor.given.get("batch"), actor.given.get("handler")
    if batch is None or handler is None or call_of(batch, actor.scope, "Batch") is None:
        return
    # A partial has fewer parameters than its function.
    given = origin(handler, actor.scope).node
    if not isinstance(given, ast.Name | ast.Attribute):
        return
    function = function_of(handler, actor.scope)
    if function is None or isinstance(function.node, ast.Lambda):
        return
    parameter = _message_of(function.node, is_method=isinstance(given, ast.Attribute))
    if parameter is None or parameter.annotation is None:
        return
    if _is_one_message(parameter.annotation, function.scope, actor):
        text = "a batch is a list of messages, and this parameter is one message"
        shown = ast.unparse(parameter.annotation)
        yield parameter.annotation, codes.TAKES_NO_LIST, f"{text}: annotate list[{shown}]"


def _message_of(function: FunctionNode, *, is_method: bool) -> ast.arg | None:
    """The parameter of a handler that is its message; that of a method has `self` before it."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    if is_method and not function.decorator_list:
        parameters = parameters[1:]
    return next(iter(parameters), None)


def _is_one_message(annotation: ast.expr, scope: Scope, actor: Arguments) -> bool:
    kind = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    if dotted(kind, scope) in NO_LISTS:
        return True
    event = actor.given.get("event")
    made = None if event is None else call_of(event, actor.scope, "Event")
    if made is None or not isinstance(kind, ast.Name):
        return False
    schema = arguments_of(*made, EVENT).given.get("schema")
    if not isinstance(schema, ast.Name):
        return False
    found = find(kind.id, scope)
    is_class = found is not None and isinstance(found[0], Defined)
    return is_class and found == find(schema.id, made[1])
