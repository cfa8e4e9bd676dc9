"""For all tests of the test servers: whatever they do, nothing may be left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import children

SILENT = "case $1 in --version) echo nats-server: v2.15.1;; *) echo waiting; exec sleep 1000;; esac"
"""A script for `fake_server`: it says that it is new enough, and then nothing."""


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary directories are made during the test, and must be gone after it."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    children_before = children()
    yield directory
    assert list(directory.iterdir()) == []
    assert children() - children_before == set()


@pytest.fixture
def fake_server(tmp_path: Path) -> Callable[[str], Path]:
    """Make a program that does what the given shell script says."""

    def make(script: str) -> Path:
        program = tmp_path / "fake-nats-server"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return make
