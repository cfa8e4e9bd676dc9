"""`walnats-anyio dead`: many letters at once, in groups, edited, limited."""

from __future__ import annotations

import itertools
import json
import os
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import walnats_anyio as walnats
from tests.cli._command import started
from tests.cli._desk import Desk
from tests.cli.conftest import on_one_loop
from tests.dead_letters._office import PLACED, a_letter

PACK = walnats.Actor("pack", PLACED, print)

NOWHERE = Desk("nats://127.0.0.1:1", "asyncio")
"""Where no server is, as what is wrong is told before anything is done."""


@pytest.fixture
def desk(nats_url: str, backend: str) -> Desk:
    return Desk(nats_url, backend)


def report_of(file: Path) -> dict[str, object]:
    report: dict[str, object] = json.loads(file.read_text())
    return report


# How many, and how fast


@on_one_loop("asyncio")
def test_a_question_before_all_there_are_go_back(desk: Desk) -> None:
    desk.register(PACK)
    desk.write(a_letter(), a_letter())
    code, shown = desk.run("requeue", "--all", keys="n\n")
    assert (code, "Requeue 2 dead letters?" in shown) == (1, True)
    assert "nothing is requeued" in shown
    code, shown = desk.run("requeue", "--all")
    assert code == 2
    assert "2 dead letters would be requeued, and there is nobody to ask" in shown
    assert desk.emitted() == 0
    assert desk.run("requeue", "--all", keys="y\n")[0] == 0
    assert desk.emitted() == 2
    # One is no question.
    desk.write(a_letter())
    assert desk.run("requeue", "--all")[0] == 0


@on_one_loop("asyncio")
def test_a_dry_run_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.register(PACK)
    desk.write(a_letter(), a_letter(actor="send"), a_letter())
    code, shown = desk.run("requeue", "--all", "--dry-run", "--json", str(tmp_path / "report"))
    assert code == 1
    assert "would be requeued 1: shop.placed for pack\n" in shown
    assert "has no actor 'send'" in shown
    assert shown.splitlines()[-1] == "2 dead letters would be requeued, 1 not"
    report = report_of(tmp_path / "report")
    assert (sorted(report["requeued"]), report["dry_run"]) == ([1, 3], True)  # type: ignore[call-overload]  # of an object that JSON gave
    code, shown = desk.run("discard", "1", "2", "7", "-n")
    assert code == 2
    assert shown.splitlines()[-1] == "2 dead letters would be discarded, 1 not"
    assert (len(desk.left()), desk.emitted()) == (3, 0)


def test_a_rate_that_is_none() -> None:
    for verb, rate in zip(
        itertools.cycle(("requeue", "discard")), ("0", "-1", "nan", "inf", "x"), strict=False
    ):
        code, shown = NOWHERE.run(verb, "--all", "--rate", rate)
        assert (code, "Invalid value for '--rate'" in shown) == (2, True), shown


@on_one_loop("asyncio")
def test_errors_choose_letters(desk: Desk, tmp_path: Path) -> None:
    desk.write(*(a_letter(error=f"box {number} is lost") for number in range(3)), a_letter())
    code, shown = desk.run("groups", "--json", str(tmp_path / "report"))
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].split() == ["letters", "event", "actor", "reason", "fingerprint"]
    assert lines[1].split()[:4] == ["3", "shop.placed", "pack", "exhausted"]
    assert "shop.SoldOutError: box 2 is lost" in lines[2]
    assert lines[-1] == "4 dead letters in 2 groups"
    report = json.loads((tmp_path / "report").read_text())
    assert [group["count"] for group in report["groups"]] == [3, 1]
    fingerprint = report["groups"][0]["fingerprint"]
    code, shown = desk.run(
        "discard", "--all", "--yes", "--fingerprint", fingerprint, "--rate", "99"
    )
    assert (code, shown.splitlines()[-1]) == (0, "3 dead letters discarded")
    assert desk.run("groups", "--error-type", "ValueError") == (0, "no dead letters in 0 groups\n")
    code, shown = desk.run("list", "--fingerprint", "box")
    assert (code, "12 hexadecimal digits" in shown) == (2, True)
    code, shown = desk.run("discard", "4", "--error-type", "ValueError")
    assert (code, "--error-type chooses among all letters" in shown) == (2, True)


