"""Whole programs with handlers in worker processes: how they are found, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.actors.run.test_processes import is_alive
from tests.support.loops import in_turn
from walnats_anyio.testing import NatsServer

ROOT = Path(__file__).parents[3]

SERVICE = """
import os, sys
import anyio
import walnats_anyio as walnats

async def main(actor, count=1):
    events = walnats.Events(actor.event)
    async with events.connect() as conn, walnats.Actors(actor).connect() as actors:
        await conn.register()
        await actors.register()
        await conn.emit_many(actor.event, range(count), sync=True)
        print(await actors.listen(burst=True), flush=True)
"""

ACTOR = """
ACTOR = walnats.Actor(
    "a", walnats.Event("numbers", int), handle, execute_in=walnats.ExecuteIn.PROCESS, max_attempts=1
)
"""


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the programs find in their environment: a server, this library, a place for notes."""
    with NatsServer() as server:
        yield {
            **os.environ,
            "NATS_SERVER": server.url,
            "PYTHONPATH": str(ROOT),
            "NOTES": str(tmp_path / "notes"),
        }


def run(env: dict[str, str], folder: Path, *arguments: str) -> tuple[str, str]:
    """Run a program to its end."""
    shown = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=env,
        timeout=60,
        check=False,
    )
    return shown.stdout, shown.stderr


@in_turn(
    "runner", ["anyio.run(main, ACTOR, backend=BACKEND)", "BACKEND.run(main)"], backend="backend"
)
def test_no_guard(env: dict[str, str], tmp_path: Path, backend: str, runner: str) -> None:
    """One error with the guard; nothing of the program runs a second time."""
    native = "asyncio.run(main(ACTOR))" if backend == "asyncio" else "trio.run(main, ACTOR)"
    start = runner.replace("BACKEND.run(main)", f"import {backend}; {native}")
    start = start.replace("BACKEND", repr(backend))
    program = SERVICE.replace(
        "    events =", "    print('service', __name__, flush=True)\n    events ="
    )
    program += f"\ndef handle(message): print('handled')\n{ACTOR}\n{start}\n"
    (tmp_path / "service.py").write_text(program)
    out, err = run(env, tmp_path, "service.py")
    assert "0 handled, 0 failed, 1 dead-lettered" in out
    assert out.count("service") == 1
    assert 'if __name__ == "__main__":' in err
    assert "service.py" in err


@in_turn("place", ["thread", "import"], backend="backend")
def test_a_service_that_starts_otherwise_is_refused(
    env: dict[str, str], tmp_path: Path, backend: str, place: str
) -> None:
    """In a thread that the program starts `connect` refuses, and `listen` in what imports it."""
    program = SERVICE + f"\ndef handle(message): print('handled')\n{ACTOR}\n"
    program += f"""
import threading
def serve(): anyio.run(main, ACTOR, backend={backend!r})
if __name__ == "__main__" and {place!r} == "thread":
    serve()
else:
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
"""
    (tmp_path / "service.py").write_text(program)
    out, err = run(env, tmp_path, "service.py")
    assert out.count("handled, 0 failed") == 1
    assert "Events.connect() in a program that runs again" in err


def test_a_handler_of_the_script(env: dict[str, str], tmp_path: Path) -> None:
    program = (
        SERVICE
        + f"""
print("imported", __name__)
def handle(message): print("handled", __name__, sys.argv)
{ACTOR.replace("max_attempts=1", "max_jobs=1")}
if __name__ == "__main__":
    anyio.run(main, ACTOR, 2)
"""
    )
    (tmp_path / "service.py").write_text(program)
    out, err = run(env, tmp_path, "service.py", "--verbose")
    assert out.count("handled __mp_main__ ['service.py', '--verbose']") == 2, err
    assert out.count("imported __mp_main__") == 1
    assert "2 handled" in out


