"""The program that breaks the library: what it changes, and that its lists fit the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants._by_hand import Change, changes_by_hand
from tests.mutants._operators import Mutant, mutants_of
from tests.mutants._places import ROOT, drawn, files
from tests.mutants._survivors import known_survivors

CHANGES = changes_by_hand()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.says)
def test_a_change_by_hand_fits_the_library(change: Change) -> None:
    """Otherwise it says which text of `changes.toml` is to be corrected."""
    source = (ROOT / change.path).read_bytes()
    compile(change.apply(source), change.path, "exec")
    for test in change.tests:
        path, _, name = test.partition("::")
        function = name.partition("[")[0].rpartition("::")[2]
        assert f"def {function}(" in Path(ROOT, path).read_text() or function == "runTest"


def test_twenty_of_them_are_quick() -> None:
    assert sum(change.quick for change in CHANGES) == 20


def test_each_reason_is_for_a_file_that_is_changed() -> None:
    paths = {key.partition(": ")[0] for key in known_survivors()}
    assert paths <= set(files())


def changed(source: str) -> set[str]:
    """What the operators make of a text."""
    text = source.encode()
    return {mutant.apply(text).decode() for mutant in mutants_of("x.py", text)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = (a >= b)", "x = (a <= b)"}),
        ("x = a is None", {"x = (a is not None)"}),
        ("x = a and b", {"x = (a or b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = a - b", {"x = (a + b)"}),
        ("'text' + b", set()),
        ("max(a, b)", {"(min(a, b))", "pass"}),
        ("x = 3", {"x = 4"}),
        ("x = 100", {"x = 200"}),
        ("x = 0.0", {"x = 1.0"}),
        ("x = True", {"x = False"}),
        ("a.b = c", {"pass"}),
        ("a += c", {"pass"}),
        ("raise E", {"pass"}),
        ("logger.warning('%d', 1)", {"pass"}),
        ("if a: b", {"if (not a): b"}),
        ("def f() -> 3: return 4", {"def f() -> 3: return 5"}),
        ("def __repr__(self): return 4", set()),
        ("x: Literal[3] = y", set()),
        ("assert x > 3", set()),
        ("@d(1)\ndef f(): 'text'", set()),
        ("x = 'ä' if a else c > 1", {"x = 'ä' if (not a) else c > 1",
         "x = 'ä' if a else (c <= 1)", "x = 'ä' if a else (c >= 1)", "x = 'ä' if a else c > 2"}),
    ],
)  # fmt: skip
def test_what_is_changed(source: str, expected: set[str]) -> None:
    assert changed(source) == expected


def test_mutants_are_drawn_by_what_they_are_and_not_by_where_they_stand() -> None:
    path = files()[0]
    source = (ROOT / path).read_bytes()
    ranks = {mutant.rank for mutant in mutants_of(path, source)}
    moved = {mutant.rank for mutant in mutants_of(path, b"# a line more\n" + source)}
    assert ranks == moved


def test_every_mutant_is_python() -> None:
    tried: list[Mutant] = [mutant for path in files() for mutant in drawn(path)]
    assert len(tried) >= 300
    assert len({mutant.key for mutant in tried}) == len(tried)
    for mutant in tried:
        compile(mutant.apply((ROOT / mutant.path).read_bytes()), mutant.path, "exec")
