"""Everything that is looked for in one file."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from walnats_anyio.linter._actors import MAIN, check_actor, runs_in
from walnats_anyio.linter._arguments import ACTOR, EVENT, LIMITS, Arguments, arguments_of
from walnats_anyio.linter._codes import Finding
from walnats_anyio.linter._declarations import ACTOR as ACTOR_CODES
from walnats_anyio.linter._declarations import EVENT as EVENT_CODES
from walnats_anyio.linter._declarations import Problem, check_limits, check_texts
from walnats_anyio.linter._handlers import check_handler
from walnats_anyio.linter._scopes import Names, Scope, names_of
from walnats_anyio.linter._scripts import check_script
from walnats_anyio.linter._values import Function, call_of, called, function_of, is_ours

PACKAGE = "walnats_anyio"
"""A file that does not have this word in it has none of these mistakes."""


def check_tree(module: ast.Module, lines: Sequence[str]) -> list[Finding]:
    """Find the mistakes in a file, those of all codes, in the order of the lines.

    Args:
        module: the file, parsed.
        lines: its lines, to count characters where the tree counts bytes.
    """
    if not any(PACKAGE in line for line in lines):
        return []
    names = names_of(module)
    problems = [*_problems(names), *check_script(names)]
    return sorted({_finding(*problem, lines) for problem in problems})


def _problems(names: Names) -> Iterator[Problem]:
    handlers: set[tuple[Function, bool]] = set()
    for call, scope in names.calls:
        full = called(call, scope)
        if _changes_limits(call, scope):
            yield from check_limits(arguments_of(call, scope, LIMITS))
        elif is_ours(full, "Event"):
            yield from check_texts(arguments_of(call, scope, EVENT), EVENT_CODES)
        elif is_ours(full, "Limits"):
            yield from check_limits(arguments_of(call, scope, LIMITS))
        elif is_ours(full, "Actor"):
            actor = arguments_of(call, scope, ACTOR)
            yield from check_texts(actor, ACTOR_CODES)
            yield from check_actor(actor)
            handlers |= _handler(actor)
    for function, in_loop in handlers:
        yield from check_handler(function, names, in_loop=in_loop)


def _changes_limits(call: ast.Call, scope: Scope) -> bool:
    match call.func:
        case ast.Attribute(value=value, attr="evolve"):
            return call_of(value, scope, "Limits") is not None
        case _:
            return False


def _handler(actor: Arguments) -> set[tuple[Function, bool]]:
    """The handler of an actor, if it is in this file, and whether it runs in the event loop."""
    handler = actor.given.get("handler")
    function = None if handler is None else function_of(handler, actor.scope)
    if function is None:
        return set()
    asynchronous = isinstance(function.node, ast.AsyncFunctionDef)
    return {(function, asynchronous or runs_in(actor) == MAIN)}


def _finding(
    node: ast.expr | ast.ExceptHandler, code: str, message: str, lines: Sequence[str]
) -> Finding:
    column = node.col_offset
    if node.lineno <= len(lines):
        before = lines[node.lineno - 1].encode(errors="surrogatepass")[:column]
        column = len(before.decode(errors="replace"))
    return Finding(node.lineno, column + 1, code, message)
