"""Every command in README and docs names a command, a session, a file or an extra that exists."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.docs._blocks import ALL_BLOCKS, EXAMPLES, ROOT, Block
from walnats_anyio.cli._app import app

LINES = [
    (block, line)
    for block in ALL_BLOCKS
    if block.language == "bash"
    for line in block.text.replace("\\\n", "").splitlines()
    if line.strip() and not line.startswith("#")
]

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def command_exists(*args: str) -> bool:
    """Look a command and its options up in the help of this project's command line."""
    # `dead` has commands of its own.
    shown = help_on(*args[: 2 if args[0] == "dead" else 1])
    options = [arg.split("=")[0] for arg in args if arg.startswith("-")]
    return shown is not None and all(option in shown for option in options)


@functools.cache
def help_on(*words: str) -> str | None:
    """Ask for the help on a command, once; None: there is no such command."""
    env = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    shown = CliRunner().invoke(app, [*words, "--help"], env=env)
    return shown.stdout if shown.exit_code == 0 else None


def nox_session_exists(*args: str) -> bool:
    named = [args[i + 1] for i, arg in enumerate(args) if arg in {"-s", "--session"}]
    source = (ROOT / "noxfile.py").read_text()
    return all(f"def {name.split('-')[0]}(session" in source for name in named)


def installs_known_extras(*args: str) -> bool:
    """Check the extras of `.[...]` and `walnats-anyio[...]`; other requirements are not ours."""
    wanted = re.findall(r"(?:^|\s)(?:\.|walnats-anyio)\[([\w,]+)\]", " ".join(args))
    return all(extra in EXTRAS for extras in wanted for extra in extras.split(","))


def script_exists(*args: str) -> bool:
    if args[:2] == ("-m", "pytest"):
        return all((ROOT / arg).exists() for arg in args[2:] if arg.startswith("tests"))
    if args[:2] == ("-m", "venv"):
        return True
    if args[:2] == ("-m", "benchmarks"):
        return (ROOT / "benchmarks" / "__main__.py").exists()
    return any(EXAMPLES.glob(f"*/{args[0]}"))


CHECKS: dict[str, Callable[..., bool]] = {
    "walnats-anyio": command_exists,
    "nox": nox_session_exists,
    "pip": installs_known_extras,
    "python": script_exists,
    "python3.11": script_exists,
    "run": (ROOT / ".ci" / "run").exists,
    "source": lambda script: script == ".venv/bin/activate",
    "cd": lambda directory: (ROOT / directory).is_dir(),
}


@pytest.mark.parametrize(("block", "line"), LINES, ids=[f"{b.place} {n}" for b, n in LINES])
def test_the_command_exists(block: Block, line: str) -> None:
    for command in line.split("&&"):
        name, *args = shlex.split(command, comments=True)
        assert CHECKS[Path(name).name](*args), f"{block.place}: {command.strip()}"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """`.ci/run` takes the line out of the README the way this test does."""
    readme = (ROOT / "README.md").read_text()
    marked = re.search(r"<!-- test-command -->\n(.*?)<!-- /test-command -->", readme, re.DOTALL)
    assert marked is not None
    in_readme = [line for line in marked[1].splitlines() if not line.startswith("```")]
    script = (ROOT / ".ci" / "run").read_text()
    extraction = re.search(r"test_command=\$\((.*)\)$", script, re.MULTILINE)
    assert extraction is not None
    in_ci = subprocess.run(
        ["bash", "-c", extraction[1]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert in_ci.stdout.splitlines() == in_readme
    assert len(in_readme) == 1
