"""`walnats-anyio lint`: which files, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from walnats_anyio.cli._app import app

WRONG = "import walnats_anyio as w\nPLACED = w.Event('', int)\nPAID = w.Event('Paid', int)\n"
EMPTY = "2:18: WNS001 event name is empty: give it at least one letter"
CASE = (
    "3:16: WNS004 event name 'Paid' is not kebab-case: use lower-case letters, digits and '-' in"
    " each part between dots"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "events.py").write_text(WRONG)
    (tmp_path / "right.py").write_text(WRONG.replace("''", "'placed'").replace("Paid", "paid"))
    return tmp_path


def lint(*words: str) -> Result:
    return CliRunner().invoke(app, ["lint", *words], env={"COLUMNS": "40", "TERM": "dumb"})


def test_a_line_for_each_finding(here: Path) -> None:
    done = lint(".")
    assert done.stdout.splitlines() == [f"shop/events.py:{EMPTY}", f"shop/events.py:{CASE}"]
    assert done.stderr == "2 findings in 2 files\n"
    assert done.exit_code == 1


def test_nothing_is_found(here: Path) -> None:
    done = lint("right.py")
    assert (done.stdout, done.stderr, done.exit_code) == ("", "0 findings in 1 file\n", 0)


def test_a_report(here: Path) -> None:
    finding = {"path": "shop/events.py", "line": 2, "column": 18, "code": "WNS001"}
    finding["message"] = EMPTY.split(" ", 2)[2]
    report = {"files": 1, "findings": [finding]}
    done = lint("shop", "--ignore", "WNS004", "--json", "-")
    assert json.loads(done.stdout) == report
    assert EMPTY in done.stderr
    assert done.exit_code == 1
    assert lint("shop", "--select", "WNS001", "--json", "found.json").exit_code == 1
    assert json.loads((here / "found.json").read_text()) == report


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (("--select", "WNS004"), ["WNS004"]),
        (("--select", "WNS001, WNS004"), ["WNS001", "WNS004"]),
        (("--select", "WNS001", "--select", "WNS004"), ["WNS001", "WNS004"]),
        (("--select", "WNS01", "--extend-select", "WNS004"), ["WNS004"]),
        (("--ignore", "WNS001"), ["WNS004"]),
        (("--ignore", "WNS00"), []),
    ],
    ids=str,
)
def test_codes_are_chosen(here: Path, options: tuple[str, ...], codes: list[str]) -> None:
    done = lint("shop", *options)
    assert [line.split()[1] for line in done.stdout.splitlines()] == codes
    assert done.exit_code == bool(codes)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("shop", "nowhere"), "error: nowhere does not exist: name files and folders\n"),
        (("shop", "--select", "WNS9"), "error: no code begins with 'WNS9': there are WNS000, "),
        (("shop", "--json", "nowhere/found.json"), "found.json cannot be written"),
        ((), "Missing argument 'PATH...'"),
    ],
    ids=str,
)
def test_what_cannot_be_done_ends_with_2(
    here: Path, words: tuple[str, ...], complaint: str
) -> None:
    done = lint(*words)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_which_files_of_a_folder_are_checked(here: Path) -> None:
    for name in (".hidden/a.py", "venv/lib/a.py", "node_modules/a.py", "__pycache__/a.py", "a.txt"):
        file = here / "shop" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(WRONG)
    (here / "shop" / "venv" / "pyvenv.cfg").touch()
    (here / "shop" / "folder.py").mkdir()
    assert lint("shop", "shop/events.py").stderr == "2 findings in 1 file\n"
    assert lint("shop/venv", "shop/a.txt").stderr == "4 findings in 2 files\n"


def test_a_file_that_is_no_python_is_a_finding(here: Path) -> None:
    (here / "broken.py").write_text("import walnats_anyio\ndef f(:\n")
    done = lint("broken.py")
    assert done.stdout == "broken.py:2:7: WNS000 cannot be read as Python: invalid syntax\n"
    assert done.exit_code == 1


def test_a_file_that_cannot_be_opened_is_wrong_usage(here: Path) -> None:
    (here / "loop.py").symlink_to("loop.py")
    (here / "shop" / "gone.py").symlink_to("nowhere.py")
    for path in ("loop.py", "shop"):
        done = lint(path)
        assert done.exit_code == 2
        assert "error: " in done.stderr


def test_names_of_files_may_be_any_bytes(here: Path) -> None:
    Path(os.fsdecode(b"shop/\xff[red].py")).write_text(WRONG)
    done = lint("shop", "--json", "found.json")
    assert f"shop/\\xff[red].py:{EMPTY}\n" in done.stdout
    assert len(json.loads((here / "found.json").read_text())["findings"]) == 4
