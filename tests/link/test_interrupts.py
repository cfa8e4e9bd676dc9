"""Ctrl-C at any moment: the program ends soon, with a KeyboardInterrupt, and never hangs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BACKENDS = ["asyncio", "trio"]
PHASES = ["connect", "emit", "listen", "shutdown"]

RUNS = int(os.environ.get("WALNATS_INTERRUPTS", "40"))
"""Programs that are interrupted, over both backends and all phases; 400 in `nox -s faults`."""

HANGS_AFTER = 30.0
"""Seconds after Ctrl-C; clean-up takes a few at most, on a machine with nothing else to do."""

SIDE_BY_SIDE = 5


def start(url: str, backend: str, phase: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.link._interrupted", backend, phase],
        env={**os.environ, "NATS_SERVER": url, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def interrupt(program: subprocess.Popen[str]) -> None:
    assert program.stdout is not None
    line = program.stdout.readline()
    if line != "ready\n":
        _, errors = program.communicate()
        raise AssertionError(f"it did not start: {line!r} {errors}")
    time.sleep(random.uniform(0, 0.05))  # the moment is what is tried
    program.send_signal(signal.SIGINT)


def finish(program: subprocess.Popen[str], what: str) -> None:
    try:
        _, errors = program.communicate(timeout=HANGS_AFTER)
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGUSR1)  # it shows where it stands
        time.sleep(1)
        program.kill()
        _, errors = program.communicate()
        raise AssertionError(f"{what} hangs after Ctrl-C: {errors}") from None
    assert program.returncode == 130, f"{what} ended with {program.returncode}: {errors}"
    assert errors == "", f"{what}: {errors}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.timeout(1200)
def test_an_interrupt_at_a_random_moment(nats_url: str, backend: str, phase: str) -> None:
    left = max(1, RUNS // len(BACKENDS) // len(PHASES))
    while left > 0:
        programs = [start(nats_url, backend, phase) for _ in range(min(left, SIDE_BY_SIDE))]
        left -= len(programs)
        try:
            for program in programs:
                interrupt(program)
            for program in programs:
                finish(program, f"{phase} on {backend}")
        finally:
            for program in programs:
                program.kill()
                program.communicate()
