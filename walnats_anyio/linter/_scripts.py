"""Scripts whose main program must not run again in a worker process."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from walnats_anyio.linter import _codes as codes
from walnats_anyio.linter._actors import PROCESS, runs_in
from walnats_anyio.linter._arguments import ACTOR, arguments_of
from walnats_anyio.linter._declarations import Problem
from walnats_anyio.linter._handlers import own_nodes
from walnats_anyio.linter._scopes import FunctionNode, Names, Scope
from walnats_anyio.linter._values import call_of, dotted, function_of, origin

MAX_DEEP = 3
"""How many functions that call each other are followed."""

RUN = {"anyio.run", "asyncio.run", "trio.run"}


def check_script(names: Names) -> Iterator[Problem]:
    """Find where a script listens to actors in processes, each time that it is imported.

    A worker process imports the script where the handler is in it, so only such actors count.
    """
    if any(_asks_for_name(each) for each in names.module.body):
        return  # there is a guard, or another way out
    for call in _unguarded_calls(names.module.body):
        if _listens(call, names):
            text = "a worker process imports this file, and would come here again"
            remedy = 'put it under `if __name__ == "__main__":`, or the handler into another file'
            yield call, codes.NO_MAIN_GUARD, f"{text}: {remedy}"


def _asks_for_name(node: ast.stmt) -> bool:
    """Whether it is an `if` that depends on `__name__`."""
    return isinstance(node, ast.If) and any(
        isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(node.test)
    )


def _unguarded_calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """The calls that a module makes whenever it is imported, or a function when it is called."""
    left: list[ast.AST] = [*body]
    while left:
        node = left.pop()
        # What depends on a condition may well depend on the right one.
        if isinstance(node, ast.If | ast.IfExp | ast.BoolOp | ast.While | ast.Match):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        left.extend(ast.iter_child_nodes(node))


def _listens(call: ast.Call, names: Names, deep: int = 0) -> bool:
    scope = names.scope_of_call[call]
    if deep > MAX_DEEP:
        return False
    if dotted(call.func, scope) in RUN and call.args:
        return _function_listens(call.args[0], scope, names)
    match call.func:
        case ast.Attribute(value=owner, attr="run"):
            return _has_process(owner, scope)
        case ast.Name():
            function = function_of(call.func, scope)
            return function is not None and any(
                _listens(inner, names, deep + 1) for inner in _calls_of(function.node)
            )
        case _:
            return False


def _calls_of(function: FunctionNode | ast.Lambda) -> list[ast.Call]:
    """The calls that a plain function makes when it is called."""
    if not isinstance(function, ast.FunctionDef):
        return []
    return list(_unguarded_calls(function.body))


def _function_listens(node: ast.expr, scope: Scope, names: Names) -> bool:
    """Whether a function of the file connects such actors, and has something listen."""
    # `asyncio.run` takes a coroutine, the others the function.
    target = node.func if isinstance(node, ast.Call) and dotted(node.func, scope) is None else node
    function = function_of(target, scope)
    if function is None or isinstance(function.node, ast.Lambda):
        return False
    listens = connects = False
    for inner in _nodes_of(function.node, names):
        match inner:
            case ast.Attribute(attr="listen"):
                listens = True
            case ast.Call(func=ast.Attribute(value=owner, attr="connect")):
                connects = connects or _has_process(owner, names.scope_of_call[inner])
            case _:
                pass
    return listens and connects


def _nodes_of(function: FunctionNode, names: Names) -> list[ast.AST]:
    """The nodes of a function, and of those of the file that it awaits."""
    seen, left, found = {function}, [(function, 0)], list[ast.AST]()
    while left:
        here, deep = left.pop()
        nodes = [*own_nodes(here.body)]
        found += nodes
        for node in nodes:
            match node:
                case ast.Await(value=ast.Call() as call) if deep < MAX_DEEP:
                    inner = function_of(call.func, names.scope_of_call[call])
                case _:
                    continue
            if inner is None or isinstance(inner.node, ast.Lambda) or inner.node in seen:
                continue
            seen.add(inner.node)
            left.append((inner.node, deep + 1))
    return found


def _has_process(node: ast.expr, scope: Scope) -> bool:
    """Whether it is an `Actors` with an actor in processes whose handler is in this file."""
    made = call_of(node, scope, "Actors")
    if made is None:
        return False
    call, scope = made
    return any(_is_process(actor, scope) for actor in _elements(call.args, scope))


def _elements(nodes: list[ast.expr], scope: Scope) -> Iterator[ast.expr]:
    for node in nodes:
        if isinstance(node, ast.Starred):
            several = origin(node.value, scope).node
            if isinstance(several, ast.List | ast.Tuple | ast.Set):
                yield from several.elts
        else:
            yield node


def _is_process(node: ast.expr, scope: Scope) -> bool:
    made = call_of(node, scope, "Actor")
    if made is None:
        return False
    actor = arguments_of(*made, ACTOR)
    handler = actor.given.get("handler")
    here = handler is not None and function_of(handler, actor.scope) is not None
    return here and runs_in(actor) == PROCESS
