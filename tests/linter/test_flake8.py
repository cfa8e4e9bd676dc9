"""The plugin in flake8 itself, and that it finds what the command finds."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

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


def test_flake8_finds_what_the_command_finds(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text(SHOP)
    expected = Selection(extend_select=("WNS033",)).wanted(check_source(SHOP))
    shown = flake8(file, "--ignore=E,F", "--extend-select=WNS033")
    assert shown == [f"shop.py:{each}" for each in expected]
    assert [each.code for each in expected] == ["WNS001", "WNS004", "WNS004", "WNS033", "WNS034"]


@pytest.mark.parametrize("options", [{"select": ["WNS033"]}, {"extend_select": ["E", "WNS033"]}])
def test_what_is_not_looked_for_by_default_has_to_be_named(options: dict[str, list[str]]) -> None:
    class Plugin(Flake8Plugin):
        """What it is told stays with it."""

    def codes() -> set[str]:
        plugin = Plugin(ast.parse(SHOP), SHOP.splitlines(keepends=True))
        return {text.split()[0] for _, _, text, _ in plugin.run()}

    for unnamed in ({}, {"select": ["WNS"], "extend_select": ["WNS03"]}):
        Plugin.parse_options(SimpleNamespace(**{"select": None, "extend_select": None} | unnamed))
        assert codes() == {"WNS001", "WNS004", "WNS005", "WNS034"}
    Plugin.parse_options(SimpleNamespace(**{"select": None, "extend_select": None} | options))
    assert "WNS033" in codes()


def test_flake8_is_told_of_the_plugin() -> None:
    [entry_point] = metadata.entry_points(group="flake8.extension", name="WNS")
    assert entry_point.load() is Flake8Plugin
