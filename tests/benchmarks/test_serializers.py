"""The benchmark of the serializers alone works, and everybody reads what he wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import serializers
from benchmarks.__main__ import main
from walnats_anyio import serializers as ours


@pytest.fixture(autouse=True)
def few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    works = tuple(replace(work, lines=min(work.lines, 3), messages=5) for work in serializers.WORKS)
    monkeypatch.setattr(serializers, "WORKS", works)


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text(f"above\n{serializers.BEGIN}\nold\n{serializers.END}\nbelow\n")
    arguments = ["--rounds", "2", "--json", str(file), "--markdown", str(page)]
    assert main(["serializers", *arguments]) == 0
    shown = capsys.readouterr().out
    figures = msgspec.json.decode(file.read_bytes())["figures"]
    assert {figure["work"] for figure in figures} == {work.name for work in serializers.WORKS}
    assert all(len(figure["encode"]) == len(figure["decode"]) == 2 for figure in figures)
    written = page.read_text()
    assert written.startswith(f"above\n{serializers.BEGIN}\n")
    assert written.endswith(f"{serializers.END}\nbelow\n")
    assert "old" not in written
    for figure in figures:
        assert figure["candidate"] in shown
        assert f"| {figure['candidate']} | {figure['bytes']} |" in written


def test_every_serializer_takes_part() -> None:
    candidates, missing = serializers.present(serializers.WORKS[0])
    assert missing == []
    measured = {type(candidate.serializer).__name__ for candidate in candidates}
    kinds = {name for name in ours.__all__ if name.endswith("Serializer")}
    assert kinds - {"Serializer"} <= measured


def test_who_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_order: dict[str, Any]) -> Iterator[serializers.Candidate]:
        raise ImportError

    only = {"msgspec": serializers.SOURCES["msgspec"], "walnats": missing}
    monkeypatch.setattr(serializers, "SOURCES", only)
    assert main(["serializers", "--rounds", "1"]) == 0
    assert "walnats is not installed" in capsys.readouterr().out


def test_a_wrong_number_of_rounds() -> None:
    with pytest.raises(SystemExit):
        main(["serializers", "--rounds", "0"])


def test_a_page_without_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="has no lines <!-- serializers -->"):
        serializers.write_between(page, "text")
