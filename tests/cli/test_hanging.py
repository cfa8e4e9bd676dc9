"""A worker process that hangs is killed and replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.cli._command import report_in, until
from tests.cli._supervised import all_ready, replaced, run_two, stops
from tests.cli.conftest import Shop, on_one_loop

Emit = Callable[[range], None]

HANG = "--hang-timeout=3"


@on_one_loop("trio")
def test_a_stopped_process_is_replaced(shop: Shop, nats_url: str, backend: str) -> None:
    with run_two(shop, nats_url, backend, HANG) as command:
        first, _ = all_ready(command)
        os.kill(first, signal.SIGSTOP)
        command.says(f"worker 1 ({first}): no heartbeat for 3 s, so it hangs: killing it")
        command.says(f"worker 1 ({first}) sent no heartbeat for 3 s and was killed: replacing")
        replaced(command, 1, first)
        report = stops(command)
    assert report["restarts"][0]["signal"] == "SIGKILL"
    assert report["restarts"][0]["reason"] == "sent no heartbeat for 3 s and was killed"


@on_one_loop("asyncio")
def test_a_blocked_event_loop_is_shown_and_its_event_is_handled_in_the_end(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, HANG, target="fragile:BLOCKING") as command:
        all_ready(command)
        emit(range(1))
        shop.until_started(1)
        [hung] = shop.pids()
        command.says(f"({hung}): no heartbeat for 3 s, so it hangs: killing it")
        command.says('fragile.py", line')
        command.says(" in block\n")  # the stack, by faulthandler
        until(lambda: shop.noted("done") == [0], lambda: command.output)
        until(lambda: report_in(shop.directory / "report.json", "running")["restarts"])
        stops(command)


def test_a_worker_that_hangs_as_it_starts_is_replaced(shop: Shop, nats_url: str) -> None:
    with run_two(shop, nats_url, "trio", "--hang-timeout=2", target="fragile:ACTORS") as command:
        first, _ = all_ready(command)
        (shop.directory / "slow-1").touch()
        os.kill(first, signal.SIGKILL)
        command.says("sent no heartbeat for 10 s and was killed: replacing it")
        (shop.directory / "slow-1").unlink()
        replaced(command, 1, first)
        stops(command)


@on_one_loop("trio")
def test_a_worker_that_hangs_while_it_stops_is_killed(
    shop: Shop, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, HANG) as command:
        first, _ = all_ready(command)
        os.kill(first, signal.SIGSTOP)
        command.send(signal.SIGTERM)
        assert command.ends() == 1
        assert f"worker 1 ({first}): no heartbeat for 3 s" in command.output
        assert "stopped, but not all of it gracefully" in command.output
        assert command.left_behind() == []


@on_one_loop("asyncio")
def test_a_blocked_worker_does_not_outlive_its_supervisor(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, HANG, target="fragile:BLOCKING") as command:
        all_ready(command)
        emit(range(1))
        shop.until_started(1)
        command.send(signal.SIGKILL)
        assert command.left_behind() == []


def test_processes_that_stand_still_together_do_not_hang(
    shop: Shop, emit: Emit, nats_url: str
) -> None:
    """As in a container that is paused, or on a computer that sleeps."""
    shop.let_go()
    with run_two(shop, nats_url, "trio", HANG) as command:
        workers, supervisor = all_ready(command), command.process.pid
        for pid in (*workers, supervisor):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(6)
        os.kill(supervisor, signal.SIGCONT)
        time.sleep(1)  # it must not judge by the clock before the workers had their turn
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        emit(range(20))
        until(lambda: len(shop.noted("done")) == 20)
        assert stops(command)["restarts"] == []


def test_without_a_hang_timeout_nobody_is_killed(shop: Shop, nats_url: str) -> None:
    with run_two(shop, nats_url, "asyncio", "--hang-timeout=0") as patient:
        stopped, _ = all_ready(patient)
        os.kill(stopped, signal.SIGSTOP)
        (shop.directory / "report.json").unlink()
        with run_two(shop, nats_url, "asyncio", HANG) as strict:
            first, _ = all_ready(strict)
            os.kill(first, signal.SIGSTOP)
            replaced(strict, 1, first)
            stops(strict)
        assert "no heartbeat" not in patient.output
        os.kill(stopped, signal.SIGCONT)
        stops(patient)
