"""`walnats-anyio monitor`: what a person and a program see of what is emitted."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import termios
from array import array
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.cli._command import DEADLINE, started, until
from tests.cli.conftest import Shop
from walnats_anyio.cli._app import app
from walnats_anyio.cli._event_target import load_events
from walnats_anyio.cli._monitor_view import View, as_json
from walnats_anyio.serializers import DecodeError
from walnats_anyio.types import FeedMessage

SAID = """
import walnats_anyio as walnats

SAID = walnats.Event("said", str)
RAW = walnats.Event("raw", bytes)
EVENTS = walnats.Events(SAID, RAW)
print("imported")
"""

SAID_EVENT = walnats.Event("said", str)
RAW = walnats.Event("raw", bytes)


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """A directory with `said.py`."""
    (tmp_path / "said.py").write_text(SAID)
    return tmp_path


async def _emit(url: str, messages: tuple[str | bytes, ...]) -> None:
    async with walnats.Events(SAID_EVENT, RAW).connect(url) as conn:
        await conn.register()
        for message in messages:
            if isinstance(message, bytes):
                await conn.emit(RAW, message)
            else:
                await conn.emit(SAID_EVENT, message, trace_id="t-1", meta={"A": "b"})


def emit_all(url: str, *messages: str | bytes) -> None:
    anyio.run(_emit, url, messages)


def view(columns: int | None) -> View:
    """That of a terminal so wide, or of none."""
    screen = Console(
        file=io.StringIO(),
        width=columns,
        force_terminal=columns is not None,
        color_system=None if columns is None else "256",
        highlight=False,
    )
    return View(screen, limited=columns is not None)


def a_message(**changes: Any) -> FeedMessage[str]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return replace(FeedMessage(SAID_EVENT, "hello", None, b'"hello"', {}, "said", at), **changes)


def plain(shown: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_message_keeps_to_the_width_of_a_terminal(columns: int) -> None:
    error = DecodeError("event 'said' takes str, and what arrived (600 bytes) does not fit: x")
    error.__cause__ = ValueError("it is malformed")
    payload = b'"\xe6\x97\xa5' + b"long " * 100
    shown = view(columns).message(a_message(payload=payload, error=error, headers={"a": "b" * 500}))
    assert "\x1b[1;36msaid\x1b[0m" in shown
    lines = plain(shown)
    assert [cell_len(line) for line in lines if line.endswith("…")] == [columns, columns]
    assert re.match(r'\d\d:\d\d:\d\d said "日long', lines[0])
    assert lines[1] == "         cannot be decoded: it is malformed"
    assert lines[2].startswith("         a=bbb")


def test_what_nobody_reads_is_told_before() -> None:
    lines = plain(view(80).message(a_message(dropped=1, lost=7, reconnected=True)))
    assert lines[:3] == [
        "-- the connection was lost: what was emitted then is missing",
        "-- 7 messages of this event missed",
        "-- 1 message dropped: too many at once",
    ]
    assert lines[3].endswith('said "hello"')


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"payload": b'{\n  "a": 1\r\n}'}, '{   "a": 1 }'),
        ({"payload": b"\x1b[2J[bold]"}, "'hello'"),
        ({"payload": b"[bold]"}, "[bold]"),
        ({"payload": b"a" * 5000}, "a" * 5000),
        ({"payload": b"\xff" * 30, "error": DecodeError("no")}, f"30 bytes: {'ff ' * 24}..."),
        ({"payload": "\u202e".encode(), "error": DecodeError("no")}, "3 bytes: e2 80 ae"),
        ({"payload": b"", "message": None}, ""),
    ],
)
def test_payloads(changes: dict[str, Any], shown: str) -> None:
    [line, *_] = plain(view(None).message(a_message(**changes)))
    assert line[9:] == f"said {shown}".rstrip()


def test_headers_that_obey_nobody() -> None:
    headers = {"a": "\x1b[2J[red]\u202e", "Walnats-Actor": "x"}
    shown = view(None).message(a_message(headers=headers))
    assert plain(shown)[1] == r"         for=x  a=\x1b[2J[red]\u202e"
    assert "\x1b" not in shown


def test_a_message_for_a_program() -> None:
    headers = {"A": "b", "Nats-Msg-Id": "u-1", "Walnats-Trace": "t-1"}
    assert as_json(a_message(headers=headers)) == {
        "event": "said",
        "subject": "said",
        "received_at": "2026-01-01T00:00:00+00:00",
        "uid": "u-1",
        "trace_id": "t-1",
        "actor": None,
        "headers": headers,
        "message": "hello",
        "payload": '"hello"',
        "payload_base64": None,
        "error": None,
        "dropped": 0,
        "reconnected": False,
        "lost": 0,
    }


@pytest.mark.parametrize("payload", [b"\xff", b"NaN", b"1e999", b"[" * 100_000, b"one", b""])
def test_what_is_no_json_for_a_program(payload: bytes) -> None:
    made = as_json(a_message(payload=payload, error=DecodeError("no")))
    assert (made["message"], made["error"]) == (None, "no")
    assert (made["payload_base64"] == "/w==") is (payload == b"\xff")
    json.dumps(made, allow_nan=False)


# The command in a process of its own


def test_a_person_sees_each_message_in_a_terminal(said: Path, nats_url: str) -> None:
    words = ("monitor", "said:EVENTS", "--server", nats_url, "--max-messages", "2")
    with started(
        said, *words, "--json", "lines", terminal=True, COLUMNS="80", TERM="xterm-256color"
    ) as command:
        command.says("monitoring said, raw; Ctrl-C ends it")
        emit_all(nats_url, "hello", b"\x00\xff\x1b[2J")
        assert command.ends() == 0
        assert "\x1b[1;36msaid" in command.output
        lines = plain(command.output)
    first = next(number for number, line in enumerate(lines) if "hello" in line)
    assert lines[first + 1] == "         trace=t-1  A=b"
    assert r"raw b'\x00\xff\x1b[2J'" in lines[first + 2]
    assert lines[-1] == "2 messages shown"
    written = [json.loads(line) for line in (said / "lines").read_text().splitlines()]
    assert [each["message"] for each in written] == ["hello", None]
    assert written[1]["payload_base64"] == "AP8bWzJK"


def running(
    said: Path, nats_url: str, *words: str, stdout: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "walnats_anyio", "monitor", "said:EVENTS"]
    return subprocess.Popen(
        [*command, "--server", nats_url, *words], cwd=said, stdout=stdout, stderr=subprocess.PIPE
    )


def test_lines_of_json_for_a_reader_that_has_had_enough(said: Path, nats_url: str) -> None:
    emit_all(nats_url)
    with running(said, nats_url, "--json", "-", "--backend", "trio", "--stored") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        # What the module prints while it is imported is no message.
        assert process.stderr.readline() == b"imported\n"
        assert process.stderr.readline().startswith(b"monitoring")
        emit_all(nats_url, "one", "two")
        # Each line is there as soon as its message is.
        assert json.loads(process.stdout.readline())["message"] == "one"
        assert json.loads(process.stdout.readline())["message"] == "two"
        process.stdout.close()
        emit_all(nats_url, "three")
        assert process.wait(DEADLINE) == 0
        assert process.stderr.read() == b"2 messages shown\n"


def waiting_in(pipe: int) -> int:
    """Bytes that wait in a pipe to be read."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_a_reader_that_does_not_read_blocks_nothing(said: Path, nats_url: str) -> None:
    """The pipe is full; what comes is dropped and counted, and Ctrl-C is heard."""
    reader, writer = os.pipe()
    with running(said, nats_url, "--buffer", "100", "--json", "-", stdout=writer) as process:
        os.close(writer)
        stderr = process.stderr
        assert stderr is not None
        until(lambda: stderr.readline().startswith(b"monitoring"))
        emit_all(nats_url, *["a" * 10_000] * 300)
        until(lambda: waiting_in(reader) > 50_000)
        emit_all(nats_url, *["a" * 10_000] * 300)  # those before have come by then
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        told = stderr.read()
    os.close(reader)
    assert re.fullmatch(rb"\w+ messages? shown, \d+ dropped: they came faster .*\n", told), told


