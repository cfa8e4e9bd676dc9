"""What a handler must not do: block the event loop, swallow what decides about the event."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from walnats_anyio.linter import _codes as codes
from walnats_anyio.linter._actors import MAIN, runs_in
from walnats_anyio.linter._arguments import Arguments
from walnats_anyio.linter._declarations import Problem
from walnats_anyio.linter._scopes import FunctionNode, Names, Scope
from walnats_anyio.linter._values import (
    Function,
    called,
    dotted,
    function_of,
    is_ours,
    origin,
)

_HTTP = ("get", "post", "put", "patch", "delete", "head", "options", "request")

BLOCKING = {
    "time.sleep": "use anyio.sleep",
    **{f"requests.{verb}": "use httpx.AsyncClient, or ExecuteIn.THREAD" for verb in _HTTP},
    **{f"httpx.{verb}": "use httpx.AsyncClient" for verb in (*_HTTP, "stream")},
    "urllib.request.urlopen": "use httpx.AsyncClient, or ExecuteIn.THREAD",
    "urllib.request.urlretrieve": "use httpx.AsyncClient, or ExecuteIn.THREAD",
    "urllib3.request": "use httpx.AsyncClient, or ExecuteIn.THREAD",
    **{
        f"subprocess.{name}": "use anyio.run_process"
        for name in ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput")
    },
    "os.system": "use anyio.run_process",
    "os.wait": "use anyio.open_process",
    **{
        f"{driver}.connect": "use an asynchronous driver, or ExecuteIn.THREAD"
        for driver in ("sqlite3", "psycopg", "psycopg2", "pymysql", "MySQLdb")
    },
    "socket.create_connection": "use anyio.connect_tcp",
    **{
        f"socket.{name}": "use anyio.getaddrinfo or anyio.getnameinfo"
        for name in (
            "getaddrinfo",
            "gethostbyaddr",
            "gethostbyname",
            "gethostbyname_ex",
            "getnameinfo",
        )
    },
    "builtins.input": "a worker has nobody to ask",
}
"""Calls that wait for something outside of the process, and what to do instead.

Files are not in the list: reading one takes microseconds, mostly, and nobody can tell which.
"""

QUIET_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}

BROAD = ("builtins.Exception", "builtins.BaseException")


def check_handler(function: Function, names: Names, *, in_loop: bool) -> Iterator[Problem]:
    """Check the code of a handler.

    Args:
        function: the handler.
        names: those of its file.
        in_loop: whether it is known to run in the event loop.
    """
    inner = names.scopes[function.node]
    if in_loop:
        yield from _check_blocking(function, names)
    if not isinstance(function.node, ast.Lambda):
        yield from _check_swallowing(function.node.body, inner)


def check_borrowed_handler(actor: Arguments) -> Iterator[Problem]:
    """Check a handler that is a blocking function of somebody else: `time.sleep`."""
    handler = actor.given.get("handler")
    full = None if handler is None else dotted(handler, actor.scope)
    if handler is not None and full in BLOCKING and runs_in(actor) == MAIN:
        yield _blocking(handler, full)


def _blocking(node: ast.expr, full: str) -> Problem:
    text = f"{full.removeprefix('builtins.')}() blocks the event loop and with it all"
    return node, codes.BLOCKING_CALL, f"{text} other jobs: {BLOCKING[full]}"


def _check_blocking(function: Function, names: Names) -> Iterator[Problem]:
    left, seen = [function.node], {function.node}
    while left:
        for call, awaited in _own_calls(left.pop()):
            scope = names.scope_of_call[call]
            full = _called_of_session(call, scope) or dotted(call.func, scope)
            if full in BLOCKING and not _is_pause(full, call):
                yield _blocking(call, full)
            inner = function_of(call.func, scope)
            if inner is not None and inner.node not in seen and _runs_here(inner.node, awaited):
                seen.add(inner.node)
                left.append(inner.node)


SESSIONS = {"requests.Session": "requests", "requests.session": "requests", "httpx.Client": "httpx"}
"""Objects whose methods block as functions of these modules do."""


def _called_of_session(call: ast.Call, scope: Scope) -> str | None:
    match call.func:
        case ast.Attribute(value=owner, attr=attr):
            made, where = origin(owner, scope)
        case _:
            return None
    module = SESSIONS.get(called(made, where) or "") if isinstance(made, ast.Call) else None
    return module and f"{module}.{attr}"


def _own_calls(function: FunctionNode | ast.Lambda) -> list[tuple[ast.Call, bool]]:
    """The calls in a function, and whether each is awaited."""
    body = function.body
    nodes = [*own_nodes(body if isinstance(body, list) else [body])]
    awaited = {node.value for node in nodes if isinstance(node, ast.Await)}
    return [(node, node in awaited) for node in nodes if isinstance(node, ast.Call)]


def _runs_here(function: FunctionNode | ast.Lambda, awaited: bool) -> bool:
    """Whether a call of it runs it, and does not only make something to be run elsewhere."""
    if isinstance(function, ast.Lambda):
        return False
    if isinstance(function, ast.AsyncFunctionDef) and not awaited:
        return False
    return not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function.body))


def _is_pause(full: str, call: ast.Call) -> bool:
    """Whether it is `time.sleep(0)`, which waits for nothing."""
    match call.args:
        case [ast.Constant(value=0)]:
            return full == "time.sleep"
        case _:
            return False


def own_nodes(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that run when these do: not what functions and classes in them define."""
    left: list[ast.AST] = [*nodes]
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _LATER):
            left.extend(ast.iter_child_nodes(node))


