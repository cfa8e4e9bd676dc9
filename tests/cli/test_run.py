"""`walnats-anyio run` in one process: how it runs, how it stops, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli._command import report_in, started, until
from tests.cli.conftest import Shop, on_one_loop
from tests.support.loops import in_turn
from walnats_anyio.cli._signals import LAST_RESORT
from walnats_anyio.testing import NatsServer

Emit = Callable[[range], None]

READY = "ready; Ctrl-C stops gracefully"


@in_turn("number", [signal.SIGINT, signal.SIGTERM], backend="backend")
def test_a_signal_lets_running_jobs_finish(
    shop: Shop, emit: Emit, nats_url: str, backend: str, number: signal.Signals
) -> None:
    with started(
        shop.directory, "run", "shop:ACTORS", "--backend", backend, NATS_SERVER=nats_url
    ) as command:
        command.says(READY)
        emit(range(3))
        shop.until_started(3)
        command.send(number)
        command.says(f"{number.name}: taking no more events")
        emit(range(3, 5))
        shop.let_go()
        assert command.ends() == 0
        assert sorted(shop.noted("start")) == sorted(shop.noted("done")) == [0, 1, 2]
        assert "stopped gracefully" in command.output
        assert (
            "; 3 handled, 0 failed, 0 dead-lettered, 0 handed back; left in NATS: pack 2"
            in command.output
        )
        assert "Traceback" not in command.output


def test_a_second_signal_stops_at_once_and_loses_nothing(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with started(
        shop.directory, "run", "shop:ACTORS", "--backend", backend, NATS_SERVER=nats_url
    ) as command:
        command.says(READY)
        emit(range(3))
        shop.until_started(3)
        command.send(signal.SIGTERM)
        command.says("SIGTERM: taking no more events")
        command.send(signal.SIGINT)
        assert command.ends() == 128 + signal.SIGINT
        assert shop.noted("done") == []
        assert "stopped at once" in command.output
    shop.let_go()
    with started(
        shop.directory, "run", "shop:ACTORS", "--burst", "--backend", backend, NATS_SERVER=nats_url
    ) as command:
        assert command.ends() == 0
        assert sorted(shop.noted("done")) == [0, 1, 2]
        assert "left in NATS: nothing" in command.output


@on_one_loop("asyncio")
def test_the_shutdown_timeout_ends_jobs_that_take_too_long(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    options = ("--backend", backend, "--shutdown-timeout", "0.2", "--server", nats_url)
    with started(shop.directory, "run", "shop:ACTORS", *options) as command:
        command.says(READY)
        emit(range(2))
        shop.until_started(2)
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert "stopped after the shutdown timeout" in command.output
        assert "left in NATS: pack 2" in command.output


@on_one_loop("trio")
def test_a_handler_in_a_thread_does_not_hold_up_a_second_signal(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with started(
        shop.directory, "run", "shop:THREAD", "--backend", backend, NATS_SERVER=nats_url
    ) as command:
        command.says(READY)
        emit(range(1))
        shop.until_started(1)
        command.send(signal.SIGTERM)
        command.says("SIGTERM: taking no more events")
        command.send(signal.SIGTERM)
        assert command.ends() == 128 + signal.SIGTERM
        assert shop.noted("done") == []


@on_one_loop("trio")
def test_a_handler_that_blocks_the_loop_is_ended_by_the_last_resort(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    assert LAST_RESORT < 10
    with started(
        shop.directory, "run", "shop:BLOCKING", "--backend", backend, NATS_SERVER=nats_url
    ) as command:
        command.says(READY)
        emit(range(1))
        shop.until_started(1)
        command.send(signal.SIGTERM)
        # Two of one signal at once are one: the first one must have been taken.
        until(lambda: not pending(command.process.pid, signal.SIGTERM))
        command.send(signal.SIGTERM)
        assert command.ends() == 128 + signal.SIGTERM
        assert "something does not let go" in command.output


def pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal was sent to a process that has not taken it yet."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [mask] = [line.split()[1] for line in status if line.startswith("ShdPnd:")]
    return bool(int(mask, 16) & 1 << number - 1)


@on_one_loop("asyncio")
def test_a_burst_handles_what_is_there_and_ends(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    shop.let_go()
    report = shop.directory / "report.json"
    options = ("--burst", "--poll-delay", "0.2", "--backend", backend, "--json", str(report))
    for done in ([], [*range(40)]):
        with started(
            shop.directory, "run", "shop:ACTORS", *options, NATS_SERVER=nats_url
        ) as command:
            assert command.ends() == 0
            assert sorted(shop.noted("done")) == done
        if not done:  # the actor is registered now: events are kept for it
            emit(range(40))
    written = json.loads(report.read_text())
    assert written["state"] == "ended"
    assert written["how"] == "burst done"
    assert written["exit_code"] == 0
    assert written["left"] == {"pack": 0}
    counts = {"handled": 40, "failed": 0, "dead_lettered": 0, "handed_back": 0}
    counts |= {"cancelled": 0, "postponed": 0}
    actors = [{"actor": "pack", "event": "shop.placed", **counts}]
    assert written["summary"] == {**counts, "uncounted": 0, "actors": actors}


def test_the_report_tells_while_it_runs_and_after(shop: Shop, nats_url: str) -> None:
    report = shop.directory / "report.json"
    options = ("--json", str(report), "--server", nats_url)
    with started(shop.directory, "run", "shop:ACTORS", *options) as command:
        assert report_in(report, "running")["pid"] == command.process.pid
        command.send(signal.SIGINT)
        assert command.ends() == 0
        ended = report_in(report, "ended")
        assert (ended["how"], ended["signal"]) == ("stopped gracefully", "SIGINT")


def test_every_option_reaches_listen(shop: Shop, nats_url: str) -> None:
    options = [
        "--burst", "--max-jobs=3", "--batch=2", "--max-polls=1", "--poll-delay=0.1",
        "--shutdown-timeout=5", "--max-threads=2", "--max-processes=1", f"--server={nats_url}",
    ]  # fmt: skip
    with started(shop.directory, "run", "shop:ACTORS", *options) as command:
        assert command.ends() == 0


def test_without_registering_an_actor_that_is_not_there_is_an_error(
    shop: Shop, nats_url: str
) -> None:
    options = ("--no-register", "--server", nats_url)
    with started(shop.directory, "run", "shop:ACTORS", *options) as command:
        assert command.ends() == 1
        assert "error: actor 'pack'" in command.output
        assert "Traceback" not in command.output


def test_a_wrong_target_ends_with_2(shop: Shop) -> None:
    report = shop.directory / "report.json"
    options = ("--json", str(report))
    with started(shop.directory, "run", "shop:NOWHERE", *options) as command:
        assert command.ends() == 2
        assert "there is no 'NOWHERE' in 'shop'" in command.output
        assert "hint: there is shop:ACTOR" in command.output
        assert report_in(report, "failed")["error"] == "there is no 'NOWHERE' in 'shop'"


@pytest.mark.parametrize(("backend", "workers"), [("asyncio", "1"), ("trio", "1"), ("trio", "2")])
def test_no_server_ends_with_3(
    shop: Shop, nats_server: NatsServer, backend: str, workers: str
) -> None:
    # Nobody else gets the port of a server that is down.
    nats_server.stop_blocking()
    options = ("--backend", backend, "--workers", workers, "--server", nats_server.url)
    with started(shop.directory, "run", "shop:ACTORS", *options) as command:
        assert command.ends() == 3
        assert f"cannot connect to {nats_server.url}" in command.output
        assert "walnats-anyio server" in command.output
        assert "Traceback" not in command.output


def test_a_wrong_server_url_ends_with_2(shop: Shop) -> None:
    options = ("--server", " ")
    with started(shop.directory, "run", "shop:ACTORS", *options) as command:
        assert command.ends() == 2
        assert "Traceback" not in command.output


def test_debug_shows_the_traceback(shop: Shop) -> None:
    with started(shop.directory, "run", "shop:fail", "--debug") as command:
        assert command.ends() == 2
        assert "Traceback" in command.output


def test_failures_of_handlers_are_logged(shop: Shop, emit: Emit, nats_url: str) -> None:
    source = "import shop\nACTOR = shop.walnats.Actor('pack', shop.PLACED, lambda n: 1 / n)"
    (shop.directory / "divide.py").write_text(source)
    with started(shop.directory, "run", "divide:ACTOR", NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(1))
        command.says("ZeroDivisionError")
        command.send(signal.SIGINT)
        assert command.ends() == 0
        assert "ERROR walnats_anyio.actors: actor 'pack'" in command.output


def test_a_module_with_its_own_logging_keeps_it(shop: Shop, emit: Emit, nats_url: str) -> None:
    source = (
        "import logging, shop\n"
        "logging.basicConfig(format='mine: %(message)s')\n"
        "ACTOR = shop.walnats.Actor('pack', shop.PLACED, lambda n: 1 / n)"
    )
    (shop.directory / "divide.py").write_text(source)
    with started(shop.directory, "run", "divide:ACTOR", NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(1))
        command.says("mine: actor 'pack'")


def test_the_installed_command_finds_modules_of_the_current_directory(
    shop: Shop, nats_url: str
) -> None:
    """Unlike `python -m`, a script does not have the current directory on `sys.path`."""
    script = Path(sys.executable).parent / "walnats-anyio"
    ended = subprocess.run(
        [script, "run", "shop:ACTORS", "--burst", "--poll-delay=0.1", f"--server={nats_url}"],
        cwd=shop.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""


def test_one_actor_of_several(shop: Shop, emit: Emit, nats_url: str) -> None:
    options = ("--server", nats_url, "--actor")
    with started(shop.directory, "run", "shop:ACTORS", *options, "nine") as command:
        assert command.ends() == 2
        assert "there is no actor 'nine': there is 'pack'" in command.output
    shop.let_go()
    with started(shop.directory, "run", "shop:ACTORS", *options, "pack") as command:
        command.says(READY)
        emit(range(2))
        shop.until_started(2)
        command.send(signal.SIGTERM)
        assert command.ends() == 0
    assert sorted(shop.noted("done")) == [0, 1]
