"""Everything that is looked for in one file."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from walnats_anyio.linter._actors import MAIN, check_actor, runs_in
from walnats_anyio.linter._arguments import ACTOR, EVENT, LIMITS, Arguments, arguments_of
from walnats_anyio.linter._codes import Finding
from walnats_anyio.linter._declarations import ACTOR as ACTOR_CODES
from walnats_anyio.linter._declarations import EVENT as EVENT_CODES
from walnats_anyio.linter._declarations import Problem, check_limits, check_texts
from walnats_anyio.linter._handlers import check_borrowed_handler, check_handler
from walnats_anyio.linter._scopes import COMPREHENSIONS, Assigned, Each, Names, Scope, names_of
from walnats_anyio.linter._scripts import check_script
from walnats_anyio.linter._values import (
    Function,
    call_of,
    called,
    find,
    function_of,
    is_ours,
    turns_of,
    unfolded,
)

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
        if not [*_declared(call, scope)]:
            continue
        for _ in _turns(call, scope):
            for arguments, kind in _declared(call, scope):
                yield from _declaration_problems(arguments, kind)
                if kind == "Actor":
                    handlers |= _handler(arguments)
    for function, in_loop in handlers:
        yield from check_handler(function, names, in_loop=in_loop)


def _declaration_problems(arguments: Arguments, kind: str) -> Iterator[Problem]:
    if kind == "Limits":
        yield from check_limits(arguments)
    elif kind == "Event":
        yield from check_texts(arguments, EVENT_CODES)
    else:
        yield from check_texts(arguments, ACTOR_CODES)
        yield from check_actor(arguments)
        yield from check_borrowed_handler(arguments)


KINDS = {"Event": EVENT, "Limits": LIMITS, "Actor": ACTOR}
"""What is checked where it is made, and its arguments by position."""

COPIES = {"dataclasses.replace", "copy.replace"}


def _declared(call: ast.Call, scope: Scope) -> Iterator[tuple[Arguments, str]]:
    """What a call declares, if it does."""
    if _changes_limits(call, scope):
        yield arguments_of(call, scope, LIMITS), "Limits"
    full = called(call, scope)
    if full is None and (whole := unfolded(call, scope)) is not call:
        full, call = called(whole, scope), whole
    for kind, names in KINDS.items():
        if is_ours(full, kind):
            yield arguments_of(call, scope, names), kind
        elif full in COPIES and call.args:
            copied = call_of(call.args[0], scope, kind)
            if copied is not None:
                yield _copied(call, scope, arguments_of(*copied, names)), kind


def _copied(call: ast.Call, scope: Scope, original: Arguments) -> Arguments:
    """The arguments of a copy with changes."""
    changes = arguments_of(call, scope, ())
    if original.scope is not scope:
        return replace(changes, complete=False)  # its names may stand for something else here
    complete = original.complete and changes.complete
    return replace(changes, given=original.given | changes.given, complete=complete)


def _turns(call: ast.Call, scope: Scope) -> Iterator[None]:
    """Have the variables of a loop stand for what they are in each turn; once without a loop."""
    loops: list[tuple[str, Each, Scope]] = []
    for name in sorted({node.id for node in ast.walk(call) if isinstance(node, ast.Name)}):
        match find(name, scope):
            case Each() as each, where if each.holds_in(call) and not _is_later(scope, where):
                loops.append((name, each, where))
            case _:
                pass
    turns = [turns_of(each, where) for _, each, where in loops]
    if not loops or len({id(each.values) for _, each, _ in loops}) > 1 or not all(turns):
        yield
        return
    try:
        for values in zip(*turns, strict=True):
            for (name, _, where), value in zip(loops, values, strict=True):
                where.bindings[name] = Assigned(value)
            yield
    finally:
        for name, each, where in loops:
            where.bindings[name] = each


def _is_later(scope: Scope, loop: Scope) -> bool:
    """Whether a scope runs after the turn of the loop that made it, such as that of a function."""
    while scope is not loop and isinstance(scope.node, COMPREHENSIONS) and scope.parent is not None:
        scope = scope.parent
    return scope is not loop


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
