"""The house of docs/architecture.md: who may import whom, and how long a function may be.

The rules are the tables below. Each test reads all files of the package and lists what is wrong.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "walnats_anyio"
ROOT = Path(__file__).parent.parent / PACKAGE

STOREYS = {
    "_link": 0,
    "serializers": 1,
    "_events": 2,
    "_letters": 3,
    "_actors.declare": 4,
    "_actors.settle": 5,
    "_actors.pull": 6,
    "_actors.run": 6,
    "_actors": 7,
    "middlewares": 8,
    "decorators": 8,
    "dead_letters": 8,
    "tune": 8,
    "services": 9,
    "linter": 9,
    "testing": 9,
    "cli": 9,
}
"""A room imports from the rooms below it: never from above, never from beside it."""

ROOF = "(roof)"
"""`walnats_anyio` itself, which re-exports what is public. No room imports from there."""

ROOF_FILES = {"__init__.py", "__main__.py", "types.py"}

EXCEPTIONS = {
    ("cli", "services"): "the command spec writes what services describe",
    ("cli", "testing"): "the commands server and demo run the NatsServer that tests use",
    ("cli", "linter"): "the command lint is one of the two front ends of the linter",
    ("tune", "testing"): "a handler is tuned on a NatsServer unless another one is named",
}
"""Imports that break the rule today, and why. One that is no longer needed has to go."""

FREE_NAMES = {f"{PACKAGE}.__version__"}
"""A version belongs to the distribution, not to a storey."""

ONE_FILE = {
    "asyncio": "_link/_asyncio.py",
    "nats": "_link/_borrowed.py",
    "trio": "_link/_trio.py",
    "trio_asyncio": None,
}
"""The event loops and the NATS client: the one file that imports each; None: none does."""

MAX_FUNCTION_LINES = 40


@dataclass(frozen=True)
class Import:
    """One imported name, absolute, and the room that imports it."""

    room: str
    name: str
    where: str

    @property
    def target(self) -> str | None:
        """The room that the name comes from; None for what is outside the house."""
        first, _, rest = self.name.partition(".")
        return None if first != PACKAGE or self.name in FREE_NAMES else room_of(rest)

    @property
    def allowed(self) -> bool:
        """Whether it goes down, or stays in its room."""
        return self.target in (None, self.room) or storey_of(self.target) < storey_of(self.room)

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.room} (storey {storey_of(self.room)}) imports {self.name}"
            f" (storey {storey_of(self.target)})"
        )


def storey_of(room: str | None) -> int:
    return STOREYS[room] if room in STOREYS else max(STOREYS.values()) + 1


def room_of(dotted: str) -> str:
    """The room of a dotted name inside the package: the innermost one that has it."""
    while dotted:
        if dotted in STOREYS:
            return dotted
        dotted = dotted.rpartition(".")[0]
    return ROOF


def files() -> Iterator[tuple[str, Path]]:
    """Every file of the package, with its place in it."""
    for file in sorted(ROOT.rglob("*.py")):
        yield str(file.relative_to(ROOT)), file


def names_imported(source: str) -> Iterator[tuple[str, int]]:
    """Every import, wherever it stands: at the top, in a function, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in names)
            case ast.ImportFrom(level=level) if level > 0:
                raise AssertionError(f"relative import at line {node.lineno}: write it absolute")
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name, node.lineno


def imports_of(room: str, source: str, place: str = "") -> list[Import]:
    return [Import(room, name, f"{place}:{line}") for name, line in names_imported(source)]


def all_imports() -> Iterator[Import]:
    for place, file in files():
        room = room_of(place.removesuffix(".py").replace("/", "."))
        yield from imports_of(room, file.read_text(), place)


def in_one_file(found: Import) -> str | None:
    """What is imported, where that is for one file only."""
    package = found.name.partition(".")[0]
    return package if package in ONE_FILE else None


