"""`walnats-anyio run` in several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from tests.cli._command import report_in, started, until
from tests.cli._supervised import all_ready, run_two, runs
from tests.cli.conftest import Shop, on_one_loop

Emit = Callable[[range], None]


def test_two_workers_share_the_events_and_stop_gracefully(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, "--max-jobs=2") as command:
        workers = all_ready(command)
        emit(range(4))
        shop.until_started(4)  # two each, as both have two slots
        assert shop.pids() == set(workers)
        command.send(signal.SIGINT)
        command.says(f"worker 2 ({workers[1]}): SIGTERM: taking no more events")
        shop.let_go()
        assert command.ends() == 0
        assert sorted(shop.noted("done")) == [0, 1, 2, 3]
        assert "stopped gracefully" in command.output
        assert command.left_behind() == []
        ended = report_in(shop.directory / "report.json", "ended")
        assert [worker["exit_code"] for worker in ended["workers"]] == [0, 0]
        assert ended["left"] == {"pack": 0}
        assert ended["summary"]["handled"] == 4
        assert (
            "; 4 handled, 0 failed, 0 dead-lettered, 0 handed back; left in NATS" in command.output
        )


def test_a_second_signal_stops_all_at_once(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend) as command:
        all_ready(command)
        emit(range(4))
        shop.until_started(4)
        command.send(signal.SIGTERM)
        command.says("SIGTERM: the workers take no more events")
        command.says("SIGTERM: taking no more events")
        command.send(signal.SIGTERM)
        assert command.ends() == 128 + signal.SIGTERM
        assert shop.noted("done") == []
        assert command.left_behind() == []


@on_one_loop("trio")
def test_workers_stop_when_the_supervisor_is_killed(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend) as command:
        all_ready(command)
        emit(range(4))
        shop.until_started(4)
        command.send(signal.SIGKILL)
        command.ends()
        until(lambda: command.output.count("the supervisor is gone") == 2)
        shop.let_go()
        assert command.left_behind() == []
        assert sorted(shop.noted("done")) == [0, 1, 2, 3]


@on_one_loop("asyncio")
def test_workers_finish_their_jobs_even_if_nobody_reads_what_they_say(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    """A service manager that dies takes the pipe with it that it reads the output from."""
    words = ["run", "shop:ACTORS", "--workers=2", "--backend", backend, "--server", nats_url]
    with subprocess.Popen(
        [sys.executable, "-m", "walnats_anyio", *words],
        cwd=shop.directory,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stderr is not None
        ready = (line for line in supervisor.stderr if line.endswith(": ready\n"))
        assert ["worker " in next(ready) for _ in range(2)] == [True] * 2
        emit(range(4))
        shop.until_started(4)
        supervisor.stderr.close()
        supervisor.kill()
    shop.let_go()
    until(lambda: sorted(shop.noted("done")) == [0, 1, 2, 3])
    until(lambda: not any(map(runs, shop.pids())))


@on_one_loop("trio")
def test_a_worker_that_hangs_is_killed_after_the_second_signal(
    shop: Shop, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend) as command:
        _, second = all_ready(command)
        os.kill(second, signal.SIGSTOP)
        command.send(signal.SIGTERM)
        command.says("SIGTERM: the workers take no more events")
        command.send(signal.SIGTERM)
        assert command.ends() == 128 + signal.SIGTERM
        assert command.left_behind() == []


@on_one_loop("asyncio")
def test_the_shutdown_timeout_of_workers(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, "--shutdown-timeout=0.2") as command:
        all_ready(command)
        emit(range(4))
        shop.until_started(4)
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        ended = report_in(shop.directory / "report.json", "ended")
        assert ended["how"] == "stopped after the shutdown timeout"
        assert ended["left"] == {"pack": 4}


def test_a_burst_of_two(shop: Shop, emit: Emit, nats_url: str) -> None:
    shop.let_go()
    options = ("--burst", "--poll-delay=0.2")
    with run_two(shop, nats_url, "trio", *options) as command:
        assert command.ends() == 0
    emit(range(40))
    with run_two(shop, nats_url, "trio", *options) as command:
        assert command.ends() == 0
        assert sorted(shop.noted("done")) == [*range(40)]
        assert "burst done" in command.output


@on_one_loop("trio")
def test_a_signal_before_the_workers_are_up(shop: Shop, nats_url: str, backend: str) -> None:
    with run_two(shop, nats_url, backend) as command:
        report_in(shop.directory / "report.json", "running")
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert command.left_behind() == []


@on_one_loop("asyncio")
def test_ctrl_c_in_a_terminal_does_not_reach_handlers_in_processes(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    """The terminal sends SIGINT to every process started in it, handlers' processes included."""
    words = ("run", "shop:PROCESS", "--backend", backend, "--server", nats_url)
    with started(shop.directory, *words, terminal=True) as command:
        command.says(": ready")
        emit(range(1))
        shop.until_started(1)
        command.press(b"\x03")
        command.says("SIGTERM: taking no more events")
        shop.let_go()
        assert command.ends() == 0
        assert shop.noted("done") == [0]
        assert command.left_behind() == []


@on_one_loop("trio")
def test_ctrl_c_in_a_terminal_stops_workers_once(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    """Workers that got it from the terminal as well would take it for the second."""
    words = ("run", "shop:ACTORS", "--workers=2", "--backend", backend, "--server", nats_url)
    with started(shop.directory, *words, terminal=True) as command:
        command.says("worker 1")
        emit(range(4))
        shop.until_started(4)
        command.press(b"\x03")
        command.says("SIGTERM: taking no more events")
        shop.let_go()
        assert command.ends() == 0
        assert sorted(shop.noted("done")) == [0, 1, 2, 3]
