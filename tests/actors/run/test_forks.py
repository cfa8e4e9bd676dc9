"""A child that a handler forks and forgets to end: it must not become a second worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from walnats_anyio.testing import NatsServer

ROOT = Path(__file__).parents[3]

PROGRAM = """
import logging, os, sys
import anyio
import walnats_anyio as walnats

logging.basicConfig()
EVENT = walnats.Event("numbers", int, storage="memory")
SERVICE = os.getpid()

def fork(name, number):
    # The parent waits, so a child that goes on holds everything up.
    print(name, number, os.getpid() == SERVICE, flush=True)
    if number < 3:
        pid = os.fork()
        if pid == 0 and number == 0 and name in ("later", "thread"):
            sys.exit()
        if pid == 0 and number == 1:
            os.execv("/no/such/program", ["program"])
        if pid == 0 and number == 2:
            sys.exit(7)
        if pid:
            print("exit code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)

def plain(number):
    fork("plain", number)

async def at_once(number):
    fork("at_once", number)

async def later(number):
    await anyio.sleep(0)
    fork("later", number)

def together(numbers):
    fork("together", numbers[0])

def thread(number):
    fork("thread", number)

ACTORS = [walnats.Actor(each.__name__, EVENT, each) for each in (plain, at_once, later)]
ACTORS.append(walnats.Actor("together", EVENT, together, batch=walnats.Batch(1, wait=1)))
ACTORS.append(walnats.Actor("thread", EVENT, thread, execute_in=walnats.ExecuteIn.THREAD))

async def main():
    async with walnats.Events(EVENT).connect() as events, walnats.Actors(*ACTORS).connect() as conn:
        await events.register()
        await conn.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(conn.listen)
            # One after the other, as the parent may have become deaf by the child before.
            for number in range(4):
                await events.emit(EVENT, number, sync=True)
                while any(each.handled <= number for each in conn.statistics().actors):
                    await anyio.sleep(0.01)
            conn.shutdown()

for backend in ("asyncio", "trio"):
    anyio.run(main, backend=backend)
"""


def test_a_forked_child_that_comes_back(shared_server: NatsServer, tmp_path: Path) -> None:
    """It is ended, says why, and the parent gets each event once."""
    (tmp_path / "service.py").write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        env={**os.environ, "NATS_SERVER": shared_server.url, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as service:
        try:
            out, err = service.communicate(timeout=60)
        finally:
            os.killpg(service.pid, signal.SIGKILL) if service.poll() is None else None
    assert service.returncode == 0, err
    names = ("plain", "at_once", "later", "together", "thread")
    runs = sorted(line for line in out.splitlines() if "exit" not in line)
    assert runs == sorted([f"{name} {number} True" for name in names for number in range(4)] * 2)
    assert [out.count(f"exit code {code}\n") for code in (0, 1, 7)] == [10, 10, 10]
    assert err.count("came back out of the handler") == 30
    assert err.count("FileNotFoundError") >= 10
