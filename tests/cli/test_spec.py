"""`walnats-anyio spec`: what it writes, where, and what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from walnats_anyio.cli._app import app

MODULE = """
import walnats_anyio as walnats

print("company is imported")

PLACED = walnats.Event("order.placed", int, description="Paid f\\xfcr \\u2603.")
EVENTS = walnats.Events(PLACED)

async def handle(number): ...

ACTOR = walnats.Actor("pack", PLACED, handle)
ACTORS = walnats.Actors(ACTOR)
SERVICES = walnats.Services(title="Shop")
SERVICES.add("checkout", version="1.2", emits=EVENTS)
SERVICES.add("warehouse", defines=ACTORS)

def make():
    return SERVICES

def number():
    return 3
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test is in a directory of its own, with a module `company` of its own."""
    (tmp_path / "company.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("company", None)


def spec(*words: str, code: int = 0) -> str:
    """Run the command in this process; gives what it printed."""
    result = CliRunner().invoke(app, ["spec", *words], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ((), "{"),
        (("--format", "asyncapi"), "{"),
        (("--format", "d2"), "direction: right"),
        (("--format", "mermaid"), "flowchart LR"),
        (("--format", "html"), "<!DOCTYPE html>"),
    ],
)
def test_standard_output(words: tuple[str, ...], first: str) -> None:
    assert spec("company:SERVICES", *words).splitlines()[0] == first


@pytest.mark.parametrize(
    ("name", "words", "first"),
    [
        ("a.json", (), "{"),
        ("a.yaml", (), 'asyncapi: "3.0.0"'),
        ("a.YML", (), 'asyncapi: "3.0.0"'),
        ("a.d2", (), "direction: right"),
        ("a.mmd", (), "flowchart LR"),
        ("a.html", (), "<!DOCTYPE html>"),
        ("a.html", ("--format", "d2"), "direction: right"),
        ("a", (), "{"),
    ],
)
def test_a_file(directory: Path, name: str, words: tuple[str, ...], first: str) -> None:
    assert spec("company:make", "-o", name, *words) == ""
    assert (directory / name).read_text(encoding="utf-8").splitlines()[0] == first


def test_yaml_and_json_say_the_same(directory: Path) -> None:
    spec("company:SERVICES", "-o", "a.yaml", "--json", "a.json")
    document = json.loads((directory / "a.json").read_text())
    assert yaml.safe_load((directory / "a.yaml").read_text()) == document
    assert document["info"]["title"] == "Shop"
    assert list(document["operations"]) == ["checkout.emit.order.placed", "warehouse.pack"]


def test_a_program_gets_only_json_on_standard_output() -> None:
    document = json.loads(spec("company:SERVICES", "--format", "html", "--json", "-"))
    assert document["asyncapi"] == "3.0.0"


def test_one_service() -> None:
    document = json.loads(spec("company:SERVICES", "--service", "checkout"))
    assert document["info"] == {"title": "checkout", "version": "1.2"}
    diagram = spec("company:SERVICES", "--service", "checkout", "--format", "d2")
    assert "warehouse" not in diagram


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("ACTORS", ["company.pack"]),
        ("ACTOR", ["company.pack"]),
        ("EVENTS", ["company.emit.order.placed"]),
        ("PLACED", ["company.emit.order.placed"]),
    ],
)
def test_what_is_no_services_is_one_service(name: str, operations: list[str]) -> None:
    document = json.loads(spec(f"company:{name}"))
    assert document["info"]["title"] == "company"
    assert list(document["operations"]) == operations


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("company:number",), "company:number() holds no services, but int"),
        (("company:walnats",), "company:walnats holds no services, but module"),
        (("company:NONE",), "there is company:ACTOR, company:ACTORS, company:EVENTS"),
        (("company",), "'company' does not say where the services are"),
        (("company:SERVICES", "--service", "nobody"), "there is no service 'nobody'"),
        (("company:SERVICES", "-o", "nowhere/a.html"), "cannot be written: No such file"),
    ],
)
def test_what_it_says_when_it_cannot(words: tuple[str, ...], says: str) -> None:
    assert says in " ".join(spec(*words, code=2).split())


def test_a_terminal_without_letters_beyond_ascii(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "walnats_anyio", "spec", "company:SERVICES", "--format", "html"],
        cwd=directory,
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Paid für \N{SNOWMAN}." in done.stdout.decode("utf-8")
