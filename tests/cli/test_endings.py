"""How errors become words and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from walnats_anyio import ConnectError, ConnectionLostError, ServerError
from walnats_anyio.cli._endings import ExitCode, Problem, explained, worst


def ended(error: BaseException, debug: bool = False) -> int:
    with pytest.raises(typer.Exit) as raised, explained(debug):
        raise error
    return raised.value.exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("no", code=ExitCode.USAGE), 2),
        (Problem("no"), 1),
        (ValueError("wrong argument"), 2),
        (TypeError("wrong argument"), 2),
        (ConnectError("nobody there"), 3),
        (ConnectionLostError("gone"), 3),
        (ServerError("no"), 1),
        (KeyError("x"), 1),
        (KeyboardInterrupt(), 130),
        (typer.Exit(7), 7),
        (ExceptionGroup("", [ConnectionLostError("gone"), ConnectionLostError("gone")]), 3),
        (ExceptionGroup("", [ConnectionLostError("gone"), KeyError("x")]), 1),
        # In a group it is what broke a task, not an argument of the command.
        (ExceptionGroup("", [ValueError("x")]), 1),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), 1),
    ],
    ids=repr,
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert ended(error) == code


def test_an_error_is_a_sentence_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    ended(Problem("the [port] is taken", hint="choose another"))
    said = capsys.readouterr()
    assert said.err == "error: the [port] is taken\nhint: choose another\n"
    assert said.out == ""


def test_what_nobody_foresaw_names_its_type_and_how_to_see_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended(KeyError("x"))
    assert capsys.readouterr().err.splitlines() == [
        "error: KeyError: 'x'",
        "hint: add --debug to see where it comes from",
    ]


def test_with_debug_the_traceback_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    ended(Problem("the port is taken"), debug=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "error: the port is taken"


def test_every_error_of_a_group_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    ended(
        ExceptionGroup("two", [ServerError("first"), ExceptionGroup("", [ServerError("second")])])
    )
    assert capsys.readouterr().err == "error: first\nerror: second\n"


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 143], 143),
        ([3, 143], 3),
        ([2, 3], 2),
        ([1, 2, 3], 1),
        ([0, -9], 1),
        ([3, 7], 1),
    ],
)
def test_the_worst_code_stands_for_all(codes: list[int], code: int) -> None:
    assert worst(codes) == code


@pytest.mark.parametrize(
    ("words", "code", "traceback"),
    [
        (["-m", "walnats_anyio", "status"], -signal.SIGINT, False),
        (["-c", "import walnats_anyio"], -signal.SIGINT, True),  # a program's own affair
        (["-m", "other", "walnats_anyio"], -signal.SIGINT, True),
    ],
)
def test_interrupted_while_it_is_imported(
    tmp_path: Path, words: list[str], code: int, traceback: bool
) -> None:
    interrupt = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    (tmp_path / "anyio.py").write_text(interrupt)  # which the library imports
    (tmp_path / "other.py").write_text("import walnats_anyio")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    ended = subprocess.run([sys.executable, *words], env=env, capture_output=True, check=False)
    assert ended.returncode == code
    assert (b"Traceback" in ended.stderr) is traceback
