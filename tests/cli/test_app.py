"""The command itself: help, version, what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest
from typer.testing import CliRunner

import walnats_anyio
from walnats_anyio.cli import main
from walnats_anyio.cli._app import app
from walnats_anyio.cli._report import write_report

COMMANDS = ("demo", "server", "run", "spec", "lint", "dead")
DEAD = ("list", "show", "requeue", "discard")


def invoke(*words: str) -> tuple[int, str]:
    """Run the command in this process; gives the exit code and all it printed."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "100", "TERM": "dumb"})
    return result.exit_code, result.output


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_the_commands(flag: str) -> None:
    code, shown = invoke(flag)
    assert code == 0
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_tells_its_exit_codes(command: str) -> None:
    code, shown = invoke(command, "--help")
    assert code == 0
    assert "Exit codes: 0" in shown


@pytest.mark.parametrize(
    "words",
    [(), *((command,) for command in COMMANDS), *(("dead", each) for each in DEAD)],
    ids=str,
)
def test_help_is_readable_at_80_columns(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in result.output  # no option is cut
    # What an option is for has room for a sentence, not for a word in a line.
    _, options = invoke(*words, "--help")
    assert len(lines) < 40 + 3.5 * options.count("\n  -")


@pytest.mark.parametrize("command", ["run", "demo", *(f"dead {each}" for each in DEAD)])
def test_what_connects_has_the_options_of_a_connection(command: str) -> None:
    _, shown = invoke(*command.split(), "--help")
    for name in ("server", "creds", "nkey", "user", "password", "tls-ca", "tls-cert", "tls-key"):
        assert f"--{name} " in shown
        assert f"WALNATS_{name.replace('-', '_').upper()}" in shown


def test_a_shell_can_learn_to_complete_commands() -> None:
    assert "--install-completion" in invoke("--help")[1]
    done = subprocess.run(
        [Path(sys.executable).parent / "walnats-anyio"],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "_WALNATS_ANYIO_COMPLETE": "complete_bash",
            "COMP_WORDS": "walnats-anyio d",
            "COMP_CWORD": "1",
        },
    )
    assert sorted(done.stdout.split()) == ["dead", "demo"]


def test_the_version() -> None:
    assert invoke("--version") == (0, f"walnats-anyio {walnats_anyio.__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["run"],
        ["run", "shop:ACTORS", "--workers", "0"],
        ["run", "shop:ACTORS", "--max-jobs", "none"],
        ["run", "shop:ACTORS", "--backend", "curio"],
        ["run", "shop:ACTORS", "--shutdown-timeout", "-1"],
        ["run", "shop:ACTORS", "--max-restarts", "-1"],
        ["run", "shop:ACTORS", "--hang-timeout", "0.5"],
        ["run", "shop:ACTORS", "--hang-timeout", "-1"],
        ["demo", "--events", "1"],
        ["server", "--port", "65536"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    code, shown = invoke(*words)
    assert code == 2
    assert "Traceback" not in shown


def test_a_report_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    code, shown = invoke("demo", "--json", str(tmp_path / "missing" / "report.json"))
    assert code == 2
    assert "cannot be written" in shown


def test_a_report_to_a_device_leaves_it_a_device(tmp_path: Path) -> None:
    device = tmp_path / "device"
    os.mkfifo(device)
    reader = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_report(device, {"state": "ended"})
        assert json.loads(os.read(reader, 1000)) == {"state": "ended"}
        assert device.is_fifo()
    finally:
        os.close(reader)


def test_trio_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("walnats_anyio.cli._choices.find_spec", lambda _: None)
    code, shown = invoke("run", "shop:ACTORS", "--backend", "trio")
    assert code == 2
    assert "pip install 'walnats-anyio[trio]'" in shown


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; import walnats_anyio.cli as cli; cli.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        f"walnats-anyio: {missing} is not installed: pip install 'walnats-anyio[cli]'"
    ]


def test_another_module_that_is_missing_is_not_taken_for_the_extra() -> None:
    code = "import sys; sys.modules['json'] = None; import walnats_anyio.cli as cli; cli.main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert "walnats-anyio[cli]" not in ended.stderr


def test_python_m_is_the_same_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "walnats_anyio", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"walnats-anyio {walnats_anyio.__version__}\n"
    [entry_point] = metadata.entry_points(group="console_scripts", name="walnats-anyio")
    assert entry_point.load() is main


def test_a_worker_process_of_a_handler_does_not_load_the_command_line() -> None:
    """anyio runs the main module again in each process of `ExecuteIn.PROCESS`."""
    spec = util.find_spec("walnats_anyio.__main__")
    assert spec is not None
    code = f"import runpy, sys; runpy.run_path({spec.origin!r}, run_name='__mp_main__')"
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*{{'typer', 'rich'}} & sys.modules.keys())"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(walnats_anyio.__file__).parent.parent)},
    )
    assert shown.stdout.strip() == ""


def test_a_worker_process_of_run_reads_no_options() -> None:
    """What reads them takes as long to load as the library, and a supervisor may start many."""
    words = ["walnats-anyio", "run", "shop:ACTORS", "--worker=1"]
    code = (
        "import atexit, sys; import walnats_anyio.cli as cli\n"
        "atexit.register(lambda: print(*{'pydantic', 'typer._adapters'} & sys.modules.keys()))\n"
        f"sys.argv = {words}; cli.main()"
    )
    # Who starts one by hand has no plan on its standard input.
    ended = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: --worker is how a supervisor starts its worker")
    assert ended.stdout.strip() == ""