VERDICTS = ("Retry", "Reject", "Snooze", "BatchError")
"""What a handler raises to say what becomes of its event."""

_IMPORTS = (ast.Import, ast.ImportFrom)
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.GeneratorExp)


def _check_swallowing(body: list[ast.stmt], scope: Scope) -> Iterator[Problem]:
    """Find where `VERDICTS` do not come out of the handler."""
    only = [each for each in body if not (_is_text(each) or isinstance(each, _IMPORTS))]
    for node in own_nodes(body):
        whole = only == [node]
        where: ast.ExceptHandler | ast.Call | None
        if isinstance(node, ast.Try | ast.TryStar):
            where = _swallowing_clause(node, scope, whole)
        elif isinstance(node, ast.With):
            where = _suppressing_item(node, scope, whole)
        else:
            continue
        if where is not None and not _raises_later(body, node):
            text = "Retry, Reject, Snooze and BatchError end here, and the event counts as handled"
            remedy = "catch them first and raise them again, or catch less"
            yield where, codes.SWALLOWED_VERDICT, f"{text}: {remedy}"


def _raises_later(body: list[ast.stmt], after: ast.Try | ast.TryStar | ast.With) -> bool:
    """Whether something is raised after a statement: what was caught there may come out then."""
    last = [] if isinstance(after, ast.With) else after.finalbody
    raised = [each for each in own_nodes(body) if isinstance(each, ast.Raise)]
    return any(isinstance(each, ast.Raise) for each in own_nodes(last)) or any(
        each.lineno > (after.end_lineno or after.lineno) for each in raised
    )


def _swallowing_clause(
    node: ast.Try | ast.TryStar, scope: Scope, whole: bool
) -> ast.ExceptHandler | None:
    for clause in node.handlers:
        caught = _caught(clause.type, scope)
        if any(is_ours(full, *VERDICTS) for full in caught):
            return None  # somebody has thought of them
        if clause.type is not None and not any(full in BROAD for full in caught):
            continue
        ignored = all(_does_nothing(each) for each in clause.body)
        if whole and ignored and _may_raise(node.body):
            return clause
        quiet = ignored or all(_does_nothing(each) or _logs(each) for each in clause.body)
        return clause if quiet and _raises_verdict(node.body, scope) else None
    return None


def _caught(kind: ast.expr | None, scope: Scope) -> list[str | None]:
    if kind is None:
        return []
    return [dotted(each, scope) for each in (kind.elts if isinstance(kind, ast.Tuple) else [kind])]


def _suppressing_item(node: ast.With, scope: Scope, whole: bool) -> ast.Call | None:
    for item in node.items:
        call = item.context_expr
        if not isinstance(call, ast.Call) or dotted(call.func, scope) != "contextlib.suppress":
            continue
        broad = any(dotted(each, scope) in BROAD for each in call.args)
        if broad and ((whole and _may_raise(node.body)) or _raises_verdict(node.body, scope)):
            return call
    return None


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _does_nothing(node: ast.stmt) -> bool:
    match node:
        case (
            ast.Pass()
            | ast.Continue()
            | ast.Break()
            | ast.Return(value=None | ast.Constant(value=None))
        ):
            return True
        case _:
            return _is_text(node)


def _logs(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr))):
            return attr in QUIET_METHODS
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return True
        case _:
            return False


def _may_raise(body: list[ast.stmt]) -> bool:
    """Whether something is called in the body, which may raise one of `VERDICTS`."""
    return any(isinstance(node, ast.Call | ast.Await | ast.Raise) for node in own_nodes(body))


def _raises_verdict(body: list[ast.stmt], scope: Scope) -> bool:
    """Whether the body raises one of `VERDICTS` itself, outside of another `try`."""
    left: list[ast.AST] = [*body]
    while left:
        node = left.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if is_ours(dotted(raised, scope), *VERDICTS):
                return True
        if isinstance(node, ast.Try | ast.TryStar) and node.handlers:
            left.extend([*node.orelse, *node.finalbody])
        elif not isinstance(node, _LATER):
            left.extend(ast.iter_child_nodes(node))
    return False