def test_a_main_module_that_is_not_needed_is_not_imported(
    env: dict[str, str], tmp_path: Path
) -> None:
    """Relative imports, `argparse` at the top, no guard: all right if the handler is elsewhere."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "work.py").write_text(f"{SERVICE}\ndef handle(message): print('handled')\n{ACTOR}")
    (package / "__main__.py").write_text(
        "import argparse, anyio\n"
        "from .work import ACTOR, main\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--count', type=int, required=True)\n"
        "anyio.run(main, ACTOR, parser.parse_args().count)\n"
    )
    out, err = run(env, tmp_path, "-m", "shop", "--count", "3")
    # Of three processes: the ends of their lines may be mixed.
    assert out.replace("3 handled", "").count("handled") == 3, err
    assert "3 handled" in out


def test_a_handler_of_the_main_module_of_a_package(env: dict[str, str], tmp_path: Path) -> None:
    """In an archive, as `zipapp` makes it: the loader of that knows less than that of files."""
    with ZipFile(tmp_path / "shop.zip", "w") as archive:
        archive.writestr("shop/__init__.py", "")
        archive.writestr("shop/work.py", SERVICE)
        archive.writestr(
            "shop/__main__.py",
            "import walnats_anyio as walnats, anyio\n"
            "from .work import main\n"
            "def handle(message): print('handled', __package__)\n"
            f"{ACTOR}\n"
            "if __name__ == '__main__': anyio.run(main, ACTOR)\n",
        )
    env["PYTHONPATH"] += f"{os.pathsep}{tmp_path / 'shop.zip'}"
    out, err = run(env, tmp_path, "-m", "shop")
    assert "handled shop\n" in out, err


def test_a_handler_typed_into_a_session(env: dict[str, str], tmp_path: Path) -> None:
    program = f"{SERVICE}\ndef handle(message): print('handled')\n{ACTOR}\nanyio.run(main, ACTOR)"
    out, err = run(env, tmp_path, "-c", program)
    assert "1 dead-lettered" in out
    assert "typed into an interactive session" in err


SPIN = {
    "in Python": "while True: pass",
    "with the interpreter's lock held": "sum(range(10 ** 12))",
    "not at all": "pass",
    "with a thread that stays": (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    ),
}


@in_turn("how", list(SPIN), backend="backend")
def test_the_program_is_killed(env: dict[str, str], tmp_path: Path, backend: str, how: str) -> None:
    """Its worker processes, and what they had started, end within a second."""
    program = (
        SERVICE.replace("burst=True", "")
        + f"""
def handle(message):
    import subprocess
    child = subprocess.Popen(["sleep", "60"]).pid if {how.startswith(("in", "with the"))} else 0
    with open(os.environ["NOTES"] + "-new", "w") as file: file.write(f"{{os.getpid()}} {{child}}")
    os.rename(os.environ["NOTES"] + "-new", os.environ["NOTES"])
    {SPIN[how]}
{ACTOR}
if __name__ == "__main__":
    anyio.run(main, ACTOR, backend={backend!r})
"""
    )
    (tmp_path / "service.py").write_text(program)
    running = subprocess.Popen([sys.executable, "service.py"], cwd=tmp_path, env=env)
    try:
        notes = Path(env["NOTES"])
        _until(notes.exists, 30)
        time.sleep(0.3)
        pids = [int(pid) for pid in notes.read_text().split() if pid != "0"]
        assert all(map(is_alive, pids))
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    _until(lambda: not any(map(is_alive, pids)), 1)


@contextmanager
def busy_process(program: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program with a `channel` that runs a job; gives it and the pipe that it dies with."""
    head = """
import os, sys
from walnats_anyio._actors.run._channel import Channel
channel = Channel(os.open(os.devnull, os.O_WRONLY), int(sys.argv[1]))
"""
    parent, lifeline = os.pipe()
    running = subprocess.Popen(
        [sys.executable, "-c", head + program, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        pass_fds=(parent,),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(parent)
    assert running.stdout is not None
    with running:
        try:
            assert running.stdout.readline() == b"busy\n"
            yield running, lifeline
        finally:
            running.kill()


@pytest.mark.parametrize("platform", [sys.platform, "other"])
def test_a_job_that_computes_dies_with_the_parent(platform: str) -> None:
    """Where Linux does not help, a thread notices."""
    program = f"""
sys.platform = {platform!r}
channel.busy()
channel.write(b"busy\\n")
while True: pass
"""
    with busy_process(program) as (running, lifeline):
        os.close(lifeline)
        assert running.wait(2) == -signal.SIGKILL


def test_a_request_whose_signal_comes_late_kills_nobody() -> None:
    """The kernel may signal what a process has read already, once it has begun with the job."""
    program = """
channel.busy()
channel.write(b"busy\\n")
channel.write(b"got " + channel.receive() + b"\\n")
"""
    with busy_process(program) as (running, lifeline):
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"\0\0\0\3job")
        running.stdin.flush()
        assert running.stdout.readline() == b"got job\n"
        assert running.wait(10) == 0
        os.close(lifeline)


def _until(condition: object, within: float) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
