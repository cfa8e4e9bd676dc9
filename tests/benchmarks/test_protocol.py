"""The benchmark of the protocol alone works, and everybody who is installed finds every message."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import protocol
from benchmarks.__main__ import main
from walnats_anyio._link.protocol import Message, Parser


@pytest.fixture(autouse=True)
def few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    works = tuple(protocol.Work(work.name, work.payload, 50, work.block) for work in protocol.WORKS)
    monkeypatch.setattr(protocol, "WORKS", works)


def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert main(["protocol", "--rounds", "2", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "walnats-anyio" in shown
    assert "nats-py" in shown
    result = msgspec.json.decode(file.read_bytes())
    for work in protocol.WORKS:
        figures = [f for f in result["figures"] if f["work"] == work.name]
        assert {f["direction"] for f in figures} == {"parse", "build"}
        assert all(len(f["seconds"]) == 2 for f in figures)


def test_who_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> list[protocol.Candidate]:
        raise ImportError

    monkeypatch.setitem(protocol.LIBRARIES, "natsio", missing)
    assert main(["protocol", "--rounds", "1"]) == 0
    assert "not installed" in capsys.readouterr().out


def test_a_wrong_number_of_rounds() -> None:
    with pytest.raises(SystemExit):
        main(["protocol", "--rounds", "0"])


@pytest.mark.parametrize("work", protocol.WORKS, ids=lambda work: work.name)
def test_the_bytes_are_what_a_server_sends(work: protocol.Work) -> None:
    few = protocol.Work(work.name, work.payload, 3, work.block)
    events = Parser().receive(few.wire())
    assert len(events) == 3
    for event in events:
        assert isinstance(event, Message)
        assert event.data == work.payload
        assert event.header == work.block
        assert event.metadata.stream == "shop"
