"""A worker process that crashes is replaced."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import anyio
import pytest

from tests.cli._command import until
from tests.cli._supervised import all_ready, parent_of, replaced, run_two, runs, stops
from tests.cli.conftest import Shop, on_one_loop
from walnats_anyio.testing import NatsServer

Emit = Callable[[range], None]


@pytest.mark.parametrize(
    ("backend", "code", "reason"),
    [
        ("asyncio", 7, "ended with exit code 7"),
        ("trio", 3, "lost NATS or did not reach it, and ended with exit code 3"),
        ("trio", 2, "ended with exit code 2"),
    ],
)
def test_an_event_that_a_worker_died_of_is_handled_in_the_end(
    shop: Shop, emit: Emit, nats_url: str, backend: str, code: int, reason: str
) -> None:
    with run_two(shop, nats_url, backend, target="fragile:ACTORS", crash_code=code) as command:
        pids = all_ready(command)
        emit(range(1))
        command.says(f") {reason}: replacing it in 0.")
        until(lambda: shop.noted("done") == [0], lambda: command.output)
        [number] = [n for n in (1, 2) if f"worker {n} ({pids[n - 1]}) {reason}" in command.output]
        replaced(command, number, pids[number - 1])
        report = stops(command)
    [restart] = report["restarts"]
    assert restart.pop("at").endswith("+00:00")
    assert restart == {
        "number": number,
        "pid": pids[number - 1],
        "exit_code": code,
        "signal": None,
        "reason": reason,
    }
    assert [worker["exit_code"] for worker in report["workers"]] == [0, 0]
    assert (report["summary"]["handled"], report["summary"]["uncounted"]) == (1, 1)
    assert (
        "1 handled, 0 failed, 0 dead-lettered, 0 handed back, not counting 1 process that did not "
        "live to tell; 1 worker replaced"
    ) in command.output


@on_one_loop("trio")
def test_a_killed_worker_is_replaced(shop: Shop, emit: Emit, nats_url: str, backend: str) -> None:
    with run_two(shop, nats_url, backend, "--max-jobs=2") as command:
        first, second = all_ready(command)
        emit(range(4))
        shop.until_started(4)
        os.kill(first, signal.SIGKILL)
        command.says(f"worker 1 ({first}) was killed by SIGKILL: replacing it in 0.")
        new = replaced(command, 1, first)
        emit(range(4, 6))
        shop.until_started(6)  # by the new one, as the other one has no slot left
        assert shop.pids() == {first, second, new}
        shop.let_go()
        report = stops(command)
    assert len(shop.noted("done")) == 4
    assert report["left"] == {"pack": 2}
    assert report["restarts"][0]["signal"] == "SIGKILL"
    assert report["restarted"] == 1


@on_one_loop("trio")
def test_the_counts_of_a_worker_that_was_told_to_stop_are_not_lost(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    shop.let_go()
    with run_two(shop, nats_url, backend) as command:
        first, second = all_ready(command)
        emit(range(10))
        until(lambda: len(shop.noted("done")) == 10)
        for number, pid in ((1, first), (2, second)):
            os.kill(pid, signal.SIGTERM)
            command.says(f"worker {number} ({pid}) ended with exit code 0: replacing it in 0.")
            replaced(command, number, pid)
        report = stops(command)
    assert (report["summary"]["handled"], report["summary"]["uncounted"]) == (10, 0)
    assert "10 handled, 0 failed" in command.output
    assert "2 workers replaced" in command.output


@on_one_loop("asyncio")
def test_handlers_in_processes_go_with_their_worker(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, target="shop:PROCESS") as command:
        workers = all_ready(command)
        emit(range(1))
        shop.until_started(1)
        [handler] = shop.pids()
        worker = parent_of(handler)
        os.kill(worker, signal.SIGKILL)
        until(lambda: not runs(handler), lambda: command.output)
        replaced(command, workers.index(worker) + 1, worker)
        stops(command)
    assert shop.noted("done") == []


def test_a_burst_goes_on_in_a_new_worker(shop: Shop, emit: Emit, nats_url: str) -> None:
    with run_two(shop, nats_url, "trio", target="fragile:ACTORS") as command:
        all_ready(command)
        stops(command)
    emit(range(3))
    options = ("--burst", "--poll-delay=3")
    with run_two(shop, nats_url, "trio", *options, target="fragile:ACTORS") as command:
        assert command.ends() == 0
        assert "replacing it" in command.output
        assert "burst done" in command.output
    assert sorted(shop.noted("done")) == [0, 1, 2]


@on_one_loop("trio")
def test_a_worker_that_does_not_reach_nats_is_tried_until_it_does(
    shop: Shop, nats_server: NatsServer, backend: str
) -> None:
    with run_two(shop, nats_server.url, backend, "--max-restarts=0") as command:
        first, _ = all_ready(command)
        nats_server.stop_blocking()
        os.kill(first, signal.SIGKILL)
        # No restart is too many while the other worker is there and waits for the server.
        command.says("lost NATS or did not reach it, and ended with exit code 3: replacing it")
        anyio.run(nats_server.restart)
        replaced(command, 1, first)
        stops(command)


def test_a_worker_that_cannot_be_started_is_tried_again(shop: Shop, nats_url: str) -> None:
    """The interpreter is missing for a moment, as when its environment is made anew."""
    python = shop.directory / "python"
    python.symlink_to(sys.executable)
    with run_two(shop, nats_url, "trio", python=python) as command:
        first, _ = all_ready(command)
        python.unlink()
        os.kill(first, signal.SIGKILL)
        command.says("worker 1 could not be started: [Errno 2] No such file or directory")
        command.says(": trying again in ")
        python.symlink_to(sys.executable)
        replaced(command, 1, first)
        report = stops(command)
    assert [restart["pid"] for restart in report["restarts"]][:2] == [first, None]


def test_a_stop_while_a_worker_waits_to_be_replaced(shop: Shop, nats_url: str) -> None:
    with run_two(shop, nats_url, "trio", target="fragile:ACTORS") as command:
        first, _ = all_ready(command)
        (shop.directory / "broken-1").touch()
        os.kill(first, signal.SIGKILL)
        # Four ends without a long life in between: the fifth start is 4 seconds away at least.
        until(lambda: command.output.count("replacing it in") == 5, lambda: command.output)
        report = stops(command)
    # Not that of another one, started at the end of the wait and ended at once.
    assert report["workers"][0]["exit_code"] == 7


@on_one_loop("asyncio")
def test_a_stop_while_a_replacement_starts(shop: Shop, nats_url: str, backend: str) -> None:
    with run_two(shop, nats_url, backend, target="fragile:ACTORS") as command:
        first, _ = all_ready(command)
        (shop.directory / "slow-1").touch()
        os.kill(first, signal.SIGKILL)
        until(lambda: shop.noted("import").count(1) == 2, lambda: command.output)
        stops(command)
