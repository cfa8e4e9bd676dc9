"""Workers that are recycled, or whose program is loaded anew, when something goes wrong meanwhile.

These start some 60 processes, so they run where WALNATS_RUN_OPTIONS=1 is in the environment.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.cli._command import Command, report_in, started, until
from tests.cli._supervised import runs
from tests.cli.conftest import MORE, Shop

pytestmark = pytest.mark.skipif(not os.environ.get(MORE), reason=f"{MORE}=1 runs it")

Emit = Callable[[range], None]

MODULE = """
import os, time
import anyio, shop
from shop import HERE, walnats

if (HERE / "broken").exists():
    raise RuntimeError("it is broken")
while (HERE / "slow").exists():
    time.sleep(0.02)

KEPT = []

async def pack(number):
    if (HERE / "leak").exists():
        KEPT.append(os.urandom(2**20) * 8)
    while number == 99 and not (HERE / "free").exists():
        await anyio.sleep(0.02)
    await shop.pack(number)

ACTORS = walnats.Actors(walnats.Actor("pack", shop.PLACED, pack, ack_wait=3))
"""


def run_one(
    shop: Shop, nats_url: str, backend: str, *options: str
) -> AbstractContextManager[Command]:
    """Run one worker."""
    (shop.directory / "module.py").write_text(MODULE)
    report = str(shop.directory / "report.json")
    words = ("run", "module:ACTORS", "--backend", backend, "--hang-timeout=3", "--json", report)
    return started(shop.directory, *words, *options, NATS_SERVER=nats_url)


def running(shop: Shop) -> int:
    """The process of the worker."""
    [pid] = report_in(shop.directory / "report.json", "running")["workers"]
    return int(pid)


def ready(command: Command, shop: Shop) -> int:
    command.says(": ready")
    return running(shop)


def stops(command: Command, shop: Shop) -> dict[str, int]:
    command.send(signal.SIGTERM)
    assert command.ends() == 0, command.output
    assert "Traceback" not in command.output
    assert command.left_behind() == []
    report = report_in(shop.directory / "report.json", "ended")
    return {name: report[name] for name in ("recycled", "restarted", "reloaded")}


RECYCLED = ("--max-jobs-per-worker=3",)


def test_one_whose_successor_does_not_start_goes_on(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    shop.let_go()
    with run_one(shop, nats_url, backend, *RECYCLED) as command:
        old = ready(command, shop)
        (shop.directory / "broken").touch()
        emit(range(3))
        command.says("it is broken")
        command.says(f"worker 1 ({old}) goes on: worker 1 (")
        emit(range(3, 6))
        until(lambda: len(shop.noted("done")) == 6)
        assert shop.pids() == {old}
        (shop.directory / "broken").unlink()
        until(lambda: running(shop) != old, lambda: command.output)
        assert stops(command, shop) == {"recycled": 1, "restarted": 0, "reloaded": 0}


def test_one_that_takes_long_to_make_room(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    """Its successor is not recycled meanwhile, or there were more and more of them."""
    shop.let_go()
    with run_one(shop, nats_url, backend, *RECYCLED) as command:
        old = ready(command, shop)
        emit(range(99, 100))
        emit(range(3))
        until(lambda: running(shop) != old, lambda: command.output)
        new = running(shop)
        emit(range(3, 9))
        until(lambda: len(shop.noted("done")) == 9)
        time.sleep(3.0)  # three looks at what it has done
        assert running(shop) == new
        (shop.directory / "free").touch()
        until(lambda: running(shop) != new, lambda: command.output)
        assert stops(command, shop) == {"recycled": 2, "restarted": 0, "reloaded": 0}


def test_one_that_dies_while_its_successor_starts(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, *RECYCLED) as command:
        old = ready(command, shop)
        (shop.directory / "slow").touch()
        shop.let_go()
        emit(range(3))
        command.says("another process takes its place")
        os.kill(old, signal.SIGKILL)
        command.says(f"worker 1 ({old}) was killed by SIGKILL: worker 1 (")
        (shop.directory / "slow").unlink()
        until(lambda: command.output.count(": ready") == 2, lambda: command.output)
        emit(range(3, 5))
        until(lambda: len(shop.noted("done")) == 5)
        assert stops(command, shop) == {"recycled": 0, "restarted": 1, "reloaded": 0}


def test_one_that_hangs_while_it_is_to_make_room(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, *RECYCLED) as command:
        old = ready(command, shop)
        (shop.directory / "slow").touch()
        emit(range(3))
        shop.until_started(3)
        shop.let_go()
        command.says("another process takes its place")
        emit(range(3, 5))
        (shop.directory / "slow").unlink()
        command.says(f"worker 1 ({old}): SIGTERM")
        until(lambda: running(shop) != old)
        assert stops(command, shop)["recycled"] == 1


def test_one_that_is_stopped_while_it_is_to_make_room_is_killed(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, *RECYCLED) as command:
        old = ready(command, shop)
        (shop.directory / "slow").touch()
        shop.let_go()
        emit(range(3))
        command.says("another process takes its place")
        os.kill(old, signal.SIGSTOP)
        (shop.directory / "slow").unlink()
        command.says(f"worker 1 ({old}): no heartbeat for 3 s")
        until(lambda: running(shop) != old and not runs(old), lambda: command.output)
        emit(range(3, 5))
        until(lambda: len(shop.noted("done")) == 5)
        stops(command, shop)


def test_a_stop_while_the_successor_starts(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, *RECYCLED) as command:
        ready(command, shop)
        (shop.directory / "slow").touch()
        shop.let_go()
        emit(range(3))
        command.says("another process takes its place")
        assert stops(command, shop) == {"recycled": 0, "restarted": 0, "reloaded": 0}


def test_one_that_needs_too_much_memory(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    shop.let_go()
    with run_one(shop, nats_url, backend, "--max-memory=150MiB") as command:
        old = ready(command, shop)
        command.says(": ready")
        (shop.directory / "leak").touch()
        emit(range(15))
        command.says(f"worker 1 ({old}) has ")
        command.says(" MiB of memory: another process takes its place")
        (shop.directory / "leak").unlink()
        until(lambda: len(shop.noted("done")) == 15)
        until(lambda: running(shop) != old)
        assert stops(command, shop)["recycled"] == 1


def test_a_version_that_ends_every_worker_waits_for_a_change(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, "--reload") as command:
        old = ready(command, shop)
        (shop.directory / "broken").touch()
        os.kill(old, signal.SIGKILL)
        command.says("starting it again does not help, waiting for a file to change")
        (shop.directory / "broken").unlink()
        (shop.directory / "module.py").write_text(f"{MODULE}\n# mended\n")
        until(lambda: command.output.count(": ready") == 2, lambda: command.output)
        shop.let_go()
        emit(range(1))
        until(lambda: shop.noted("done") == [0])
        assert stops(command, shop) == {"recycled": 0, "restarted": 1, "reloaded": 1}


def test_a_version_that_hangs_while_it_loads_is_given_up_for_the_next(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    shop.let_go()
    module = shop.directory / "module.py"
    with run_one(shop, nats_url, backend, "--reload", "--hang-timeout=600") as command:
        old = ready(command, shop)
        module.write_text("import time\ntime.sleep(1000)\n")
        command.says("module.py changed")
        module.write_text(MODULE + "# mended\n")
        until(lambda: running(shop) != old, lambda: command.output)
        assert "cannot be used" not in command.output
        emit(range(3))
        until(lambda: len(shop.noted("done")) == 3)
        assert stops(command, shop)["reloaded"] == 1


def test_an_old_version_that_dies_while_the_new_one_loads(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, "--reload") as command:
        old = ready(command, shop)
        (shop.directory / "slow").touch()
        (shop.directory / "module.py").write_text(f"{MODULE}\n# new\n")
        command.says("module.py changed: loading the program anew")
        os.kill(old, signal.SIGKILL)
        command.says("takes its place")
        (shop.directory / "slow").unlink()
        until(lambda: command.output.count(": ready") == 2, lambda: command.output)
        shop.let_go()
        emit(range(1))
        until(lambda: shop.noted("done") == [0])
        stops(command, shop)
