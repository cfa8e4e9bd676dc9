"""What an expression is: a dotted name from elsewhere, a constant, a function of this file."""

from __future__ import annotations

import ast
import enum
import operator
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from walnats_anyio.linter._scopes import (
    Assigned,
    Binding,
    Defined,
    Each,
    FunctionNode,
    Imported,
    Instance,
    Scope,
)

MAX_STEPS = 50
"""How many names and operators are followed: more than people write, less than Python's stack."""

MAX_TURNS = 100
"""Turns of a loop that are looked at."""

MAX_TEXT = 100_000
MAX_NUMBER = 10**40
MAX_EXPONENT = 200


CHECKED = frozenset(
    {
        "Actor",
        "Actors",
        "Batch",
        "BatchError",
        "Event",
        "ExecuteIn",
        "Limits",
        "Reject",
        "Retry",
        "Snooze",
    }
)
"""What the checks look for, of what `from walnats_anyio import *` binds. The tests compare it."""


class Unknown(enum.Enum):
    """The type of UNKNOWN."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""What cannot be told from the file alone. None is a value like others."""


class Located(NamedTuple):
    """An expression, and the scope in which its names are looked up."""

    node: ast.expr
    scope: Scope


class Function(NamedTuple):
    """A function of this file, and the scope that it is defined in."""

    node: FunctionNode | ast.Lambda
    scope: Scope


def find(name: str, scope: Scope) -> tuple[Binding, Scope] | None:
    """What a name stands for, and the scope that binds it; None: nothing in this file binds it.

    Names of a class are seen in its body only, not in its methods.
    """
    around: Scope | None = scope
    while around is not None:
        hidden = around is not scope and isinstance(around.node, ast.ClassDef)
        if not hidden and name in around.bindings:
            return around.bindings[name], around
        if around.parent is None and "*" in around.bindings:
            return _from_star(name, around.bindings["*"]), around
        around = around.parent
    return None


def _from_star(name: str, star: Binding) -> Binding:
    """What a name stands for that may come from `from somewhere import *`."""
    ours = star == Imported("walnats_anyio.*") and name in CHECKED
    return Imported(f"walnats_anyio.{name}") if ours else None


def dotted(node: ast.expr, scope: Scope) -> str | None:
    """The full name of what a module elsewhere has; None where it is something else.

    A name that nothing in the file binds is one of `builtins`.
    """
    attributes: list[str] = []
    for _ in range(MAX_STEPS):
        match node:
            case ast.Attribute(value=value, attr=attr):
                attributes.append(attr)
                node = value
            case ast.Name(id=name):
                match find(name, scope):
                    case None:
                        return ".".join(["builtins", name, *reversed(attributes)])
                    case Imported(full), _:
                        return ".".join([full, *reversed(attributes)])
                    case Assigned(value), scope:
                        node = value
                    case _:
                        return None
            case _:
                return None
    return None


def is_ours(full: str | None, *names: str) -> bool:
    """Whether a full name is that of one of these things of the library."""
    return (
        full is not None
        and full.startswith("walnats_anyio.")
        and any(full.endswith(f".{name}") for name in names)
    )


def origin(node: ast.expr, scope: Scope) -> Located:
    """Follow names to the expression that made the value."""
    for _ in range(MAX_STEPS):
        match node:
            case ast.Name(id=name):
                match find(name, scope):
                    case Assigned(value), scope:
                        node = value
                    case _:
                        break
            case ast.NamedExpr(value=value):
                node = value
            case ast.Attribute():
                constant = _constant_at(node, scope)
                if constant is None:
                    break
                node = constant
            case _:
                break
    return Located(node, scope)


def _constant_at(node: ast.Attribute, scope: Scope) -> ast.expr | None:
    """What stands for `Names.PLACED`, and for the `Names.PLACED.value` of an enumeration."""
    match node:
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id=owner), attr=attr), attr="value"):
            return _constant_of(find(owner, scope), attr, of_member=True)
        case ast.Attribute(value=ast.Name(id=owner), attr=attr):
            return _constant_of(find(owner, scope), attr, of_member=False)
        case _:
            return None


TEXTS = ({"enum.StrEnum"}, {"builtins.str", "enum.Enum"})
"""The bases of an enumeration whose members are texts."""


