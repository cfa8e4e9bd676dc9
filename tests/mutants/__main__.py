"""Small changes to the library, each of which a test must notice: mutation testing.

    python -m tests.mutants map        find out which tests run which lines (some minutes)
    python -m tests.mutants run        try the mutants that the seed draws; `nox -s mutants`
    python -m tests.mutants list       name them, without trying them
    python -m tests.mutants changes    try those made by hand; with `--sample` the quick ones

`run` goes on where it was stopped; what has been tried is in `.cache/mutants`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from tests.mutants._by_hand import Change, changes_by_hand
from tests.mutants._mapping import TestMap
from tests.mutants._operators import Mutant
from tests.mutants._places import LONG, WIDER, drawn, files, near
from tests.mutants._results import KEPT, Results, share_killed, table_of
from tests.mutants._survivors import SAME, known_survivors
from tests.mutants._trial import ROOT, Checkout, Ending, Result, Trial, preload

MAP = KEPT / "map"

FIRST_SECONDS = 8.0
"""Seconds that the tests of the first trial of a mutant take together, without the mutant."""

MORE_SECONDS = 30.0
"""The same for the second trial, with all other tests that run its lines."""

TRIALS, TRIALS_UNMAPPED = 2, 5
"""Trials of a mutant at most: the second number where it is not known which tests run its lines."""

ENOUGH = 0.9
"""The part of the mutants that must be killed, of those that make a difference."""

Item = TypeVar("Item", Mutant, Change)

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)


def main(arguments: list[str]) -> int:
    wanted = parse(arguments)
    return int(wanted.command(wanted))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for command in (make_map, run, show, changes):
        name = {"make_map": "map", "show": "list"}.get(command.__name__, command.__name__)
        sub = commands.add_parser(name, help=command.__doc__)
        sub.set_defaults(command=command)
        sub.add_argument("--only", default="", help="those whose names contain this")
        sub.add_argument("--jobs", type=int, default=2, help="how many at a time")
        sub.add_argument("--again", action="store_true", help="also what was tried before")
        sub.add_argument("--survivors", action="store_true", help="also those that survived")
        sub.add_argument("--sample", action="store_true", help="of `changes`, the quick ones")
    return parser.parse_args(arguments)


# the commands


def make_map(wanted: argparse.Namespace) -> int:
    """Find out which tests run which lines."""
    for old in MAP.glob("*.json"):
        old.unlink()
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutants._mapping", f"--map={MAP}"]
    options = ["-q", "-p", "no:cacheprovider", "-n", str(wanted.jobs), "--dist", "worksteal"]
    # Tests that fail are left out of the map, and so their number does not matter.
    subprocess.run(["nice", "-n", "19", *command, *options, *WIDER], cwd=ROOT, check=False)
    return 0 if TestMap(MAP) else 1


def run(wanted: argparse.Namespace) -> int:
    """Try the mutants that the seed draws."""
    if not list(MAP.glob("*.json")):
        make_map(wanted)
    test_map = TestMap(MAP)
    if not test_map:
        raise SystemExit("it is not known which tests run which lines: run the command `map`")
    results, reasons = Results(KEPT / "results.json"), known_survivors()
    mutants = list(_drawn(wanted.only))
    left = [each for each in mutants if wanted.again or _is_open(results.of(each), wanted)]
    console.print(f"{len(mutants)} mutants, {len(left)} to be tried")

    def tried(mutant: Mutant, result: Result) -> None:
        results.add(mutant, result)
        console.print(f"{_told(result)}  {mutant.key}  (line {mutant.line})", soft_wrap=True)

    with _checkouts(wanted.jobs) as checkouts:
        _try_all(checkouts, ((each, _tests_for(test_map, each)) for each in left), tried)
    found = [(each, result) for each in mutants if (result := results.of(each)) is not None]
    console.print(table_of(found))
    return _judge(found, reasons)


def show(wanted: argparse.Namespace) -> int:
    """Name the mutants that the seed draws."""
    for mutant in _drawn(wanted.only):
        print(mutant.key)
    return 0


def changes(wanted: argparse.Namespace) -> int:
    """Try the changes that were made by hand."""
    chosen = [
        change
        for change in changes_by_hand()
        if (change.quick or not wanted.sample) and wanted.only in f"{change.says} {change.path}"
    ]
    unnoticed: list[Change] = []
    began, spent = time.monotonic(), 0.0

    def tried(change: Change, result: Result) -> None:
        nonlocal spent
        spent += result.cpu
        console.print(f"{_told(result)}  {change.says}", soft_wrap=True)
        if result.ending in (Ending.SURVIVED, Ending.UNUSABLE, Ending.MISSING):
            unnoticed.append(change)

    with _checkouts(wanted.jobs) as checkouts:
        _try_all(checkouts, ((change, [list(change.tests)]) for change in chosen), tried)
        # As with tests that fail: on a busy machine one may miss what it notices else.
        again, unnoticed = unnoticed, []
        _try_all(checkouts, ((change, [list(change.tests)]) for change in again), tried)
    seconds = time.monotonic() - began
    console.print(f"{len(chosen)} changes in {seconds:.0f} s, {spent:.0f} s of processor time")
    for change in unnoticed:
        console.print(f"[red]not noticed[/]: {change.says}\n  {change.path}: {change.after}")
    return 1 if unnoticed or not chosen else 0


# what they share


def _is_open(result: Result | None, wanted: argparse.Namespace) -> bool:
    """Whether a mutant is still to be tried."""
    return result is None or (wanted.survivors and result.ending is Ending.SURVIVED)


def _drawn(only: str) -> Iterator[Mutant]:
    for path in files():
        yield from (mutant for mutant in drawn(path) if only in mutant.key)


def _tests_for(test_map: TestMap, mutant: Mutant) -> list[list[str]]:
    """The tests of the first trial, of the second one, and of those after it."""
    around = near(mutant.path)
    lines = range(mutant.line, mutant.end_line + 1)
    found = test_map.tests_of(mutant.path, lines, around) or test_map.tests_of_name(
        mutant.path, mutant.line, around
    )
    most = TRIALS
    if not found:
        # It runs in another process, or is data.
        found, most = test_map.tests_under(around), TRIALS_UNMAPPED
    long = [test for test in found if test in LONG.get(mutant.path, ())]
    quick = [test for test in found if test not in long]
    first, rest = _for_seconds(quick or long, test_map.seconds, FIRST_SECONDS)
    trials, rest = [first], long + rest if quick else rest
    while rest and len(trials) < most:
        more, rest = _for_seconds(rest, test_map.seconds, MORE_SECONDS)
        trials.append(more)
    return trials


def _for_seconds(
    tests: list[str], seconds: dict[str, float], most: float
) -> tuple[list[str], list[str]]:
    """As many of the tests as take so long together, and the others; a long one is passed over."""
    chosen: list[str] = []
    others: list[str] = []
    for test in tests:
        if chosen and seconds[test] > most:
            others.append(test)
            continue
        most -= seconds[test]
        chosen.append(test)
    return chosen, others


@contextmanager
def _checkouts(count: int) -> Iterator[list[Checkout]]:
    os.nice(19 - os.nice(0))
    preload()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        yield [Checkout(Path(directory, str(number))) for number in range(count)]


def _try_all(
    checkouts: list[Checkout],
    items: Iterable[tuple[Item, list[list[str]]]],
    tried: Callable[[Item, Result], None],
) -> None:
    """Try each in a checkout that is free, one list of tests after another until one notices it."""
    left = iter(items)
    free = [Bench[Item](checkout) for checkout in checkouts]
    busy: list[Bench[Item]] = []
    while True:
        while free and (following := next(left, None)) is not None:
            bench = free.pop()
            bench.begin(*following)
            busy.append(bench)
        if not busy:
            return
        for bench in list(busy):
            if (result := bench.look()) is not None:
                busy.remove(bench)
                free.append(bench)
                tried(bench.item, result)
        time.sleep(0.02)


class Bench(Generic[Item]):
    """A checkout, and what is tried there."""

    def __init__(self, checkout: Checkout) -> None:
        self.item: Item
        self._checkout = checkout
        self._tests: list[list[str]] = []
        self._trial: Trial | None = None
        self._before = Result(Ending.SURVIVED)

    def begin(self, item: Item, tests: list[list[str]]) -> None:
        """Change the file, and start with the first list of tests."""
        self.item = item
        self._tests = list(tests)
        self._before = Result(Ending.SURVIVED)
        self._checkout.put(item.path, item.apply(self._checkout.read(item.path)))
        self._trial = Trial(self._checkout, self._tests.pop(0))

    def look(self) -> Result | None:
        """The result, once there is one."""
        assert self._trial is not None
        result = self._trial.poll()
        if result is None:
            return None
        self._before = result.after(self._before)
        if result.ending is Ending.SURVIVED and self._tests:
            self._trial = Trial(self._checkout, self._tests.pop(0))
            return None
        self._trial = None
        self._checkout.restore(self.item.path)
        return self._before


def _told(result: Result) -> str:
    colour = (
        "red" if result.ending in (Ending.SURVIVED, Ending.UNUSABLE, Ending.MISSING) else "green"
    )
    test = result.test.rpartition("/")[2]
    why = f" by {test}" if test else ""
    return f"[{colour}]{result.ending.value}[/] after {result.seconds:.1f} s{why}"


def _judge(found: list[tuple[Mutant, Result]], reasons: dict[str, str]) -> int:
    """Say what is missing; 0 where nothing is."""
    survivors = {mutant.key for mutant, result in found if result.ending is Ending.SURVIVED}
    unclear = [mutant.key for mutant, result in found if result.ending is Ending.MISSING]
    unexplained = sorted(survivors - reasons.keys())
    killed = {mutant.key for mutant, _ in found} - survivors
    outdated = sorted(killed & reasons.keys())
    for title, keys in (
        ("survived, and no reason is given in survivors.toml", unexplained),
        ("in survivors.toml, and noticed by now", outdated),
        ("not tried, as no test was run", sorted(unclear)),
    ):
        for key in keys:
            console.print(f"[red]{title}[/]: {key}", soft_wrap=True, markup=True)
    same = {key for key in survivors if reasons.get(key, "").startswith(SAME)}
    share = share_killed(found, same)
    cpu = sum(result.cpu for _, result in found)
    broken = sum(result.ending is Ending.UNUSABLE for _, result in found)
    if broken:
        console.print(f"{broken} more break the library as it is imported, and do not count")
    told = f"{len(same)} make no difference; of the others {share:.1%} were killed"
    console.print(f"{told}, of all {share_killed(found):.1%}, in {cpu:.0f} s of processor time")
    return 1 if unexplained or outdated or unclear or share < ENOUGH else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
