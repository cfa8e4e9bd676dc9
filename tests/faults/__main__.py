"""All faults with 10,000 events each: `python -m tests.faults`, or `nox -s faults`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

from tests.faults._cluster import CLUSTER_FAULTS, run_cluster_fault
from tests.faults._faults import FAULTS
from tests.faults._ledger import Result
from tests.faults._parted import PARTED_FAULTS, run_parted_fault
from tests.faults._scene import run_fault
from tests.faults._workers import WORKER_FAULTS, run_worker_fault

EVENTS = 10_000

Runner = Callable[[str, int], Awaitable[Result]]


def all_faults() -> dict[str, Runner]:
    """What runs each fault, by its name; given the backend and how many events."""
    runners: dict[str, Runner] = {}
    for fault in FAULTS:
        runners[fault.name] = partial(run_fault, fault)
    for worker_fault in WORKER_FAULTS:
        runners[worker_fault.name] = partial(run_worker_fault, worker_fault)
    for cluster_fault in CLUSTER_FAULTS:
        runners[cluster_fault.name] = partial(run_cluster_fault, cluster_fault)
    for parted_fault in PARTED_FAULTS:
        runners[parted_fault.name] = partial(run_parted_fault, parted_fault)
    return runners


def table_of(results: list[Result]) -> Table:
    table = Table(title="What breaks, and what that costs")
    for column in ("fault", "backend"):
        table.add_column(column)
    for column in ("events", "acknowledged", "handled", "run again", "stored twice", "recovery s"):
        table.add_column(column, justify="right")
    table.add_column("")
    for result in results:
        table.add_row(
            result.fault,
            result.backend,
            f"{result.events:,}",
            f"{result.acknowledged:,}",
            f"{result.handled:,}",
            f"{result.run_again:,} (≤ {result.run_again_allowed:,})",
            f"{result.stored_twice:,} (≤ {result.stored_twice_allowed:,})",
            f"{result.recovery:.1f} (≤ {result.recovery_allowed:g})",
            "[red]" + ", ".join(result.problems) if result.problems else "[green]ok",
        )
    return table


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--backend", choices=["asyncio", "trio"], help="one of the two only")
    parser.add_argument("--events", type=int, default=EVENTS, help="through each fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    wanted = parse(arguments)
    # Connections are lost here on purpose.
    logging.getLogger("walnats_anyio").setLevel(logging.CRITICAL)
    console = Console(width=None if sys.stdout.isatty() else 150)
    results: list[Result] = []
    broken = 0
    for name, runner in all_faults().items():
        if wanted.only not in name:
            continue
        for backend in [wanted.backend] if wanted.backend else ["asyncio", "trio"]:
            try:
                result = anyio.run(runner, backend, wanted.events, backend=backend)
            except Exception:  # noqa: BLE001 - the other faults are of interest all the same
                console.print_exception()
                console.print(f"{name}, {backend}: broken")
                broken += 1
                continue
            verdict = ", ".join(result.problems) or "ok"
            console.print(f"{name}, {backend}: {verdict} in {result.seconds:.1f} s")
            results.append(result)
    console.print(table_of(results))
    if wanted.json is not None:
        wanted.json.write_text(json.dumps([result.as_dict() for result in results], indent=2))
    if not results:
        console.print(f"no fault is called {wanted.only!r}")
    return 0 if results and not broken and not any(each.problems for each in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
