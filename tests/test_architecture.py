"""The house of docs/architecture.md: who may import whom, and how large a room may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "walnats_anyio"
ROOT = Path(__file__).parent.parent / PACKAGE

STOREYS = {
    "_link": 0,
    "serializers": 1,
    "_events": 1,
    "_actors": 2,
    "middlewares": 2,
    "decorators": 2,
    "dead_letters": 2,
    "services": 3,
    "linter": 3,
    "testing": 3,
    "cli": 3,
}
ROOF = {"__init__", "__main__", "types"}
ROOF_STOREY = 4
# A version belongs to the distribution, not to a storey.
FREE_NAMES = {f"{PACKAGE}.__version__"}

LINK_ONLY = {"asyncio", "nats", "trio", "trio_asyncio"}

MAX_FILE_LINES = 320
MAX_FUNCTION_LINES = 40

FILES = sorted(ROOT.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """One imported name, absolute."""

    name: str
    line: int


def room_of(dotted: str) -> str:
    """Name the room of a dotted name inside the package; the roof for the package itself."""
    parts = dotted.split(".")
    if len(parts) > 1 and parts[1] in STOREYS:
        return parts[1]
    return "__init__"


def storey_of(room: str) -> int:
    return ROOF_STOREY if room in ROOF else STOREYS[room]


def room_of_file(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(source: str) -> Iterator[Import]:
    """Yield every import, wherever it stands: at the top, in a function, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from (Import(f"{module}.{alias.name}", node.lineno) for alias in names)
            case ast.ImportFrom(level=level) if level > 0:
                pytest.fail(f"relative import at line {node.lineno}")
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield Import(name, node.lineno)


def upward_imports(room: str, source: str) -> list[str]:
    """Describe the imports of a room's source that climb the stairs."""
    return [
        f"line {found.line}: {room} (storey {storey_of(room)}) imports {found.name}"
        f" (storey {storey_of(room_of(found.name))})"
        for found in imports_of(source)
        if found.name.split(".")[0] == PACKAGE
        and found.name not in FREE_NAMES
        and storey_of(room_of(found.name)) > storey_of(room)
    ]


def forbidden_imports(room: str, source: str) -> list[str]:
    """Describe the imports that only the link may have."""
    return [
        f"line {found.line}: {found.name}"
        for found in imports_of(source)
        if room != "_link" and found.name.split(".")[0] in LINK_ONLY
    ]


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT.parent))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_file_belongs_to_a_room(file: Path) -> None:
    room = room_of_file(file)
    assert room in STOREYS or room in ROOF, (
        f"{file} is in no room of docs/architecture.md: move it, or name the new room there"
    )


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_room_imports_from_its_storey_or_below(file: Path) -> None:
    assert upward_imports(room_of_file(file), file.read_text()) == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_the_link_knows_nats_and_the_event_loops(file: Path) -> None:
    assert forbidden_imports(room_of_file(file), file.read_text()) == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_reads_as_one_story(file: Path) -> None:
    lines = file.read_text().count("\n")
    assert lines <= MAX_FILE_LINES, "tell it in two files"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body, its docstring left out."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_function_does_one_thing(file: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    too_long = {f.name: body_lines(f) for f in functions if body_lines(f) > MAX_FUNCTION_LINES}
    assert too_long == {}


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("_link", "from walnats_anyio._events import Event"),
        ("_link", "import walnats_anyio.serializers"),
        ("_events", "from walnats_anyio import _actors"),
        ("_events", "def f():\n    from walnats_anyio._actors._job import Job"),
        (
            "_actors",
            "if TYPE_CHECKING:\n    from walnats_anyio import cli",
        ),
        ("_actors", "import importlib\nimportlib.import_module('walnats_anyio.testing')"),
        ("cli", "import walnats_anyio"),
        ("cli", "from walnats_anyio import Event"),
    ],
)
def test_climbing_is_noticed(room: str, source: str) -> None:
    assert len(upward_imports(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("_events", "from walnats_anyio._link import Link"),
        ("_events", "from walnats_anyio.serializers import get_serializer"),
        ("cli", "from walnats_anyio import __version__, _actors"),
        ("types", "from walnats_anyio._actors import ConnectedActors"),
        ("__main__", "from walnats_anyio.cli import main"),
    ],
)
def test_going_down_is_allowed(room: str, source: str) -> None:
    assert upward_imports(room, source) == []


@pytest.mark.parametrize(
    "source",
    ["import asyncio", "import nats.js", "from trio import sleep", "__import__('trio_asyncio')"],
)
def test_an_event_loop_outside_the_link_is_noticed(source: str) -> None:
    assert len(forbidden_imports("_actors", source)) == 1
    assert forbidden_imports("_link", source) == []
