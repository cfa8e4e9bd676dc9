"""What each name in a file stands for, as far as the file alone can tell.

Theory of operation. One walk over the tree notes for every scope which statements bind a name. A
name that is bound once stands for what it is bound to there; one that is bound twice, by a loop or
as a parameter may stand for anything, and then the linter says nothing. The walk keeps a list of
what is left instead of calling itself, as generated sources are nested deeper than Python's stack.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
ScopeNode = ast.Module | ast.ClassDef | FunctionNode | ast.Lambda | ast.expr


@dataclass(frozen=True)
class Imported:
    """The name of a module, or of what a module has."""

    dotted: str


@dataclass(frozen=True)
class Defined:
    """The name of a function or a class of this file."""

    node: FunctionNode | ast.ClassDef


@dataclass(frozen=True)
class Assigned:
    """The name of a value."""

    value: ast.expr


@dataclass(frozen=True)
class Instance:
    """The name of an object whose class is in this file: `self` in a method."""

    node: ast.ClassDef


@dataclass(frozen=True)
class Each:
    """The variable of a loop, or one of several that each turn binds together."""

    values: ast.expr
    """What the loop goes through."""

    index: int | None
    """Which part of each of them it is; None: the whole."""

    lines: tuple[int, int] | None
    """The first and the last line of the loop; None: a comprehension."""

    def holds_in(self, node: ast.expr) -> bool:
        """Whether it stands for one turn after the other there, and not for the last one."""
        return self.lines is None or self.lines[0] <= node.lineno <= self.lines[1]


Binding = Imported | Defined | Assigned | Instance | Each | None
"""None: anything, such as a parameter."""


@dataclass(eq=False)
class Scope:
    """A module, a class, a function, a lambda or a comprehension: where names are bound."""

    node: ScopeNode
    parent: Scope | None
    bindings: dict[str, Binding] = field(default_factory=dict[str, Binding])

    def bind(self, name: str, binding: Binding) -> None:
        """Note what one statement binds a name to.

        The same import in two branches is one; other names that are bound twice may be anything.
        """
        self.bindings[name] = binding if self.bindings.get(name, binding) == binding else None

    @property
    def for_walrus(self) -> Scope:
        """Where `:=` binds: not in a comprehension."""
        scope = self
        while isinstance(scope.node, COMPREHENSIONS) and scope.parent is not None:
            scope = scope.parent
        return scope

    @property
    def is_function(self) -> bool:
        """Whether it is, or is in, a function: what it defines cannot be imported."""
        scope: Scope | None = self
        while scope is not None:
            if isinstance(scope.node, FunctionNode | ast.Lambda):
                return True
            scope = scope.parent
        return False

    def ancestors(self) -> Iterator[Scope]:
        """The scopes around it, from the inside."""
        scope = self.parent
        while scope is not None:
            yield scope
            scope = scope.parent


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False)
class Names:
    """A file and what its names stand for."""

    module: ast.Module
    calls: list[tuple[ast.Call, Scope]]
    """Every call, and the scope in which its names are looked up."""

    scopes: dict[ast.AST, Scope]
    """The scope that a module, a class or a function makes."""

    scope_of_call: dict[ast.Call, Scope] = field(init=False)

    def __post_init__(self) -> None:
        self.scope_of_call = dict(self.calls)

    @property
    def top(self) -> Scope:
        """The scope of the module."""
        return self.scopes[self.module]


def names_of(module: ast.Module) -> Names:
    """Look at every name that a file binds."""
    walk = _Walk(module)
    walk.all()
    return Names(module, walk.calls, walk.scopes)


class _Walk:
    def __init__(self, module: ast.Module) -> None:
        top = Scope(module, None)
        self.calls: list[tuple[ast.Call, Scope]] = []
        self.scopes: dict[ast.AST, Scope] = {module: top}
        self._left: list[tuple[ast.AST, Scope]] = [(child, top) for child in module.body]

    def all(self) -> None:
        while self._left:
            self._visit(*self._left.pop())

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._function(node, scope)
            case ast.ClassDef():
                self._class(node, scope)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._within(ast.iter_child_nodes(node), self._open(node, scope))
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._target(target, value, scope)
                self._within([value], scope)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._target(target, value, scope)
                self._within([node.annotation, value], scope)
            case ast.AnnAssign(target=ast.Name()):
                self._within([node.annotation], scope)  # it binds nothing
            case ast.NamedExpr(target=target, value=value):
                self._target(target, value, scope.for_walrus)
                self._within([value], scope)
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                self._loop(node, scope)
            case _:
                self._bind(node, scope)
                self._within(ast.iter_child_nodes(node), scope)

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Call():
                self.calls.append((node, scope))
            case ast.Import() | ast.ImportFrom():
                self._bind_imported(node, scope)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                # Bound from two scopes: wherever that is, nobody can tell what it is when.
                for around in (scope, *scope.ancestors()):
                    for name in names:
                        around.bind(name, None)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                scope.bind(name, None)
            case _:
                self._bind_in_clause(node, scope)

    def _bind_imported(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            name = alias.asname or alias.name
            if isinstance(node, ast.ImportFrom):
                absolute = node.level == 0
                scope.bind(name, Imported(f"{node.module}.{alias.name}") if absolute else None)
            elif alias.asname is None:
                first = alias.name.partition(".")[0]
                scope.bind(first, Imported(first))
            else:
                scope.bind(name, Imported(alias.name))

    def _bind_in_clause(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
                | ast.arg(arg=name)
            ):
                scope.bind(name, None)
            case _:
                pass

    def _target(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.bind(target.id, Assigned(value))
        else:
            self._within([target], scope)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.comprehension, scope: Scope) -> None:
        targets: list[tuple[ast.expr, int | None]] = [(node.target, None)]
        if isinstance(node.target, ast.Tuple):
            targets = [(each, index) for index, each in enumerate(node.target.elts)]
        if _skips(node) or not all(isinstance(target, ast.Name) for target, _ in targets):
            targets = []
            self._within([node.target], scope)
        lines = None
        if not isinstance(node, ast.comprehension):
            lines = node.lineno, node.end_lineno or node.lineno
        for target, index in targets:
            if isinstance(target, ast.Name):
                scope.bind(target.id, Each(node.iter, index, lines))
        self._within(
            (each for each in ast.iter_child_nodes(node) if each is not node.target), scope
        )

    def _function(self, node: FunctionNode | ast.Lambda, scope: Scope) -> None:
        inner = self._open(node, scope)
        first = _self_of(node, scope)
        arguments = node.args
        self._within([*arguments.defaults, *filter(None, arguments.kw_defaults)], scope)
        for each in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            *filter(None, (arguments.vararg, arguments.kwarg)),
        ):
            if each is first and isinstance(scope.node, ast.ClassDef):
                inner.bind(each.arg, Instance(scope.node))
            else:
                self._within([each], inner)
        if isinstance(node, ast.Lambda):
            self._within([node.body], inner)
            return
        scope.bind(node.name, Defined(node))
        self._within(node.decorator_list, scope)
        self._within(node.body, inner)

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        scope.bind(node.name, Defined(node))
        self._within([*node.decorator_list, *node.bases, *node.keywords], scope)
        self._within(node.body, self._open(node, scope))

    def _open(self, node: ScopeNode, scope: Scope) -> Scope:
        self.scopes[node] = inner = Scope(node, scope)
        return inner

    def _within(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        self._left.extend((node, scope) for node in nodes)


def _skips(node: ast.For | ast.AsyncFor | ast.comprehension) -> bool:
    """Whether a loop may treat some turns in another way than others."""
    if isinstance(node, ast.comprehension):
        return bool(node.ifs)
    return any(isinstance(each, _BRANCHES) for each in ast.walk(node))


_BRANCHES = (ast.If, ast.IfExp, ast.Match, ast.Try, ast.TryStar, ast.While, ast.BoolOp)


def _self_of(node: FunctionNode | ast.Lambda, scope: Scope) -> ast.arg | None:
    """The parameter of a method that is its object."""
    if isinstance(node, ast.Lambda) or not isinstance(scope.node, ast.ClassDef):
        return None
    if any(
        isinstance(each, ast.Name) and each.id in _OTHER_METHODS for each in node.decorator_list
    ):
        return None
    return next(iter([*node.args.posonlyargs, *node.args.args]), None)


_OTHER_METHODS = {"staticmethod", "classmethod"}
