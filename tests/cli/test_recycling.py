"""When a worker is recycled, and amounts of memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio.cli._recycling import SPARED_FOR, Recycling, Use
from walnats_anyio.cli._sizes import UNITS, memory_of, parse_size

LIMITS = Recycling(max_jobs_per_worker=10, max_memory=2**20)


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (Use(jobs=9, memory=2**20, memory_at_start=1, ready_for=9.0), None),
        (Use(jobs=10, memory=1, memory_at_start=1, ready_for=0.0), "has done 10 jobs"),
        (Use(jobs=0, memory=2**20 + 1, memory_at_start=1, ready_for=0.0), "has 1 MiB of memory"),
    ],
)
def test_a_limit_that_is_reached(use: Use, reason: str | None) -> None:
    assert LIMITS.reason(use) == reason


def test_a_process_that_needs_too_much_from_the_start_is_not_recycled_at_once() -> None:
    """Another one would need as much."""
    use = Use(jobs=0, memory=2**30, memory_at_start=2**30, ready_for=SPARED_FOR - 1)
    assert LIMITS.reason(use) is None
    later = Use(jobs=0, memory=2**30, memory_at_start=2**30, ready_for=SPARED_FOR)
    assert LIMITS.reason(later) == "has 1024 MiB of memory"


def test_without_limits_nothing_is_recycled() -> None:
    assert not Recycling().wanted
    assert Recycling().reason(Use(10**9, 2**60, 2**60, 1e9)) is None


@settings(max_examples=40)
@given(st.integers(1, 2**40), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " "]))
def test_a_size_with_any_unit(number: int, unit: str, space: str) -> None:
    assert parse_size(f"{number}{space}{unit.upper()}") == number * UNITS[unit]


@pytest.mark.parametrize("text", ["", "0", "512M", "1G", "MiB", "-1MiB", "1..5GiB", "0.1b", "1 2"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="512MiB"):
        parse_size(text)


def test_the_memory_of_a_process_and_its_children() -> None:
    child = "x = b'x' * 2**26; print(flush=True); __import__('sys').stdin.read()"
    code = f"""
import subprocess, sys
command = [sys.executable, "-S", "-c", {child!r}]
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline(); print(flush=True); input()
"""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert 2**26 < memory_of(parent.pid) < 2**28
        parent.kill()
        parent.wait()
        assert memory_of(parent.pid) == 0
    assert memory_of(os.getpid()) > 2**20
