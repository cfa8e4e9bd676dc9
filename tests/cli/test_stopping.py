"""A stop keeps its time limit, is the process's own, and says what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cli._command import DEADLINE, report_in, started, until
from tests.cli._supervised import all_ready, run_two
from tests.cli.conftest import Shop, on_one_loop
from walnats_anyio.cli._leaving import UNLIMITED
from walnats_anyio.cli._signals import LAST_RESORT

Emit = Callable[[range], None]

READY = "ready; Ctrl-C stops gracefully"

LEAVES = '''
"""Handlers that leave something behind, or do not let go."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import anyio
import anyio.to_thread
from shop import HERE, PLACED, note, walnats


def in_a_thread(number):
    threading.Thread(target=blocked, args=(number,), name="metrics").start()


def blocked(number):
    note("start", number)
    time.sleep(100)


async def to_thread(number):
    asyncio.get_running_loop().run_in_executor(None, blocked, number)


async def shielded(number):
    await anyio.to_thread.run_sync(blocked, number)


def forks(number):
    with one_child:
        forks_alone(number)


def forks_alone(number):
    context = multiprocessing.get_context("fork")
    for wait in (0.0, 0.3):
        child = context.Process(target=time.sleep, args=(30,), daemon=True)
        child.start()
        time.sleep(wait)
        child.terminate()
        child.join(10)
        note("child", -child.exitcode)
        child.kill()
    note("start", number)


# `multiprocessing` is not safe for threads: one that starts a child may collect another's exit code
# while that other one waits for it, which then finds none.
one_child = threading.Lock()


def own_handler(number):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(signal.SIGTERM))
    (HERE / f"handler-{number}").touch()
    for _ in range(300):  # a signal that comes just before one long sleep would not end it
        time.sleep(0.1)


def forks_with_a_handler(number):
    with one_child:
        forks_alone_with_a_handler(number)


def forks_alone_with_a_handler(number):
    context = multiprocessing.get_context("fork")
    child = context.Process(target=own_handler, args=(number,), daemon=True)
    child.start()
    while not (HERE / f"handler-{number}").exists():
        time.sleep(0.02)
    child.terminate()
    child.join(10)
    note("child", child.exitcode)
    note("start", number)


def child_process(number):
    multiprocessing.get_context("fork").Process(target=blocked, args=(number,), name="kid").start()


def actor(handler, **options):
    return walnats.Actor("leaves", PLACED, handler, **options)


