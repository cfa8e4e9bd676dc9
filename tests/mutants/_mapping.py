"""Which tests run which lines: a plugin of pytest, and what it has found.

    python -m pytest -p tests.mutants._mapping --map DIRECTORY tests/link

Each process of pytest-xdist writes a file of its own. Tests that failed are left out: they would
"notice" a change that has no effect.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent

INSTANT = 0.02
"""Seconds of a test that needs no server: so many of them fit that all variants are tried."""

ASSIGNED = re.compile(r"\s*(\w+)\s*(?::[^=]*)?=[^=]")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--map", type=Path, help="where to write which tests run which lines")


def pytest_configure(config: pytest.Config) -> None:
    directory = config.getoption("--map")
    # With pytest-xdist, the process that only gives out tests runs none.
    gives_out = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if directory is not None and not gives_out:
        config.pluginmanager.register(_Recorder(directory))


class _Recorder:
    def __init__(self, directory: Path) -> None:
        from coverage import Coverage

        self._directory = directory
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()
        self._coverage = Coverage(data_file=None, source=[str(ROOT / "walnats_anyio")])
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines: dict[str, dict[str, list[int]]] = {}
        for file in data.measured_files():
            name = Path(file).relative_to(ROOT).as_posix()
            by_test: dict[str, list[int]] = defaultdict(list)
            for line, tests in data.contexts_by_lineno(file).items():
                for test in tests:
                    if test and test not in self._failed:
                        by_test[test].append(line)
            lines[name] = by_test
        texts = {name: (ROOT / name).read_text() for name in lines}
        found = {"seconds": self._seconds, "lines": lines, "texts": texts}
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / f"{os.getpid()}.json").write_text(json.dumps(found))


class TestMap:
    """Which tests run a line, the quickest first."""

    __test__ = False

    def __init__(self, directory: Path) -> None:
        self.seconds: dict[str, float] = {}
        self._tests: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for path in sorted(directory.glob("*.json")):
            found: dict[str, Any] = json.loads(path.read_text())
            self.seconds.update(found["seconds"])
            for file, by_test in found["lines"].items():
                now = _lines_now(found["texts"][file], ROOT / file)
                for test, lines in by_test.items():
                    for line in lines:
                        if line in now:
                            self._tests[file][now[line]].add(test)

    def __bool__(self) -> bool:
        return bool(self._tests)

    def tests_of(self, path: str, lines: Iterable[int], near: tuple[str, ...]) -> list[str]:
        """The tests that run one of these lines, see `ordered`."""
        by_line = self._tests[path]
        return self.ordered(set[str]().union(*(by_line[line] for line in lines)), near)

    def tests_of_name(self, path: str, line: int, near: tuple[str, ...]) -> list[str]:
        """The tests that run what uses the name that is given a value in a line.

        A constant gets its value while the module is imported, before any test.
        """
        texts = (ROOT / path).read_text().splitlines()
        assigned = ASSIGNED.match(texts[line - 1])
        if assigned is None:
            return []
        name = re.compile(rf"\b{assigned[1]}\b")
        found: set[str] = set()
        for file, by_line in list(self._tests.items()):
            for number, text in enumerate((ROOT / file).read_text().splitlines(), 1):
                if name.search(text):
                    found |= by_line[number]
        return self.ordered(found, near)

    def tests_under(self, near: tuple[str, ...]) -> list[str]:
        """All tests that are near, see `ordered`."""
        return self.ordered((test for test in self.seconds if test.startswith(near)), near)

    def ordered(self, tests: Iterable[str], near: tuple[str, ...]) -> list[str]:
        """The tests, those that are near first, one of each function first.

        The variants of a test function, such as those for each event loop, tell much the same; not
        those of one that takes no time, which are often a table.
        """
        found = {test for test in tests if _is_plain(test)}
        variants: dict[str, int] = defaultdict(int)
        order: list[tuple[bool, int, float, str]] = []
        for test in sorted(found, key=lambda test: self.seconds[test]):
            function = test.partition("[")[0]
            is_far = not test.startswith(near)
            nth = 0 if self.seconds[test] < INSTANT else min(variants[function], 2)
            order.append((is_far, nth, self.seconds[test], test))
            variants[function] += 1
        return [test for *_, test in sorted(order)]


def _lines_now(before: str, path: Path) -> dict[int, int]:
    """Where the lines of a file are that has changed since; those that are gone are left out."""
    old, new = before.splitlines(), path.read_text().splitlines() if path.exists() else []
    matches = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return {
        match.a + offset + 1: match.b + offset + 1
        for match in matches
        for offset in range(match.size)
    }


def _is_plain(test: str) -> bool:
    """Whether the name of a test can be given on a command line again."""
    name = test.partition("[")[2]
    return test.isascii() and test.isprintable() and "::" not in name