def _constant_of(
    owner: tuple[Binding, Scope] | None, name: str, *, of_member: bool
) -> ast.expr | None:
    """What a class of constants, or a member of an enumeration, has; None where nobody can tell."""
    match owner:
        case Defined(ast.ClassDef(decorator_list=[], keywords=[]) as cls), around:
            pass
        case _:
            return None
    bases = {dotted(base, around) for base in cls.bases}
    if bases not in (*TEXTS, {"enum.Enum"} if of_member else set[str]()):
        return None
    found: list[ast.expr] = []
    for each in cls.body:
        match each:
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=value)
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value)
            ) if target == name:
                found.append(value)
            case _:
                pass
    # Names in it would be looked up in the class.
    plain = len(found) == 1 and not any(isinstance(each, ast.Name) for each in ast.walk(found[0]))
    return found[0] if plain else None


def unfolded(call: ast.Call, scope: Scope) -> ast.Call:
    """The call that a call of a `functools.partial` comes to; other calls as they are."""
    made, where = origin(call.func, scope)
    if not isinstance(made, ast.Call) or not made.args or made is call.func:
        return call
    if dotted(made.func, where) != "functools.partial" or where not in (scope, *scope.ancestors()):
        return call
    first, *arguments = made.args
    named = {keyword.arg for keyword in call.keywords}
    keywords = [each for each in made.keywords if each.arg is None or each.arg not in named]
    whole = ast.Call(first, [*arguments, *call.args], [*keywords, *call.keywords])
    return ast.copy_location(whole, call)


def call_of(node: ast.expr, scope: Scope, name: str) -> tuple[ast.Call, Scope] | None:
    """The call of a class of the library that made the value; None where none did."""
    made, where = origin(node, scope)
    if isinstance(made, ast.Call) and is_ours(called(made, where), name):
        return made, where
    return None


def called(call: ast.Call, scope: Scope) -> str | None:
    """The full name of what is called, its type arguments left out: `Event[int](...)`."""
    function = call.func
    return dotted(function.value if isinstance(function, ast.Subscript) else function, scope)


def function_of(node: ast.expr, scope: Scope) -> Function | None:
    """The function of this file that a value is; looks through `functools.partial`.

    None where it is something else, or may be, as a decorator that is not of this library may have
    put anything in its place.
    """
    for _ in range(MAX_STEPS):
        node, scope = origin(node, scope)
        match node:
            case ast.Lambda():
                return Function(node, scope)
            case ast.Name(id=name):
                return _defined(find(name, scope))
            case ast.Attribute(value=value, attr=attr):
                return _method(value, attr, scope)
            case ast.Call(args=[first, *_]) if called(node, scope) == "functools.partial":
                node = first
            case ast.Call():
                return _method(node, "__call__", scope)
            case _:
                return None
    return None


def _defined(found: tuple[Binding, Scope] | None) -> Function | None:
    match found:
        case Defined(ast.FunctionDef() | ast.AsyncFunctionDef() as function), scope:
            return Function(function, scope) if _is_itself(function, scope) else None
        case _:
            return None


def _is_itself(function: FunctionNode, scope: Scope) -> bool:
    for decorator in function.decorator_list:
        node = decorator.func if isinstance(decorator, ast.Call) else decorator
        full = dotted(node, scope) or ""
        if not full.startswith("walnats_anyio.decorators.") and full not in _HARMLESS:
            return False
    return True


_HARMLESS = {"builtins.staticmethod", "builtins.classmethod"}


def _method(owner: ast.expr, name: str, scope: Scope) -> Function | None:
    """The method of an object whose class is in this file: `Mailer(...).send`, `self.send`."""
    owner, scope = origin(owner, scope)
    is_made = isinstance(owner, ast.Call)
    if isinstance(owner, ast.Call):
        owner, scope = origin(owner.func, scope)
    if not isinstance(owner, ast.Name):
        return None
    match find(owner.id, scope):
        case Instance(cls), around if not is_made and not _is_set(cls, name):
            return _method_of(cls, name, around.parent or around)
        case Defined(ast.ClassDef() as cls), around:
            return _method_of(cls, name, around)
        case _:
            return None


def _is_set(cls: ast.ClassDef, name: str) -> bool:
    """Whether a method of a class puts something else in the place of one."""
    return any(
        isinstance(each, ast.Attribute) and each.attr == name and isinstance(each.ctx, ast.Store)
        for each in ast.walk(cls)
    )