THREAD = actor(in_a_thread)
TO_THREAD = actor(to_thread)
SHIELDED = actor(shielded)
FORKS = actor(forks)
FORKS_IN_THREAD = actor(forks, execute_in=walnats.ExecuteIn.THREAD)
FORKS_WITH_A_HANDLER = actor(forks_with_a_handler, execute_in=walnats.ExecuteIn.THREAD)
FROZEN = actor(blocked, execute_in=walnats.ExecuteIn.THREAD, job_timeout=1)
PROCESS = actor(child_process)
BLOCKED = actor(blocked)
'''


@pytest.fixture
def leaves(shop: Shop) -> Shop:
    (shop.directory / "leaves.py").write_text(LEAVES)
    return shop


@pytest.mark.parametrize(
    ("target", "left"),
    [("THREAD", "thread 'metrics' ("), ("TO_THREAD", "thread 'asyncio_0' ("), ("PROCESS", "'kid'")],
)
def test_what_a_handler_has_left_running_is_named_and_left(
    leaves: Shop, emit: Emit, nats_url: str, backend: str, target: str, left: str
) -> None:
    if (target, backend) == ("TO_THREAD", "trio"):
        pytest.skip("it is asyncio's")
    words = ("run", f"leaves:{target}", "--shutdown-timeout=2", "--backend", backend)
    with started(leaves.directory, *words, NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(1))
        leaves.until_started(1)
        begun = time.monotonic()
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert time.monotonic() - begun < 10
        assert "stopped gracefully" in command.output
        assert "after its last job: it ends as it is and leaves behind" in command.output
        assert left in command.output
        assert "leaves.py:" in command.output or target == "PROCESS"


@on_one_loop("asyncio")
def test_without_a_limit_what_is_left_has_some_seconds(
    leaves: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    """Also a handler that was abandoned in its thread, which asyncio waits for."""
    assert UNLIMITED < 10
    words = ("run", "leaves:FROZEN", "--backend", backend)
    with started(leaves.directory, *words, NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(1))
        command.says("actor 'leaves'")  # its job has timed out
        begun = time.monotonic()
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert time.monotonic() - begun < 15


def test_a_second_signal_does_not_wait_for_what_is_left(
    leaves: Shop, emit: Emit, nats_url: str
) -> None:
    words = ("run", "leaves:THREAD", "--shutdown-timeout=50")
    with started(leaves.directory, *words, NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(1))
        leaves.until_started(1)
        command.send(signal.SIGTERM)
        command.says("stopped gracefully")
        command.send(signal.SIGTERM)
        assert command.ends() == 128 + signal.SIGTERM
        assert "leaves behind thread 'metrics'" in command.output


@pytest.mark.parametrize("target", ["SHIELDED", "BLOCKED"])
def test_a_job_that_cannot_be_cancelled_does_not_outlive_the_limit(
    leaves: Shop, emit: Emit, nats_url: str, backend: str, target: str
) -> None:
    words = ("run", f"leaves:{target}", "--shutdown-timeout=0.5", "--backend", backend)
    with started(leaves.directory, *words, NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(1))
        leaves.until_started(1)
        begun = time.monotonic()
        command.send(signal.SIGTERM)
        assert command.ends() == 1
        assert 0.5 + LAST_RESORT <= time.monotonic() - begun < 30
        assert "something does not let go" in command.output
        assert "leaves behind 1 running job of actor" in command.output
        assert "leaves.py:" in command.output


@pytest.mark.parametrize("target", ["FORKS", "FORKS_IN_THREAD", "FORKS_WITH_A_HANDLER"])
def test_a_signal_to_a_forked_child_is_the_childs(
    leaves: Shop, emit: Emit, nats_url: str, backend: str, target: str
) -> None:
    words = ("run", f"leaves:{target}", "--backend", backend)
    with started(leaves.directory, *words, NATS_SERVER=nats_url) as command:
        command.says(READY)
        emit(range(3))
        leaves.until_started(3)
        assert set(leaves.noted("child")) == {signal.SIGTERM}
        assert "SIGTERM" not in command.output
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert "SIGTERM: taking no more events" in command.output


@on_one_loop("asyncio")
def test_an_idle_stop_without_time_cancels_no_jobs(shop: Shop, nats_url: str, backend: str) -> None:
    words = ("run", "shop:ACTORS", "--shutdown-timeout=0", "--backend", backend)
    with started(shop.directory, *words, NATS_SERVER=nats_url) as command:
        command.says(READY)
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert "stopped gracefully" in command.output
        assert "cancelled" not in command.output
    with run_two(shop, nats_url, backend, "--shutdown-timeout=0") as command:
        all_ready(command)
        command.send(signal.SIGTERM)
        assert command.ends() == 0
    assert report_in(shop.directory / "report.json", "ended")["how"] == "stopped gracefully"


@contextmanager
def sighup_as_in_a_terminal() -> Iterator[None]:
    """Programs started in it are stopped by SIGHUP, also where the tests run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@on_one_loop("trio")
def test_sighup_stops_gracefully_however_often_it_comes(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    words = ("run", "shop:ACTORS", "--backend", backend)
    with (
        sighup_as_in_a_terminal(),
        started(shop.directory, *words, NATS_SERVER=nats_url) as command,
    ):
        command.says(READY)
        emit(range(2))
        shop.until_started(2)
        command.send(signal.SIGHUP)
        command.says("SIGHUP: taking no more events")
        command.send(signal.SIGHUP)  # the shell sends it beside the kernel
        shop.let_go()
        assert command.ends() == 0
        assert sorted(shop.noted("done")) == [0, 1]


def test_a_listening_that_ends_unasked_is_no_success(shop: Shop, nats_url: str) -> None:
    """Whoever keeps the command running is to start it again."""
    source = (
        "import shop\n"
        "from walnats_anyio.types import ConnectedActors\n"
        "listen = ConnectedActors.listen\n"
        "async def ends(self, **options):\n"
        "    return await listen(self, **{**options, 'burst': True, 'poll_delay': 0.1})\n"
        "ConnectedActors.listen = ends\n"
        "ACTORS = shop.ACTORS\n"
    )
    (shop.directory / "ends.py").write_text(source)
    with started(shop.directory, "run", "ends:ACTORS", NATS_SERVER=nats_url) as command:
        assert command.ends() == 1
        assert "stopped, though nobody asked it to" in command.output


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("workers", [1, 2])
def test_closed_standard_streams(
    shop: Shop, emit: Emit, nats_url: str, closed: str, workers: int
) -> None:
    report = shop.directory / "report.json"
    words = f"run shop:ACTORS --workers={workers} --json report.json"
    shell = ["sh", "-c", f"exec {sys.executable} -m walnats_anyio {words} {closed}"]
    env = {**os.environ, "NATS_SERVER": nats_url}
    with subprocess.Popen(shell, cwd=shop.directory, env=env) as process:
        try:
            report_in(report, "running")
            shop.let_go()
            emit(range(3))
            until(lambda: len(shop.noted("done")) == 3)
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    assert report_in(report, "ended")["summary"]["handled"] == 3
