"""What a worker sends to its supervisor, when that does not read for a while."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from tests.cli._command import DEADLINE

TALKATIVE = """
import sys

import anyio
from walnats_anyio.cli._heartbeat import HeartbeatPipe

async def main():
    pipe = HeartbeatPipe()
    assert pipe.read_plan() == b"plan\\n"
    pipe.tell({"news": "x" * 1_000_000})
    print("told", flush=True)
    await pipe.beat(1.0)

anyio.run(main, backend=sys.argv[1])
"""


def test_news_that_do_not_fit_are_sent_on_with_the_heartbeats(backend: str) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE)
    command = [sys.executable, "-c", TALKATIVE, backend]
    ours.sendall(b"plan\n")
    with (
        ours,
        theirs,
        subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.PIPE) as worker,
    ):
        try:
            assert worker.stdout is not None
            assert worker.stdout.read(5) == b"told\n"
            heard = b""
            while not heard.endswith(b"\n\n\n"):
                heard += ours.recv(1 << 16)
        finally:
            worker.kill()
    assert len(json.loads(heard)["news"]) == 1_000_000


def test_a_turn_that_comes_while_the_interpreter_starts_is_kept_for_later() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"plan\ngo\n")
    code = """
import anyio
from walnats_anyio.cli._heartbeat import HeartbeatPipe

pipe = HeartbeatPipe()
assert pipe.read_plan() == b"plan\\n"
anyio.run(pipe.told_to_go.wait)
"""
    with ours, theirs:
        subprocess.run(
            [sys.executable, "-c", code],
            stdin=theirs.fileno(),
            check=True,
            timeout=DEADLINE,
        )
