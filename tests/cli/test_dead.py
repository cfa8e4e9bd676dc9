"""`walnats-anyio dead list` and `show`: what people see of dead letters."""

from __future__ import annotations

import json
import re
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli._command import started, until
from tests.cli._desk import NOW, Desk, some_letters
from tests.cli.conftest import on_one_loop
from tests.dead_letters._office import a_letter
from walnats_anyio.cli._app import app
from walnats_anyio.cli._dead._view import payload_in_words, visible
from walnats_anyio.testing import NatsServer


@pytest.fixture
def desk(nats_url: str, backend: str) -> Desk:
    return Desk(nats_url, backend)


# list


def test_a_table_of_letters(desk: Desk) -> None:
    desk.write(*some_letters())
    code, shown = desk.run("list")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].split() == ["number", "event", "actor", "reason"]
    assert lines[3].split() == ["2", "shop.placed", "send", "rejected"]
    died = NOW.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert lines[4].strip() == f"{died}, 3 attempts: shop.SoldOutError: nothing left at all"
    assert lines[-1] == "3 dead letters"


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@on_one_loop("asyncio")
def test_what_a_person_needs_is_seen_in_a_terminal(
    desk: Desk, tmp_path: Path, columns: int
) -> None:
    desk.write(*some_letters(), a_letter(event="e" * 40, actor="a" * 40, error="word " * 100))
    words = ("dead", "list", "--server", desk.url)
    with started(
        tmp_path, *words, terminal=True, COLUMNS=str(columns), TERM="xterm-mono"
    ) as command:
        assert command.ends() == 0
        plain = re.sub(r"\x1b\[[0-9;]*m", "", command.output)
    lines = [line.rstrip() for line in plain.splitlines()]
    assert max(map(len, lines)) <= columns
    assert lines[0].split() == ["number", "event", "actor", "reason"]
    assert lines[1].split() == ["1", "shop.placed", "pack", "exhausted"]
    assert "3 attempts: shop.SoldOutError" in lines[2]
    # Where a name does not fit it is folded, and never cut.
    of_the_last = plain[plain.index("     4  ") :]
    assert of_the_last.count("eeee") >= 40 // 4 - 2
    assert of_the_last.count("aaaa") >= 40 // 4 - 2


def test_without_a_terminal_a_letter_is_a_line(desk: Desk, tmp_path: Path) -> None:
    desk.write(*some_letters())
    with started(tmp_path, "dead", "list", "--server", desk.url) as command:
        assert command.ends() == 0
        [line] = [line for line in command.output.splitlines() if "rejected" in line]
    assert line.split()[:4] == ["2", "shop.placed", "send", "rejected"]
    assert line.rstrip().endswith("shop.SoldOutError: nothing left at all")


@pytest.mark.parametrize("words", [["list"], ["show", "1"], ["requeue", "1"], ["discard", "1"]])
def test_json_to_standard_output_is_all_that_is_there(desk: Desk, words: list[str]) -> None:
    desk.write(*some_letters())
    result = CliRunner().invoke(app, ["dead", *words, "--json", "-", "--server", desk.url])
    assert isinstance(json.loads(result.stdout), dict)
    assert result.stderr


def test_a_long_error_is_one_line(desk: Desk) -> None:
    desk.write(a_letter(error="word\n" * 300))
    _, shown = desk.run("list")
    [line] = [line for line in shown.splitlines() if "word" in line]
    assert len(line) < 400


def test_no_letters(desk: Desk) -> None:
    # Neither with a stream for them nor without.
    for words in (["list"], ["list", "--event", "paid"], ["list", "--reason", "died"]):
        assert desk.run(*words) == (0, "no dead letters\n")
    assert desk.left() == []
    assert desk.run("list") == (0, "no dead letters\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [1, 2, 3]),
        (["--event", "paid"], [3]),
        (["--actor", "pack"], [1, 3]),
        (["--actor", "pack", "--event", "shop.placed"], [1]),
        (["--reason", "rejected"], [2]),
        (["--since", "5h"], [2, 3]),
        (["--since", "1.5d"], [2, 3]),
        (["--since", "30m"], [2]),
        (["--until", "1d"], [1]),
        (["--since", "1w", "--until", "1h"], [1, 3]),
        (["--since", (NOW - timedelta(hours=4)).isoformat()], [2, 3]),
        # As people write it: by their own clock.
        (["--since", f"{(NOW - timedelta(hours=4)).astimezone():%Y-%m-%dT%H:%M}"], [2, 3]),
        (["--limit", "2"], [1, 2]),
    ],
)
def test_some_letters(desk: Desk, tmp_path: Path, words: list[str], expected: list[int]) -> None:
    desk.write(*some_letters())
    code, shown = desk.run("list", *words, "--json", str(tmp_path / "report"))
    assert code == 0
    report = json.loads((tmp_path / "report").read_text())
    assert [letter["number"] for letter in report["letters"]] == expected
    if "--limit" in words:
        assert report["count"] == 3
        assert "3 dead letters, the oldest 2 shown" in shown
    else:
        assert report["count"] == len(expected)


