"""`walnats-anyio dead` with letters among the others that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import walnats_anyio as walnats
from tests.cli._desk import Desk
from tests.dead_letters._office import PLACED, a_letter

PACK = walnats.Actor("pack", PLACED, print)

SUBJECT = "walnats.dead.shop-placed.pack.1-1"

NESTED = '{"x":' + "[" * 50_000
"""JSON that is nested too deeply, with what a terminal would obey in the payload beside it."""

EVIL = b"\x1b[2Jraw\xff"


@pytest.fixture
def desk(nats_url: str, backend: str) -> Desk:
    """Letters 1 and 3 can be read, letter 2 cannot."""
    desk = Desk(nats_url, backend)
    desk.register(PACK)
    desk.write(a_letter())
    desk.write_rubbish(SUBJECT, NESTED, EVIL)
    desk.write(a_letter())
    return desk


def listed(desk: Desk, tmp_path: Path, *words: str) -> dict[str, Any]:
    file = tmp_path / "report"
    code, _ = desk.run("list", *words, "--json", str(file))
    assert code == 0
    report: dict[str, Any] = json.loads(file.read_text())
    return report


def numbers(report: dict[str, Any], kind: str) -> list[int]:
    return [letter["number"] for letter in report[kind]]


def test_it_is_listed_in_its_place(desk: Desk) -> None:
    code, shown = desk.run("list")
    assert code == 0
    lines = shown.splitlines()
    assert [line.split()[0] for line in lines[1::2]] == ["1", "2", "3", "3"]
    assert lines[3].split() == ["2", "shop-placed", "pack", "unreadable"]
    assert "cannot be read: " in lines[4]
    assert "nested too deeply" in lines[4]
    assert lines[-1] == "3 dead letters"
    assert max(map(len, lines)) <= 100
    assert "is left out" not in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [2]),
        (["--actor", "pack"], [2]),
        (["--actor", "send"], []),
        (["--event", "shop.placed"], [2]),
        (["--since", "1h"], [2]),
        (["--until", "1h"], []),
        (["--reason", "exhausted"], []),
        (["--limit", "1"], []),
        (["--limit", "2"], [2]),
    ],
)
def test_filters_see_it(desk: Desk, tmp_path: Path, words: list[str], expected: list[int]) -> None:
    report = listed(desk, tmp_path, *words)
    assert numbers(report, "unreadable") == expected
    if "--limit" in words:
        assert report["count"] == 3
    else:
        assert report["count"] == len(report["letters"]) + len(expected)


def test_it_is_shown_raw(desk: Desk, tmp_path: Path) -> None:
    code, shown = desk.run("show", "2", "--json", str(tmp_path / "report"))
    assert code == 0
    assert "\x1b" not in shown
    head, stored = shown.split("headers, ")
    assert SUBJECT in head
    assert "nested too deeply" in head
    assert 'Walnats-Dead: {"x":[[[' in stored
    assert "payload, 8 bytes" in stored
    assert "1b 5b 32 4a 72 61 77 ff" in stored
    report = json.loads((tmp_path / "report").read_text())
    assert report["number"] == 2
    assert report["subject"] == SUBJECT
    assert "nested too deeply" in report["problem"]
    assert report["headers"].startswith("NATS/1.0\r\nWalnats-Dead: ")
    assert (report["payload"], report["payload_base64"]) == (None, "G1sySnJhd/8=")


def test_it_is_discarded_by_its_number(desk: Desk, tmp_path: Path) -> None:
    code, shown = desk.run("discard", "2")
    assert code == 0
    assert f"discarded 2: {SUBJECT}, which could not be read" in shown
    assert [letter.number for letter in desk.left()] == [1, 3]
    assert numbers(listed(desk, tmp_path), "unreadable") == []


def test_it_is_discarded_with_all(desk: Desk, tmp_path: Path) -> None:
    code, shown = desk.run("discard", "--all", "--yes")
    assert code == 0
    assert shown.splitlines()[-1] == "3 dead letters discarded"
    assert listed(desk, tmp_path)["count"] == 0


@pytest.mark.parametrize("words", [["1", "2", "3"], ["--all", "--yes"]])
def test_it_is_not_put_back_and_the_others_are(
    desk: Desk, tmp_path: Path, words: list[str]
) -> None:
    code, shown = desk.run("requeue", *words, "--json", str(tmp_path / "done"))
    assert code == 1
    assert "error: dead letter 2 cannot be requeued and is kept: it cannot be read: " in shown
    assert shown.splitlines()[-1] == "2 dead letters requeued, 1 not"
    report = json.loads((tmp_path / "done").read_text())
    assert report["requeued"] == [1, 3]
    assert [failed["number"] for failed in report["failed"]] == [2]
    assert desk.emitted() == 2
    assert numbers(listed(desk, tmp_path), "unreadable") == [2]
