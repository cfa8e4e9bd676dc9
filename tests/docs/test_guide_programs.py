"""The programs of the guides high load and failure: they run, and show what the guide says."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs._blocks import ALL_BLOCKS, EXAMPLES
from tests.embedding._program import started
from walnats_anyio.testing import NatsServer

PROGRAMS = {
    "max_jobs.py": ("high_load", "150"),
    "computing.py": ("high_load", "8"),
    "emitting.py": ("high_load", "4000"),
    "pulling.py": ("high_load", "1000"),
    "cluster.py": ("high_load", "200"),
    "ack_wait.py": ("failure", "1"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


OF_ITS_OWN = {"computing.py", "ack_wait.py"}
"""They start processes, which import the main program. The others run here, which is quicker."""

NUMBER = re.compile(r"(?<![=\w.])\d+\.?\d*")


@pytest.fixture
def lines(
    request: pytest.FixtureRequest,
    server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[list[float]]:
    """The numbers in each line that a program prints."""
    name: str = request.param
    directory, *arguments = PROGRAMS[name]
    if name in OF_ITS_OWN:
        with started(directory, tmp_path / "output", server.url, name, *arguments) as program:
            assert program.ends() == 0, program.output
        printed = program.output
    else:
        monkeypatch.setenv("NATS_SERVER", server.url)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / directory / name), run_name="__main__")
        printed = capsys.readouterr().out
    return [
        [float(number) for number in NUMBER.findall(line.replace(",", ""))]
        for line in printed.splitlines()
    ]


shows = pytest.mark.parametrize


@shows("lines", ["max_jobs.py"], indirect=True)
def test_a_pool_bounds_what_more_jobs_bring(lines: list[list[float]]) -> None:
    table = {int(line[0]): line[1:] for line in lines[1:]}
    assert table[16][0] > 5 * table[1][0]
    assert table[64][2] < 2 * table[16][2]
    assert table[64][3] > 2 * table[16][3]


@shows("lines", ["computing.py"], indirect=True)
def test_processes_keep_the_event_loop_free(lines: list[list[float]]) -> None:
    (_, main), _, (_, process) = lines[-3:]
    assert process < main


@shows("lines", ["emitting.py"], indirect=True)
def test_who_waits_for_each_acknowledgement_is_slow(lines: list[list[float]]) -> None:
    [one_by_one], [flushed], [many], [sync_one_by_one], [sync_flushed] = lines
    assert min(flushed, many) > 3 * one_by_one
    assert sync_flushed > 3 * sync_one_by_one


@shows("lines", ["pulling.py"], indirect=True)
def test_small_requests_cost_and_turns_delay(lines: list[list[float]]) -> None:
    assert lines[2][0] > 2 * lines[0][0]
    assert lines[3][-1] > lines[5][-1]


@shows("lines", ["cluster.py"], indirect=True)
def test_copies_cost(lines: list[list[float]]) -> None:
    assert len(lines) == 2


@shows("lines", ["ack_wait.py"], indirect=True)
def test_an_event_of_a_dead_worker_waits_for_ack_wait(lines: list[list[float]]) -> None:
    seconds = lines[-1][-1]
    assert 0.9 < seconds < 5


def test_each_program_is_named_by_a_guide() -> None:
    files = [*(EXAMPLES / "high_load").glob("*.py"), *(EXAMPLES / "failure").glob("*.py")]
    programs = {file.name for file in files}
    assert programs == PROGRAMS.keys()
    shell = " ".join(block.text for block in ALL_BLOCKS if block.language == "bash")
    assert all(f"python {name}" in shell for name in programs)