# show


def test_all_of_a_letter(desk: Desk, tmp_path: Path) -> None:
    desk.write(a_letter(payload=b'{"id": 1, "of": ["K\xc3\xa4the"]}'))
    code, shown = desk.run("show", "1", "--json", str(tmp_path / "report"))
    assert code == 0
    for piece in (
        "shop.placed",
        "pack",
        "exhausted",
        "shop.SoldOutError: nothing left\n",
        "at all",
        "stream shop-placed, number ",
        "Walnats-Trace: t-1\nShop: Käthe's\n",
        'payload, 27 bytes\n{\n  "id": 1,\n  "of": [\n    "Käthe"\n  ]\n}\n',
        "Traceback (most recent call last):\n  ...\n",
    ):
        assert piece in shown
    report = json.loads((tmp_path / "report").read_text())
    assert report["payload"] == '{"id": 1, "of": ["Käthe"]}'
    assert report["headers"] == {"Walnats-Trace": "t-1", "Shop": "Käthe's"}
    assert report["traceback"] == "Traceback (most recent call last):\n  ..."
    assert report["emitted_at"] == "2026-01-01T12:00:00.123456+00:00"


def test_a_letter_that_obeys_nobody(desk: Desk, tmp_path: Path) -> None:
    evil = "\x1b[2J[bold]\r\x07"
    desk.write(
        a_letter(
            error=evil, error_type="E", traceback=evil, headers={"a": "[red]"}, payload=b"\x1b[2J"
        )
    )
    for words in (["list"], ["show", "1"]):
        code, shown = desk.run(*words, "--json", str(tmp_path / "report"))
        assert code == 0
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\\x1b[2J[bold]" in shown
        assert ("a: [red]" in shown) is (words == ["show", "1"])
    assert json.loads((tmp_path / "report").read_text())["payload_base64"] == "G1sySg=="


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"", ""),
        (b"17", "17"),
        (b'{"a":1}', '{\n  "a": 1\n}'),
        (b"not {json\nat all", "not {json\nat all"),
        (b"[" * 100_000, "[" * 100_000),
        (
            b"\x00\x01text\xff",
            "00000000  00 01 74 65 78 74 ff                             ..text.",
        ),
    ],
    ids=["empty", "number", "json", "text", "deep", "bytes"],
)
def test_a_payload_in_words(payload: bytes, shown: str) -> None:
    assert payload_in_words(payload) == shown


def test_the_beginning_of_many_bytes() -> None:
    *rows, last = payload_in_words(bytes(1000)).splitlines()
    assert len(rows) == 16
    assert last == "... 744 bytes more"


def test_what_a_terminal_would_obey_is_spelt_out() -> None:
    assert visible("a\tb\nc\x1b[31m\x9b\r\x00\u202eü") == "a\tb\nc\\x1b[31m\\x9b\\r\\x00\\u202eü"


@pytest.mark.parametrize("words", [["show", "7"], ["requeue", "7"], ["discard", "7"]])
def test_a_letter_that_is_not_there(desk: Desk, words: list[str]) -> None:
    code, shown = desk.run(*words)
    assert code == 2
    assert "no stream for dead letters yet" in shown
    desk.write(a_letter())
    code, shown = desk.run(*words)
    assert code == 2
    assert "there is no dead letter 7 any more" in shown
    assert len(desk.left()) == 1


# Wrong words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--reason", "tired"], "is not one of"),
        (["--actor", "*"], "wildcard of NATS"),
        (["--event", "a b"], "contains ' '"),
        (["--since", "2026-13-01"], "'2026-13-01' is no time"),
        (["--until", "99999999999w"], "is no time"),
        (["--since", "1h", "--until", "2h"], "must be before until"),
        (["--limit", "0"], "Invalid value for '--limit'"),
    ],
)
def test_filters_of_no_use(desk: Desk, words: list[str], told: str) -> None:
    code, shown = desk.run("list", *words)
    assert code == 2
    assert told in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("words", [["list"], ["show", "1"], ["requeue", "1"], ["discard", "1"]])
def test_no_server(nats_server: NatsServer, backend: str, words: list[str]) -> None:
    nats_server.kill()
    code, shown = Desk(nats_server.url, backend).run(*words)
    assert code == 3
    assert "Traceback" not in shown


def test_a_signal_ends_it(nats_server: NatsServer, tmp_path: Path, backend: str) -> None:
    options = ("--backend", backend, "--server", nats_server.url)
    nats_server.pause()
    try:
        with started(tmp_path, "dead", "list", *options) as command:
            until(lambda: caught(command.process.pid, signal.SIGTERM))
            command.send(signal.SIGTERM)
            assert command.ends() == 128 + signal.SIGTERM
            assert "Traceback" not in command.output
    finally:
        nats_server.resume()


def caught(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [mask] = [line.split()[1] for line in status if line.startswith("SigCgt:")]
    return bool(int(mask, 16) & 1 << number - 1)