def listed(wrong: list[str]) -> str:
    """All of it, a line each: pytest cuts a list short."""
    return "\n" + "\n".join(wrong)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body, its docstring left out."""
    body = function.body[ast.get_docstring(function) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_file_belongs_to_a_room() -> None:
    """Move what is listed, or name the new room here and in docs/architecture.md."""
    homeless = [
        place
        for place, _ in files()
        if room_of(place.removesuffix(".py").replace("/", ".")) == ROOF and place not in ROOF_FILES
    ]
    assert not homeless, listed(homeless)


def test_a_room_imports_from_the_rooms_below_it() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if not found.allowed and (found.room, found.target) not in EXCEPTIONS
    ]
    assert not wrong, listed(wrong)


def test_every_exception_is_still_needed() -> None:
    """Delete what is listed from EXCEPTIONS: the rule holds there now."""
    needed = {(found.room, found.target) for found in all_imports() if not found.allowed}
    spare = [" imports ".join(pair) for pair in EXCEPTIONS if pair not in needed]
    assert not spare, listed(spare)


def test_one_file_each_knows_an_event_loop_or_nats() -> None:
    """What is asyncio's own is in one place, and so is what is trio's, and nats-py's."""
    importing = {
        (package, found.where.partition(":")[0], found.where)
        for found in all_imports()
        if (package := in_one_file(found)) is not None
    }
    wrong = [where for package, file, where in importing if file != ONE_FILE[package]]
    assert not wrong, listed(wrong)
    assert {package for package, *_ in importing} == {name for name in ONE_FILE if ONE_FILE[name]}


def test_a_function_does_one_thing() -> None:
    too_long = [
        f"{place}:{node.lineno}: {node.name} has {body_lines(node)} lines"
        for place, file in files()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > MAX_FUNCTION_LINES
    ]
    assert not too_long, listed(too_long)


CLIMBS = [
    ("_link", "from walnats_anyio._events import Event"),
    ("_link", "import walnats_anyio.serializers"),
    ("_events", "from walnats_anyio import _actors"),
    ("_events", "from walnats_anyio._letters import DeadLetter"),
    ("_letters", "from walnats_anyio.dead_letters import DeadLetters"),
    ("_events", "def f():\n    from walnats_anyio._actors.run._job import Job"),
    ("_actors", "if TYPE_CHECKING:\n    from walnats_anyio import cli"),
    ("_actors", "import importlib\nimportlib.import_module('walnats_anyio.testing')"),
    ("_actors.declare", "from walnats_anyio._actors import Actor"),
    ("_actors.pull", "from walnats_anyio._actors.run import Scheduler"),
    ("middlewares", "if TYPE_CHECKING:\n    from walnats_anyio.dead_letters import DeadLetter"),
    ("cli", "import walnats_anyio"),
    ("cli", "from walnats_anyio import Event"),
]

DESCENTS = [
    ("_events", "from walnats_anyio._link import Link"),
    ("_events", "from walnats_anyio.serializers import get_serializer"),
    ("_actors", "from walnats_anyio._actors.run._job import Job"),
    ("_actors", "from walnats_anyio._actors._registry import Actors"),
    ("cli", "from walnats_anyio import __version__, _actors"),
    (ROOF, "from walnats_anyio.cli import main"),
    (ROOF, "from walnats_anyio import types"),
]


def test_the_rule_of_storeys_notices_what_climbs_and_lets_the_rest_pass() -> None:
    unnoticed = [case for case in CLIMBS if all(found.allowed for found in imports_of(*case))]
    refused = [case for case in DESCENTS if not all(found.allowed for found in imports_of(*case))]
    assert (unnoticed, refused) == ([], [])


def test_the_rule_of_one_file_notices_event_loops() -> None:
    for source, package in (
        ("import asyncio.subprocess", "asyncio"),
        ("import nats.js", "nats"),
        ("from trio import sleep", "trio"),
        ("def f():\n    import trio_asyncio", "trio_asyncio"),
        ("from anyio import sleep", None),
    ):
        assert [in_one_file(found) for found in imports_of("_link", source)] == [package]
