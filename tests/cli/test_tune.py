"""`walnats-anyio tune`: options, results, and how it ends."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli._command import started

MODULE = """
import anyio
import walnats_anyio as walnats

POOL = anyio.Semaphore(4)

async def handle(number):
    async with POOL:
        await anyio.sleep(0.05)

ACTOR = walnats.Actor("pool", walnats.Event("numbers", int), handle)
BOTH = walnats.Actors(ACTOR, walnats.Actor("other", walnats.Event("numbers", int), handle))
"""

LEVELS = ("--level", "1", "--level", "4", "--level", "8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pooled.py").write_text(MODULE)
    return tmp_path


def test_it_ends_with_a_recommendation(directory: Path) -> None:
    (directory / "numbers.jsonl").write_text("1\n2\n")
    words = ("pooled:ACTOR", *LEVELS, "--budget", "20", "--backend", "trio")
    files = ("--messages", "numbers.jsonl", "--json", "out.json", "--chart", "chart.png")
    with started(directory, "tune", *words, *files, COLUMNS="80") as command:
        assert command.ends() == 0, command.output
        assert "max_jobs=4: " in command.output
        table = [line for line in command.output.splitlines() if "jobs/s" in line]
        assert table
        assert all(len(line) <= 80 for line in command.output.splitlines() if "  " in line)
        assert command.left_behind() == []
    report = json.loads((directory / "out.json").read_text())
    assert report["recommended_max_jobs"] == 4
    assert report["setting"]["backend"] == "trio"
    assert [point["max_jobs"] for point in report["points"]] == [1, 4, 8]
    assert (directory / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_a_signal_after_some_levels_still_gives_a_result(directory: Path) -> None:
    words = ("pooled:ACTOR", *LEVELS, "--budget", "100", "--json", "out.json")
    with started(directory, "tune", *words) as command:
        command.says("max_jobs 8:")
        command.send(signal.SIGINT)
        assert command.ends() == 0, command.output
        assert "concluding from what was measured" in command.output
        assert command.left_behind() == []
    report = json.loads((directory / "out.json").read_text())
    assert not report["complete"]
    assert report["points"]


def test_a_signal_before_there_is_a_result_ends_it(directory: Path) -> None:
    with started(directory, "tune", "pooled:ACTOR", "--debug") as command:
        command.says("tuning pool")
        command.interrupt()
        # By the signal where it came while Python ran a text, as it does to make a dataclass.
        assert command.ends() in (130, -signal.SIGINT), command.output
        assert command.left_behind() == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("pooled:BOTH",), "several actors are there"),
        (("pooled:ACTOR", "--messages", "pooled.py"), "pooled.py:2: "),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_at_once(
    directory: Path, words: tuple[str, ...], complaint: str
) -> None:
    with started(directory, "tune", *words) as command:
        assert command.ends() == 2, command.output
        assert complaint in " ".join(command.output.split())


def test_without_a_server_where_one_is_named_it_says_so(directory: Path) -> None:
    with started(directory, "tune", "pooled:ACTOR", "--server", "127.0.0.1:1") as command:
        assert command.ends() == 3, command.output