@pytest.mark.parametrize("name", ["PLACED", "ACTORS", "ACTOR", "make"])
def test_where_events_are(shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(shop.directory)
    monkeypatch.setattr(sys, "path", list(sys.path))
    [event] = load_events(f"shop:{name}")
    sys.modules.pop("shop")
    assert event.name == "shop.placed"


# Wrong words


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["said:EVENTS", "--event", "nobody"], 2, "there is no event 'nobody'"),
        (["said:EVENTS", "--max-messages", "0"], 2, "--max-messages"),
        (["said:NONE"], 2, "there is said:EVENTS, said:RAW, said:SAID"),
        (["said"], 2, "does not say where the events are"),
        (["os:getcwd"], 2, "holds no events, but str"),
        (["said:EVENTS", "--json", "no/where"], 2, "no/where cannot be written"),
        (["said:EVENTS", "--stored"], 1, "event 'said' has no stream: call register()"),
        (["said:EVENTS", "--server", "nats://127.0.0.1:1"], 3, "127.0.0.1:1"),
    ],
)
def test_wrong_words(
    said: Path,
    nats_url: str,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(said)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "said", raising=False)
    result = CliRunner().invoke(app, ["monitor", *words], env={"NATS_SERVER": nats_url})
    sys.modules.pop("said", None)
    assert result.exit_code == code
    assert told in result.output