def _method_of(cls: ast.ClassDef, name: str, around: Scope) -> Function | None:
    """The method that a class has, or inherits from one of this file."""
    for _ in range(MAX_STEPS):
        if cls.decorator_list:
            return None
        found = [each for each in cls.body if isinstance(each, FunctionNode) and each.name == name]
        if found:
            only = found[0] if len(found) == 1 and _is_itself(found[0], around) else None
            return None if only is None else Function(only, around)
        match cls.bases:
            case [ast.Name(id=base)]:
                pass
            case _:
                return None
        match find(base, around):
            case Defined(ast.ClassDef() as cls), around:
                pass
            case _:
                return None
    return None


def turns_of(each: Each, scope: Scope) -> list[ast.expr]:
    """What the variable of a loop is in each turn, where the file lists that; else nothing."""
    values, _ = origin(each.values, scope)
    match values:
        case ast.Call(func=ast.Attribute(value=owner, attr="items"), args=[]):
            values, _ = origin(owner, scope)
            pairs = _pairs_of(values)
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            pairs = elements
        case _:
            pairs = []
    if each.index is None or len(pairs) > MAX_TURNS:
        return pairs[:MAX_TURNS]
    parts = [
        pair.elts[each.index]
        for pair in pairs
        if isinstance(pair, ast.Tuple | ast.List) and len(pair.elts) > each.index
    ]
    return parts if len(parts) == len(pairs) else []


def _pairs_of(values: ast.expr) -> list[ast.expr]:
    if not isinstance(values, ast.Dict):
        return []
    pairs = zip(values.keys, values.values, strict=True)
    found: list[ast.expr] = [
        ast.Tuple([key, value], ast.Load()) for key, value in pairs if key is not None
    ]
    return found if len(found) == len(values.keys) else []


def evaluate(node: ast.expr | None, scope: Scope) -> Any:
    """The value of a constant expression, or UNKNOWN."""
    return UNKNOWN if node is None else _Evaluation().of(node, scope)


class _Evaluation:
    """Works out one value; gives up after so many steps, as names can double the work each time."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def of(self, node: ast.expr, scope: Scope) -> Any:
        self._left -= 1
        if self._left < 0:
            return UNKNOWN
        node, scope = origin(node, scope)
        match node:
            case ast.JoinedStr(values=parts):
                return self._joined(parts, scope)
            case ast.Constant(value=value):
                return _bounded(value) if isinstance(value, int) else value
            case ast.UnaryOp(op=op, operand=operand):
                return _apply(_UNARY.get(type(op)), self.of(operand, scope))
            case ast.BinOp(left=left, op=op, right=right):
                return _apply(_BINARY.get(type(op)), self.of(left, scope), self.of(right, scope))
            case _:
                return UNKNOWN

    def _joined(self, parts: list[ast.expr], scope: Scope) -> Any:
        texts: list[str] = []
        for part in parts:
            match part:
                case ast.FormattedValue(value=inside, conversion=-1, format_spec=None):
                    value = self.of(inside, scope)
                case _:
                    value = self.of(part, scope)
            if not isinstance(value, str | int):
                return UNKNOWN
            texts.append(str(value))
        return _bounded("".join(texts))


def _apply(op: Callable[..., Any] | None, *values: Any) -> Any:
    if op is None or any(value is UNKNOWN for value in values):
        return UNKNOWN
    try:
        return op(*values)
    except (ArithmeticError, TypeError, ValueError):
        return UNKNOWN


def _bounded(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return value if len(value) <= MAX_TEXT else UNKNOWN
    if isinstance(value, int):
        return value if abs(value) <= MAX_NUMBER else UNKNOWN
    return value if isinstance(value, float) else UNKNOWN


def _times(left: Any, right: Any) -> Any:
    # A file may say "a" * 10**12, and nobody wants to see that.
    for text, count in ((left, right), (right, left)):
        if isinstance(text, str | bytes) and (count > MAX_TEXT or len(text) * count > MAX_TEXT):
            return UNKNOWN
    return _bounded(left * right)


def _power(left: Any, right: Any) -> Any:
    if abs(right) > MAX_EXPONENT or abs(left) > MAX_NUMBER:
        return UNKNOWN
    power = left**right
    return UNKNOWN if isinstance(power, complex) else _bounded(power)


_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda left, right: _bounded(left + right),
    ast.Sub: lambda left, right: _bounded(left - right),
    ast.Mult: _times,
    ast.Div: lambda left, right: _bounded(left / right),
    ast.FloorDiv: lambda left, right: _bounded(left // right),
    ast.Pow: _power,
}
