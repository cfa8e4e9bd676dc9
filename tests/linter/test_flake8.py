"""The plugin in flake8 itself, and that it finds what the command finds."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from walnats_anyio.linter import Flake8Plugin, Selection, check_source

SHOP = """\
import walnats_anyio as w

PLACED = w.Event("", int); 'ö'; PAID = w.Event("Paid", int)
SENT = w.Event(
    "Sent",  # noqa: WNS004
    int,
)
LATE = w.Event(
    "Late",
    int,
)  # noqa: WNS004
LONG = w.Event("long", int, description='''
''')  # noqa: WNS005
PACK = w.Actor("pack", w.Event("a", int), str, pulse=False)
"""


def flake8(file: Path, *options: str) -> list[str]:
    """What flake8 says of a file, of our codes only."""
    done = subprocess.run(
        [sys.executable, "-m", "flake8", "--isolated", "--jobs=1", *options, file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if " WNS" in line]


@pytest.mark.parametrize("named", [(), ("WNS033",)], ids=str)
def test_flake8_finds_what_the_command_finds(tmp_path: Path, named: tuple[str, ...]) -> None:
    file = tmp_path / "shop.py"
    file.write_text(SHOP)
    options = [f"--extend-select={code}" for code in named]
    expected = Selection(extend_select=named).wanted(check_source(SHOP))
    assert flake8(file, "--ignore=E,F", *options) == [f"shop.py:{each}" for each in expected]
    assert [each.code for each in expected] == ["WNS001", "WNS004", "WNS004", *named, "WNS034"]


def test_flake8_is_told_of_the_plugin() -> None:
    [entry_point] = metadata.entry_points(group="flake8.extension", name="WNS")
    assert entry_point.load() is Flake8Plugin
