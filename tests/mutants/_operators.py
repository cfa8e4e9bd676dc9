"""How a file may be changed: one small change at a time, each of which a test should notice.

The operators are the usual ones of mutation testing: a comparison, a condition, a number or a
truth value is another one, or a statement is missing. What only people read (texts, log messages,
`__repr__`) is left as it is, and so are declarations: annotations, decorators, protocols.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

SEED = "walnats"
"""Which mutants are drawn; another seed draws others."""

INVERSE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}

EDGE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}

NAMES = {"max": "min", "min": "max", "any": "all", "all": "any"}

LARGE = 32
"""A number from which on it is doubled rather than one more."""

FOR_PEOPLE = {"__repr__", "__str__"}
"""Functions whose texts only people read."""


@dataclass(frozen=True)
class Mutant:
    """One small change to one file."""

    path: str
    """The file, from the root of the repository."""

    where: str
    """The class or function that it is in."""

    before: str
    after: str

    nth: int
    """Which of several changes that read the same, from 0."""

    line: int
    end_line: int
    start: int
    """Where `before` begins, in bytes."""
    end: int

    @property
    def key(self) -> str:
        """What identifies it, also after lines were added elsewhere in the file."""
        number = f" ({self.nth + 1})" if self.nth else ""
        return f"{self.path}: {self.where}: {_short(self.before)} -> {_short(self.after)}{number}"

    @property
    def rank(self) -> str:
        """Its place in the order in which mutants are drawn."""
        return hashlib.sha256(f"{SEED} {self.key}".encode()).hexdigest()

    def apply(self, source: bytes) -> bytes:
        """The file with the change."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """All changes to a file."""
    found = _Finder(source)
    found.visit(ast.parse(source))
    seen: Counter[tuple[str, str, str]] = Counter()
    mutants: list[Mutant] = []
    for change in found.changes:
        same = (change.where, change.before, change.after)
        node = change.node
        start = found.offset(node.lineno, node.col_offset)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        end = found.offset(node.end_lineno, node.end_col_offset)
        mutants.append(Mutant(path, *same, seen[same], node.lineno, node.end_lineno, start, end))
        seen[same] += 1
    return mutants


@dataclass(frozen=True)
class _Change:
    where: str
    node: ast.expr | ast.stmt
    before: str
    after: str


class _Finder(ast.NodeVisitor):
    """Finds the changes of a file, in the order of its text."""

    def __init__(self, source: bytes) -> None:
        self.changes: list[_Change] = []
        self._text = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._scope: list[str] = []

    def offset(self, line: int, column: int) -> int:
        return self._lines[line - 1] + column

    def _add(self, node: ast.expr | ast.stmt, after: str) -> None:
        before = self._text_of(node)
        if before != after:
            where = ".".join(self._scope) or "(module)"
            self.changes.append(_Change(where, node, before, after))

    def _replace(self, node: ast.expr, changed: ast.expr) -> None:
        self._add(node, f"({ast.unparse(changed)})")

    def _text_of(self, node: ast.expr | ast.stmt) -> str:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.offset(node.lineno, node.col_offset)
        return self._text[start : self.offset(node.end_lineno, node.end_col_offset)].decode()

    # what is left as it is

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(
            ast.unparse(base) in ("Protocol", "enum.Enum", "enum.StrEnum") for base in node.bases
        ):
            return
        self._scoped(node.name, node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in FOR_PEOPLE:
            return
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self._scoped(node.name, node.body)

    def _scoped(self, name: str, body: list[ast.stmt]) -> None:
        self._scope.append(name)
        for statement in body:
            self.visit(statement)
        self._scope.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """It says what is true."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A text."""

    # statements

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if not isinstance(value, ast.Call):
            return
        self._add(node, "pass")
        if not ast.unparse(value.func).startswith("logger."):
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        in_init = self._scope[-1:] == ["__init__"]
        if not in_init and any(
            isinstance(each, ast.Attribute | ast.Subscript) for each in node.targets
        ):
            self._add(node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._add(node, "pass")
        self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._add(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._add(node, "pass")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self._add(node, "pass")

    def visit_Delete(self, node: ast.Delete) -> None:
        self._add(node, "pass")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self._condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def _condition(self, test: ast.expr) -> None:
        # Comparisons and `not` have operators of their own.
        if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.BoolOp | ast.NamedExpr):
            self._replace(test, ast.UnaryOp(ast.Not(), test))

    # expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        for at, operator in enumerate(node.ops):
            for table in (INVERSE, EDGE):
                changed = table.get(type(operator))
                if changed is not None:
                    ops = [*node.ops[:at], changed(), *node.ops[at + 1 :]]
                    self._replace(node, ast.Compare(node.left, ops, node.comparators))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._replace(node, ast.BoolOp(other, node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, node.operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        changed = ARITHMETIC.get(type(node.op))
        if changed is not None and not (_is_text(node.left) or _is_text(node.right)):
            self._replace(node, ast.BinOp(node.left, changed(), node.right))
        if not isinstance(node.op, ast.Mod):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in NAMES:
            self._replace(node, ast.Call(ast.Name(NAMES[node.func.id]), node.args, node.keywords))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value: object = node.value
        if isinstance(value, bool):
            self._add(node, str(not value))
        elif isinstance(value, int):
            # One byte more or less of a generous limit is nothing that a test should hold.
            self._add(node, str(value + 1 if value < LARGE else value * 2))
        elif isinstance(value, float):
            self._add(node, str(value * 2 or 1.0))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def changes_in(mutants: list[Mutant], count: int) -> Iterator[Mutant]:
    """So many of the mutants, drawn by the seed, in the order of the text."""
    drawn = sorted(mutants, key=lambda mutant: mutant.rank)[:count]
    yield from sorted(drawn, key=lambda mutant: mutant.start)


def _short(text: str) -> str:
    return " ".join(text.split())
