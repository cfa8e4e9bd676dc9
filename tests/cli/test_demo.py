"""`walnats-anyio demo`: a worker is killed, nothing is lost, nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli._command import started, until
from walnats_anyio.testing import NatsServer

FEW = "--events=60"


def check(report: dict[str, Any], backend: str) -> None:
    """The report of a demo that went well."""
    assert report["backend"] == backend
    assert report["complete"] is True
    assert report["acknowledged"] == report["handled"] == report["events"] == 60
    assert report["lost"] == report["left_in_stream"] == 0
    assert report["in_flight"] > 0
    assert report["in_flight_handled"] == report["in_flight"]
    assert sum(report["handled_by"]) == 60 + report["handled_twice"]
    assert all(report["handled_by"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_event_is_handled(tmp_path: Path, backend: str) -> None:
    report = ("--json", "report.json")
    with started(tmp_path, "demo", FEW, "--backend", backend, *report) as command:
        assert command.ends() == 0, command.output
        shown = command.output
        assert "SIGKILL to worker 1" in shown
        assert "emitted 60 of 60" in shown
        assert "\x1b" not in shown
        assert "Nothing was lost: all 60 events were handled" in shown
        assert command.left_behind() == []
    check(json.loads((tmp_path / "report.json").read_text()), backend)


def test_on_a_server_of_somebody_else_it_leaves_no_stream(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    words = ("demo", FEW, "--json", "-", "--server", nats_server.url)
    with (tmp_path / "out").open("w") as out:
        command = [sys.executable, "-m", "walnats_anyio", *words]
        ended = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    check(json.loads((tmp_path / "out").read_text()), "asyncio")
    assert "Nothing was lost" in ended.stderr
    assert not list(nats_server.store_dir.rglob("demo-*"))


def test_on_a_terminal_it_is_drawn_in_place(tmp_path: Path) -> None:
    words = ("demo", FEW, "--backend", "trio", "--json", "report.json")
    with started(tmp_path, *words, terminal=True, TERM="xterm") as command:
        assert command.ends() == 0, command.output
        assert "\x1b[" in command.output
        assert "Nothing was lost" in command.output
        assert command.left_behind() == []
    check(json.loads((tmp_path / "report.json").read_text()), "trio")


@pytest.mark.parametrize(
    ("backend", "moment"),
    [("asyncio", "nats-server is running"), ("trio", "are waiting"), ("asyncio", "SIGKILL")],
)
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, backend: str, moment: str) -> None:
    with started(tmp_path, "demo", FEW, "--backend", backend) as command:
        command.says(moment)
        command.send(signal.SIGINT)
        assert command.ends() == 128 + signal.SIGINT
        assert "SIGINT: the demo is cancelled" in command.output
        assert "Traceback" not in command.output
        assert command.left_behind() == []


def test_a_worker_that_breaks_is_shown_with_its_output(tmp_path: Path) -> None:
    with started(tmp_path, "demo", FEW) as command:
        command.says("nats-server is running")
        [worker] = until(lambda: find_worker(command.mark, 2))
        os.kill(worker, signal.SIGTERM)
        assert command.ends() == 1
        assert re.search(r"worker 2 \(\d+\) (ended with|was killed by)", command.output)
        assert command.left_behind() == []


def find_worker(mark: str, number: int) -> list[int]:
    """The process of one worker of the demo."""
    found: list[int] = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark.encode() in directory.joinpath("environ").read_bytes()
            words = directory.joinpath("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if ours and b"--worker=%d" % number in words:
            found.append(int(directory.name))
    return found
