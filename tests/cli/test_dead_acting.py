"""`walnats-anyio dead requeue` and `discard`: what people do to dead letters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import walnats_anyio as walnats
from tests.cli._command import started
from tests.cli._desk import Desk, some_letters
from tests.cli.conftest import on_one_loop
from tests.dead_letters._office import PLACED, a_letter

PACK = walnats.Actor("pack", PLACED, print)
SEND = walnats.Actor("send", PLACED, print)


@pytest.fixture
def desk(nats_url: str, backend: str) -> Desk:
    return Desk(nats_url, backend)


# requeue


def test_letters_are_put_back_by_number(desk: Desk, tmp_path: Path) -> None:
    desk.register(PACK, SEND)
    desk.write(*some_letters()[:2], a_letter())
    code, shown = desk.run("requeue", "1", "2", "1", "--json", str(tmp_path / "report"))
    assert code == 0
    assert shown.splitlines() == [
        "requeued 1: shop.placed for pack",
        "requeued 2: shop.placed for send",
        "2 dead letters requeued",
    ]
    assert json.loads((tmp_path / "report").read_text()) == {"requeued": [1, 2], "failed": []}
    assert [letter.number for letter in desk.left()] == [3]
    assert desk.emitted() == 2


def test_all_are_put_back_that_can_be(desk: Desk, tmp_path: Path) -> None:
    desk.register(PACK)
    desk.write(a_letter(), a_letter(actor="send"), a_letter())
    code, shown = desk.run("requeue", "--all", "--yes", "--json", str(tmp_path / "report"))
    assert code == 1
    assert "error: dead letter 2 cannot be requeued and is kept: event 'shop.placed' has" in shown
    assert shown.splitlines()[-1] == "2 dead letters requeued, 1 not"
    report = json.loads((tmp_path / "report").read_text())
    assert report["requeued"] == [1, 3]
    assert [failed["number"] for failed in report["failed"]] == [2]
    assert [letter.number for letter in desk.left()] == [2]
    assert desk.emitted() == 2


def test_all_of_some_are_put_back(desk: Desk) -> None:
    desk.register(PACK, SEND)
    desk.write(*some_letters())
    code, shown = desk.run("requeue", "--all", "--actor", "send", "--since", "1h")
    assert code == 0
    assert shown.splitlines()[-1] == "1 dead letter requeued"
    assert [letter.number for letter in desk.left()] == [1, 3]


# discard


def test_one_is_discarded_without_a_question(desk: Desk) -> None:
    desk.write(*some_letters())
    code, shown = desk.run("discard", "2")
    assert code == 0
    assert shown.splitlines() == [
        "discarded 2: shop.placed for send",
        "1 dead letter discarded",
    ]
    assert [letter.number for letter in desk.left()] == [1, 3]


ANSWERS = [
    ("n\n", 1, "nothing is discarded", [1, 2, 3]),
    ("\n", 1, "nothing is discarded", [1, 2, 3]),
    ("", 2, "hint: add --yes", [1, 2, 3]),
    ("y\n", 0, "2 dead letters discarded", [2]),
]
"""What is typed, and what is said and left then."""


@pytest.mark.parametrize("words", [["1", "3"], ["--all", "--actor", "pack"]])
def test_several_are_discarded_after_a_question(desk: Desk, words: list[str]) -> None:
    desk.write(*some_letters())
    for keys, code, said, left in ANSWERS:
        ended, shown = desk.run("discard", *words, keys=keys)
        assert ended == code
        assert "Discard 2 dead letters for good?" in shown
        assert said in shown
        assert [letter.number for letter in desk.left()] == left


def test_all_are_discarded_with_yes(desk: Desk) -> None:
    desk.write(*some_letters())
    code, shown = desk.run("discard", "--all", "--yes")
    assert code == 0
    assert "3 dead letters discarded" in shown
    assert desk.left() == []
    assert desk.run("discard", "--all") == (0, "no dead letters discarded\n")


# Which ones


UNCLEAR = [
    ([], "it is not said which dead letters are meant"),
    (["1", "--all"], "numbers and --all are given"),
    (["--event", "paid"], "--event chooses among all letters"),
    (["1", "--reason", "died"], "--reason chooses among all letters"),
    (["0"], "Invalid value for 'NUMBER'"),
    (["--all", "--since", "soon"], "--since 'soon' is no time"),
]


@pytest.mark.parametrize("verb", ["requeue", "discard"])
def test_which_letters_must_be_clear(desk: Desk, verb: str) -> None:
    desk.write(a_letter())
    for words, told in UNCLEAR:
        code, shown = desk.run(verb, *words)
        assert code == 2
        assert told in shown
    assert len(desk.left()) == 1


@on_one_loop("trio")
def test_in_a_process_of_its_own(desk: Desk, tmp_path: Path, backend: str) -> None:
    desk.write(*some_letters())
    options = ("--backend", backend)
    with started(tmp_path, "dead", "list", *options, NATS_SERVER=desk.url) as command:
        assert command.ends() == 0
        assert "3 dead letters" in command.output
    with started(
        tmp_path, "dead", "discard", "--all", *options, NATS_SERVER=desk.url, terminal=True
    ) as command:
        command.says("Discard 3 dead letters for good? [y/N]")
        # Others go on meanwhile: one letter goes, one comes.
        assert desk.run("discard", "1")[0] == 0
        desk.write(a_letter())
        command.press(b"y\n")
        assert command.ends() == 0
        assert "2 dead letters discarded\n" in command.output.replace("\r", "")
    assert [letter.number for letter in desk.left()] == [4]