def test_a_moment_at_the_end_of_time(nats_url: str) -> None:
    desk = Desk(nats_url, "asyncio")
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23)))
    last = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-23)))
    desk.write(a_letter(died_at=first), a_letter(died_at=last), a_letter())
    for words in (["list"], ["groups"], ["show", "1"], ["show", "2"]):
        code, shown = desk.run(*words)
        assert (code, "9999-12-31 23:59" in shown or "1-01-01 00:00" in shown) == (0, True), shown


def test_in_a_terminal(nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(nats_url, "asyncio")
    desk.register(PACK)
    letters = [a_letter(error="\x1b[2Jwiped 'it'", event="shop.placed") for _ in range(25)]
    desk.write(*letters, a_letter(event="e" * 40, actor="a" * 40))
    monkeypatch.setattr("tests.cli._desk.COLUMNS", 80)
    _, shown = desk.run("groups")
    assert "\x1b[2J" not in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert shown.count("\\x1b[2Jwiped") == 1
    options = ("--server", desk.url)
    with started(
        tmp_path, "dead", "requeue", "--all", "--event", "shop.placed", *options,
        terminal=True, COLUMNS="80", TERM="xterm",
    ) as command:  # fmt: skip
        assert command.ends() == 0
        assert "25/25" in command.output
        assert "requeued 1:" not in command.output
        assert "25 dead letters requeued" in command.output
    assert desk.emitted() == 25


# --edit


class Editor:
    """An editor that is a program: what it does with the file is a line of shell."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "editor"
        self.seen = folder / "seen"
        self.kept = folder / "kept"

    def does(self, line: str) -> dict[str, str]:
        self.seen.unlink(missing_ok=True)
        self.file.write_text(f'#!/bin/sh\ncat "$1" >> {self.seen}\n{line}\n')
        self.file.chmod(self.file.stat().st_mode | stat.S_IXUSR)
        return {"VISUAL": str(self.file)}


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Editor(tmp_path)


ORDER = walnats.Event("shop.placed", dict[str, int])


@on_one_loop("asyncio")
def test_payloads_are_edited_one_after_the_other(
    desk: Desk, editor: Editor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.register(walnats.Actor("pack", ORDER, print))
    desk.write(
        a_letter(payload=b'{"id":1,"price":1.10}', error="no\x1b[2J box"),
        a_letter(payload=b'{"id": 2}'),
        a_letter(payload=b"\x00\xff"),
        a_letter(payload=b'"\\ud800"'),
        a_letter(payload=b'{"id": 5, "price": 100000000000000000000000001}'),
    )
    env = editor.does('sed -i "s/: 1,/: 17,/; s/: 5,/: 18,/" "$1"')
    monkeypatch.setenv("VISUAL", env["VISUAL"])
    code, shown = desk.run(
        "requeue", "--all", "--yes", "--edit", "--json", str(tmp_path / "report")
    )
    assert code == 1
    assert "dead letter 3 cannot be edited and is kept: its payload is no JSON" in shown
    assert "left as it is 2: shop.placed for pack" in shown
    assert shown.splitlines()[-1] == "2 dead letters requeued, 1 left as it is, 2 not"
    report = report_of(tmp_path / "report")
    assert (report["requeued"], report["skipped"]) == ([1, 5], [2])
    seen = editor.seen.read_text()
    assert "# dead letter 1: shop.placed for pack, exhausted\n" in seen
    assert '{\n  "id": 1,\n  "price": 1.10\n}\n' in seen
    assert "\x1b" not in seen
    assert desk.payloads() == [
        b'{"id":17,"price":1.10}',
        b'{"id":18,"price":100000000000000000000000001}',
    ]
    assert [letter.number for letter in desk.left()] == [2, 3, 4]
    assert list(tmp_path.glob("dead-letter-*")) == []


NO_EDITS = [
    (': > "$1"', 1, "the file is empty, so nothing more is requeued"),
    ("exit 3", 1, "ended with 3, so nothing more is requeued"),
    ('rm "$1"', 1, "what was saved cannot be read"),
    ('printf "\\377" > "$1"', 1, "what was saved cannot be read"),
    ("true", 0, "no dead letters requeued, 1 left as it is"),
    ('grep -v "^#" "$1" > x; mv x "$1"', 0, "no dead letters requeued, 1 left as it is"),
    ('echo "{" > "$1"', 1, "what was saved cannot go back, so nothing more is requeued"),
    ('echo NaN > "$1"', 1, "JSON has no NaN"),
    ('echo "\\"x\\"" > "$1"', 1, "event 'shop.placed' takes"),
]


def test_an_editor_that_does_not_edit(
    nats_url: str, editor: Editor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(
        'import walnats_anyio\nPLACED = walnats_anyio.Event("shop.placed", int)\n'
    )
    desk = Desk(nats_url, "asyncio")
    desk.register(PACK)
    desk.write(a_letter())
    for line, code, told in NO_EDITS:
        monkeypatch.setenv("VISUAL", editor.does(line)["VISUAL"])
        ended, shown = desk.run("requeue", "1", "--edit", "--events", "shop:PLACED")
        assert (ended, told in shown) == (code, True), shown
        kept = list(tmp_path.glob("dead-letter-*"))
        assert len(kept) == ("hint: what was saved is in" in shown)
        for file in kept:
            file.unlink()
    assert (len(desk.left()), desk.emitted()) == (1, 0)


def test_what_is_wrong_is_opened_again_with_the_error(
    nats_url: str, editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(nats_url, "asyncio")
    desk.register(PACK)
    desk.write(a_letter())
    line = 'if grep -q "cannot go back" "$1"; then echo 17 > "$1"; else echo "{" >> "$1"; fi'
    monkeypatch.setenv("VISUAL", editor.does(line)["VISUAL"])
    code, shown = desk.run("requeue", "1", "--edit")
    assert (code, shown.splitlines()[-1]) == (0, "1 dead letter requeued")
    assert desk.payloads() == [b"17"]
    assert "# This cannot go back: Extra data" in editor.seen.read_text()


def test_options_of_editing_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for words, told in (
        (["--edit", "--dry-run"], "--dry-run changes nothing"),
        (["--events", "shop:EVENTS"], "add --edit"),
        (["--edit", "--events", "nowhere:EVENTS"], "nowhere"),
    ):
        code, shown = NOWHERE.run("requeue", "1", *words)
        assert (code, told in shown) == (2, True), shown
    for name in ("no-such-editor", "'unfinished", " "):
        monkeypatch.setenv("VISUAL", name)
        monkeypatch.setenv("PATH", str(tmp_path))
        code, shown = NOWHERE.run("requeue", "1", "--edit")
        assert (code, "there is no editor" in shown) == (2, True), shown
    assert os.environ["VISUAL"]


# limits


@on_one_loop("asyncio")
def test_limits(desk: Desk, tmp_path: Path) -> None:
    code, shown = desk.run("limits")
    assert (code, shown.count("no limit")) == (0, 3)
    assert desk.run("limits", "--age", "30d", "--messages", "100", "--bytes", "1GiB")[0] == 0
    desk.write(*(a_letter() for _ in range(3)))
    # What is not given stays.
    code, shown = desk.run("limits", "--age", "60d", "--json", str(tmp_path / "report"))
    assert report_of(tmp_path / "report") == {
        "age": 60 * 86400, "messages": 100, "bytes": 2**30,
    }  # fmt: skip
    # Nor does it change when another service registers.
    desk.register(PACK)
    code, shown = desk.run("limits", "--messages", "2", keys="n\n")
    assert (code, "the oldest of 3 dead letters go for good" in shown) == (1, True)
    assert "nothing is changed" in shown
    assert desk.run("limits", "--messages", "2")[0] == 2
    assert len(desk.left()) == 3
    assert desk.run("limits", "--messages", "2", "--yes")[0] == 0
    assert [letter.number for letter in desk.left()] == [2, 3]
    code, shown = desk.run("limits", "--messages", "none")
    assert (code, "messages  no limit" in shown, "60 days" in shown) == (0, True, True)


def test_limits_that_are_none() -> None:
    for words, told in (
        (["--age", "soon"], "--age 'soon' is no limit"),
        (["--age", "0s"], "--age '0s' is no limit"),
        (["--age", "9999999999999w"], "is no limit"),
        (["--age", "99999w"], "limits.age must be"),
        (["--messages", "0"], "--messages '0' is no limit"),
        (["--messages", "-1"], "--messages '-1' is no limit"),
        (["--bytes", "much"], "--bytes 'much' is no limit"),
    ):
        code, shown = NOWHERE.run("limits", *words)
        assert (code, told in shown) == (2, True), shown
