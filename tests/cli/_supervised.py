"""Several worker processes, and modules with actors that break them."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.cli._command import Command, report_in, started, until
from tests.cli.conftest import Shop

FRAGILE = '''
"""Actors that break their workers, once or for as long as a file is there."""

import os
import sys
import time
from shop import HERE, PLACED, note, walnats

[WORKER] = [word.partition("=")[2] for word in sys.argv if word.startswith("--worker=")] or ["0"]


def first(what):
    """Whether this is the first time that anybody asks, in any process."""
    try:
        (HERE / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


async def crash(number):
    if first("crashed"):
        os._exit(int(os.environ["CRASH_CODE"]))
    note("done", number)


def block(number):
    if first("blocked"):
        note("start", number)
        time.sleep(1000)
    note("done", number)


ACTORS = walnats.Actors(
    walnats.Actor("crash", PLACED, crash, ack_wait=2),
)
BLOCKING = walnats.Actor("block", PLACED, block, ack_wait=2)

if WORKER != "0":
    note("import", WORKER)
if (HERE / f"broken-{WORKER}").exists():
    os._exit(7)
if (HERE / f"undeclared-{WORKER}").exists():
    del ACTORS
while (HERE / f"slow-{WORKER}").exists():
    time.sleep(0.02)
'''
"""A module beside `shop.py`; a file in the directory breaks the worker that its name names."""


def run_two(
    shop: Shop,
    nats_url: str,
    backend: str,
    *options: str,
    target: str = "shop:ACTORS",
    crash_code: int = 7,
    python: Path | None = None,
) -> AbstractContextManager[Command]:
    """Run two workers."""
    (shop.directory / "fragile.py").write_text(FRAGILE)
    report = ("--json", str(shop.directory / "report.json"))
    words = ("run", target, "--workers=2", "--backend", backend, *report, *options)
    return started(
        shop.directory,
        *words,
        python=python,
        NATS_SERVER=nats_url,
        CRASH_CODE=str(crash_code),
        PYTHONPATH=":".join(sys.path),
    )


def all_ready(command: Command) -> list[int]:
    """The process ids of both workers, once they are receiving."""
    command.says("worker processes")
    workers: list[int] = report_in(command.directory / "report.json", "running")["workers"]
    for number, pid in enumerate(workers, start=1):
        command.says(f"worker {number} ({pid}): ready")
    return workers


def replaced(command: Command, number: int, pid: int) -> int:
    """The process id of what took a worker's place, once it is receiving."""

    def another() -> int | None:
        # A replacement that ends before it is ready is replaced as well.
        for now in report_in(command.directory / "report.json", "running")["workers"]:
            if now != pid and f"worker {number} ({now}): ready" in command.output:
                return int(now)
        return None

    return until(another, lambda: command.output) or 0


def stops(command: Command) -> dict[str, Any]:
    """Stop it gracefully; gives its report."""
    command.send(signal.SIGTERM)
    assert command.ends() == 0, command.output
    assert "stopped gracefully" in command.output
    assert command.left_behind() == []
    return report_in(command.directory / "report.json", "ended")


def parent_of(pid: int) -> int:
    """The process that started another one."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [parent] = [line.split()[1] for line in status if line.startswith("PPid:")]
    return int(parent)


def runs(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
