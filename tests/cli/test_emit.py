"""`walnats-anyio emit`: by hand, from standard input, and what it says to a wrong message."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.link._probe import js, keep, stored
from walnats_anyio.cli._app import app
from walnats_anyio.testing import NatsServer

SHOP = """
from dataclasses import dataclass
from datetime import UTC, datetime

import walnats_anyio as walnats


@dataclass
class Order:
    number: int
    items: list[str]


PLACED = walnats.Event("placed", Order)
WHEN = walnats.Event("when", datetime)
PACKED = walnats.Event("packed", int, walnats.serializers.MessagePackSerializer(int))
EVENTS = walnats.Events(PLACED, WHEN, PACKED)
"""

PLACED = walnats.Event("placed", dict[str, Any])
WHEN = walnats.Event("when", datetime)
PACKED = walnats.Event("packed", int)


@pytest.fixture(autouse=True)
def in_the_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "orders.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("orders", None)


async def _register(server: NatsServer) -> None:
    async with walnats.Events(PLACED, WHEN, PACKED).connect(server.url) as conn:
        await conn.register()
    for event in (PLACED, WHEN, PACKED):
        await keep(server, event)


@pytest.fixture
def server(nats_server: NatsServer) -> NatsServer:
    """With streams for the events, which keep them."""
    anyio.run(_register, nats_server)
    return nats_server


def emit(server: NatsServer, *words: str, backend: str = "asyncio") -> tuple[int, str]:
    command = ["emit", *words, "--server", server.url, "--backend", backend]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.output


Piped: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture
def emit_from(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Piped:
    """Run the command with a pipe as its standard input."""

    def run(given: bytes, *words: str) -> tuple[int, str]:
        reader, writer = os.pipe()
        with os.fdopen(reader) as stdin, os.fdopen(writer, "wb") as pipe:
            monkeypatch.setattr(sys, "stdin", stdin)
            pipe.write(given)
            pipe.close()
            with pytest.raises(SystemExit) as ended:
                app(["emit", *words, "--server", server.url])
        return int(str(ended.value.code)), capsys.readouterr().err

    return run


def kept(server: NatsServer, event: walnats.Event[Any]) -> list[tuple[bytes, str]]:
    return [(each.payload, each.headers) for each in anyio.run(stored, server, event)]


def test_a_message(server: NatsServer, backend: str, tmp_path: Path) -> None:
    words = ["--uid", "u", "--trace-id", "t", "--meta", "A=b=c", "--meta", "Empty=", "--sync"]
    message = '{"items": ["ä"], "number": 1}'
    code, told = emit(server, "orders:PLACED", message, *words, "--json", "report", backend=backend)
    assert (code, told) == (0, "1 emitted to placed\n")
    [(payload, headers)] = kept(server, PLACED)
    assert payload == '{"number":1,"items":["ä"]}'.encode()
    lines = "A: b=c\r\nEmpty: \r\nNats-Msg-Id: u\r\nWalnats-Trace: t\r\n\r\n"
    assert headers == lines
    assert json.loads((tmp_path / "report").read_text()) == {"event": "placed", "emitted": 1}


def test_a_message_that_is_due_later_and_then_expires(server: NatsServer) -> None:
    moment = datetime(2100, 1, 1, tzinfo=UTC).isoformat()
    code, _ = emit(server, "orders:PACKED", "1", "--uid", "u", "--at", moment, "--ttl", "60")
    assert code == 0
    wanted = {"subjects_filter": "walnats.schedules.delay.packed.>"}
    state = anyio.run(js, server, "STREAM.INFO.walnats-schedules", wanted)["state"]
    assert len(state["subjects"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--at", "tomorrow"), "--at tomorrow: Invalid isoformat"),
        (("--at", "2030-01-01T00:00:00"), "no time zone"),
        (("--delay", "5", "--at", "2030-01-01T00:00:00Z"), "give one of them"),
        (("--ttl", "0.5"), "ttl must be 1"),
    ],
)
def test_a_time_that_is_none(server: NatsServer, words: tuple[str, ...], said: str) -> None:
    code, told = emit(server, "orders:PACKED", "1", *words)
    assert code == 2
    assert said in " ".join(told.split())


@pytest.mark.parametrize(
    ("target", "message", "event", "payload"),
    [
        ("orders:WHEN", "2026-01-01T00:00:00+00:00", WHEN, b"2026-01-01T00:00:00+00:00"),
        ("orders:WHEN", '"2026-01-01T00:00:00Z"', WHEN, b"2026-01-01T00:00:00+00:00"),
        ("orders:PACKED", "1000", PACKED, b"\xcd\x03\xe8"),
    ],
)
def test_what_is_no_json_is_given_as_json(
    server: NatsServer, target: str, message: str, event: walnats.Event[Any], payload: bytes
) -> None:
    code, _ = emit(server, target, message)
    assert code == 0
    assert [each for each, _ in kept(server, event)] == [payload]


def test_one_of_several_events(server: NatsServer) -> None:
    code, told = emit(server, "orders:EVENTS", "7")
    assert code == 2
    assert "has 3 events: placed, when, packed" in told
    assert emit(server, "orders:EVENTS", "7", "--event", "packed")[0] == 0
    assert len(kept(server, PACKED)) == 1


def test_the_lines_of_a_file(server: NatsServer, emit_from: Piped) -> None:
    lines = b'{"number":1,"items":[]}\r\n\n  \n{"number":2,"items":[]}\n{"number":3,"items":[]}'
    code, told = emit_from(lines, "orders:PLACED", "-", "--lines", "--meta", "Of=file")
    assert (code, told) == (0, "3 emitted to placed\n")
    found = kept(server, PLACED)
    assert [json.loads(payload)["number"] for payload, _ in found] == [1, 2, 3]
    assert {headers for _, headers in found} == {"Of: file\r\n\r\n"}


def test_a_wrong_line_is_named_and_those_before_it_are_emitted(
    server: NatsServer, emit_from: Piped
) -> None:
    lines = b'{"number":1,"items":[]}\n\n{"number":2,"items":[3]}\n{"number":4,"items":[]}\n'
    code, told = emit_from(lines, "orders:PLACED", "-", "--lines")
    assert code == 2
    assert told.startswith("1 emitted to placed\n")
    assert "line 3 does not fit event 'placed', which takes Order: " in told
    assert "Expected `str`, got `int` - at `$.items[0]`" in told
    assert len(kept(server, PLACED)) == 1


def test_all_of_standard_input_is_one_message(server: NatsServer, emit_from: Piped) -> None:
    code, _ = emit_from(b'{\n"number": 1,\n"items": []\n}\n', "orders:PLACED", "-")
    assert code == 0
    assert len(kept(server, PLACED)) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orders:PLACED", '{"number": "x", "items": []}'], "got `str` - at `$.number`"),
        (["orders:PLACED", "{"], "the message does not fit event 'placed', which takes Order"),
        (["orders:PLACED", "[" * 50], f"hint: it is {'[' * 50}"),
        (["orders:PLACED", "[" * 70], f"hint: it is {'[' * 60}..."),
        (["orders:PACKED", "seven"], "the message does not fit event 'packed', which takes int"),
        (["orders:NONE", "1"], "there is orders:EVENTS, orders:PACKED, orders:PLACED, orders:WHEN"),
        (["orders:Order", "1"], "holds no event, but the class Order"),
        (["orders:EVENTS", "1", "--event", "x"], "there is no event 'x'"),
        (["orders:PACKED", "1", "--meta", "A"], "--meta 'A' is no header"),
        (["orders:PACKED", "1", "--meta", "=a"], "--meta '=a' is no header"),
        (["orders:PACKED", "1", "--meta", "A=1", "--meta", "A=2"], "--meta A is given twice"),
        (["orders:PACKED", "1", "--meta", "A=\n"], "contains a line break"),
        (["orders:PACKED", "1", "--uid", ""], "uid is empty"),
        (["orders:PACKED", "1", "--lines"], "give - in place of the message"),
        (["orders:PACKED", "-", "--lines", "--uid", "1"], "leave --uid out"),
    ],
)
def test_wrong_words(nats_server: NatsServer, words: list[str], told: str) -> None:
    code, shown = emit(nats_server, *words)
    assert code == 2
    assert told in shown
    assert "Traceback" not in shown
    assert "emitted" not in shown


def test_an_event_without_a_stream(server: NatsServer) -> None:
    anyio.run(partial(js, server, "STREAM.DELETE.packed"))
    code, told = emit(server, "orders:PACKED", "1")
    assert code == 1
    assert "register" in told
    assert "emitted" not in told


def test_no_server(nats_server: NatsServer) -> None:
    nats_server.kill()
    assert emit(nats_server, "orders:PACKED", "1")[0] == 3
