"""The README's commands can be pasted: each works in a fresh shell in a checkout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.docs._blocks import ALL_BLOCKS, ROOT
from walnats_anyio.testing import NatsServer

DEADLINE = 60.0

COMMANDS = [
    line
    for block in ALL_BLOCKS
    if block.page.name == "README.md" and block.language == "bash"
    for line in block.text.splitlines()
    if line.startswith("source ")
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The directory of a checkout in which the line that sets up `.venv` was run."""
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    here = Path(sys.executable).parent
    (scripts / "activate").write_text(f"export PATH={here}:$PATH\n")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return tmp_path


@contextmanager
def pasted(command: str, checkout: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Paste a command into a fresh shell."""
    env = {"HOME": os.environ["HOME"], "PATH": os.defpath, "NATS_SERVER": url}
    env["PYTHONPATH"] = str(ROOT)
    with (
        (checkout / "output").open("ab") as output,
        subprocess.Popen(
            ["bash", "-c", command],
            cwd=checkout,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # all of it has ended
                os.killpg(process.pid, signal.SIGKILL)


def says(checkout: Path, text: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while text not in (output := (checkout / "output").read_text()):
        assert time.monotonic() < deadline, output
        time.sleep(0.05)


def test_they_work_in_a_fresh_shell(checkout: Path, nats_server: NatsServer) -> None:
    # The server's own, on the port that people use, may run on this machine already.
    server, subscribe, publish, run, dead = COMMANDS
    assert server == "source .venv/bin/activate && walnats-anyio server"
    url = nats_server.url
    with pasted(subscribe, checkout, url):
        says(checkout, "listening: Actors")
        with pasted(publish, checkout, url) as process:
            assert process.wait(DEADLINE) == 0
        says(checkout, "receipt for order 3")
    with pasted(run, checkout, url):
        says(checkout, "worker 2 (")
    with pasted(dead, checkout, url) as process:
        assert process.wait(DEADLINE) == 0
    says(checkout, "no dead letters")
