"""`walnats-anyio clock`, on a real server."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.cli._command import started
from tests.cli.conftest import once
from walnats_anyio.cli._app import app
from walnats_anyio.cli._clock._target import load_clocks
from walnats_anyio.cli._target import TargetProblem

TIMES = walnats.Event("shop.time", datetime)
REPORT = walnats.Event("report-due", str)
EVENTS = walnats.Events(TIMES, REPORT)

DECLARED = """
from datetime import datetime
import walnats_anyio as walnats

TIMES = walnats.Event("shop.time", datetime)
REPORT = walnats.Event("report-due", str)
EVENTS = walnats.Events(TIMES, REPORT)
OFTEN = walnats.Clock(TIMES, period=0.5)
DAILY = walnats.Clock(REPORT, message="daily", cron="0 7 * * *", tz="Asia/Tokyo", name="daily")
NIGHTLY = walnats.Clock(REPORT, message="nightly", cron="0 3 * * *", name="nightly")
EIGHT = walnats.Clock(REPORT, message="daily", cron="0 8 * * *", tz="Asia/Tokyo", name="daily")
LAST = walnats.Clock(REPORT, message="last", cron="0 7 L * *", name="last")
CLOCKS = [DAILY, NIGHTLY]
print("not a tick")


def made():
    return (DAILY, NIGHTLY)
"""


class Desk:
    """The command on a server, in a directory with a module `clocks`."""

    def __init__(self, url: str, backend: str, module: str, directory: Path) -> None:
        self.url = url
        self.module = module
        self.directory = directory
        self._backend = backend

    def clock(self, *words: str) -> tuple[int, str]:
        """Run `walnats-anyio clock WORDS`; gives the exit code and all it printed."""
        return self.run("clock", *words)

    def run(self, *words: str) -> tuple[int, str]:
        words = tuple(f"{self.module}{word}" if word.startswith(":") else word for word in words)
        result = CliRunner().invoke(
            app,
            [*words, "--server", self.url, "--backend", self._backend],
            env={"COLUMNS": "200", "TERM": "dumb"},
        )
        return result.exit_code, result.output

    def report(self, *words: str) -> dict[str, Any]:
        """What a command writes for a program."""
        file = self.directory / "report"
        code, shown = self.run(*words, "--json", str(file))
        assert code == 0, shown
        told: dict[str, Any] = json.loads(file.read_text())
        return told

    def listed(self) -> list[tuple[str, str, str | None]]:
        """The clocks on the server: event's stream, clock, when the server lets it tick."""
        return [
            (each["stream"], each["clock"], each["cron"])
            for each in self.report("clock", "--list")["clocks"]
        ]


async def register(url: str, **options: Any) -> None:
    async with EVENTS.connect(url, **options) as conn:
        await conn.register()


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a module that declares clocks, in the current directory."""
    name = f"clocks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(DECLARED)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def desk(nats_url: str, backend: str, declared: str, tmp_path: Path) -> Desk:
    anyio.run(partial(register, nats_url))
    return Desk(nats_url, backend, declared, tmp_path)


DAILY = ("report-due", "daily", "0 0 7 * * *")
NIGHTLY = ("report-due", "nightly", "0 0 3 * * *")


def actions(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["name"], each["action"]) for each in report["entries"]]


@once("asyncio")
def test_the_server_keeps_them(desk: Desk) -> None:
    dry = desk.report("clock", ":CLOCKS", "--register", "--dry-run")
    assert (dry["dry_run"], dry["changes"]) == (True, 2)
    assert actions(dry) == [("daily", "create"), ("nightly", "create")]
    assert desk.clock("--list") == (0, "the server knows of no clocks\n")
    code, shown = desk.clock(":made", "--register")
    assert code == 0
    assert "created      clock daily of event report-due: kept by nats-server\n" in shown
    assert desk.listed() == [DAILY, NIGHTLY]
    assert actions(desk.report("clock", ":CLOCKS", "--register")) == [
        ("daily", "keep"),
        ("nightly", "keep"),
    ]


@once("trio")
def test_what_was_declared_otherwise_is_changed(desk: Desk) -> None:
    desk.report("clock", ":DAILY", "--register")
    [entry] = desk.report("clock", ":EIGHT", "--register", "-n")["entries"]
    assert entry["action"] == "update"
    assert entry["changes"] == [
        {"field": "Nats-Schedule", "old": "0 0 7 * * *", "new": "0 0 8 * * *"}
    ]
    assert desk.listed() == [DAILY]
    desk.report("clock", ":EIGHT", "--register")
    assert desk.listed() == [("report-due", "daily", "0 0 8 * * *")]


@once("asyncio")
def test_what_the_server_cannot_keep(desk: Desk) -> None:
    """The others are kept all the same."""
    for dry in (["--dry-run"], []):
        code, shown = desk.clock(":DAILY", ":LAST", "--register", *dry)
        assert code == 2
        assert "no schedules with the last day of a month: emit the ticks" in shown
        assert desk.listed() == ([] if dry else [DAILY])


def test_an_event_that_is_not_registered(nats_url: str, declared: str, tmp_path: Path) -> None:
    desk = Desk(nats_url, "asyncio", declared, tmp_path)
    for dry in (["--dry-run"], []):
        code, shown = desk.clock(":DAILY", "--register", *dry)
        assert code == 1
        assert "there is no stream 'report-due': register the event first" in shown


@once("trio")
def test_they_are_removed(desk: Desk) -> None:
    desk.report("clock", ":CLOCKS", "--register")
    shown = desk.clock(":CLOCKS", "--unregister", "--clock", "daily", "-n")
    assert shown == (0, "clock daily of event report-due: would be removed\n")
    assert desk.listed() == [DAILY, NIGHTLY]
    told = desk.report("clock", ":CLOCKS", "--unregister", "--clock", "daily")
    assert told["clocks"] == [{"event": "report-due", "clock": "daily", "was_kept": True}]
    assert desk.listed() == [NIGHTLY]
    shown = desk.clock(":DAILY", "--unregister")
    assert shown == (0, "clock daily of event report-due: was not kept by nats-server\n")


@once("trio")
def test_it_runs_until_each_has_ticked(desk: Desk) -> None:
    told = desk.report("clock", ":OFTEN", "--burst")
    assert told["clocks"] == [{"event": "shop.time", "clock": "clock", "emitted": 1}]
    [found] = desk.report("clock", "--list")["clocks"]
    assert (found["stream"], found["clock"], found["run_by"]) == ("shop-time", "clock", "programs")
    assert found["emitted"] is True
    code, shown = desk.clock(":OFTEN", "--burst")
    assert code == 0
    assert "running clock (shop.time); Ctrl-C ends it\n" in shown
    [tick] = [line for line in shown.splitlines() if line.endswith("shop.time, clock clock")]
    assert datetime.fromisoformat(tick.split()[0]).microsecond in (0, 500_000)


def test_it_runs_until_it_is_told_to_stop(nats_url: str, declared: str, tmp_path: Path) -> None:
    """What the module prints goes to standard error, here the same file."""
    anyio.run(partial(register, nats_url))
    report = tmp_path / "report"
    words = ("clock", f"{declared}:OFTEN", "--json", str(report))
    with started(tmp_path, *words, WALNATS_SERVER=nats_url) as command:
        command.says("shop.time, clock clock")
        command.send(signal.SIGTERM)
        assert command.ends() == 0, command.output
    [told] = json.loads(report.read_text())["clocks"]
    assert told["emitted"] >= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no clocks are named"),
        ((":CLOCKS", "--list"), "--list shows all clocks on the server"),
        ((":CLOCKS", "--dry-run"), "--dry-run changes nothing"),
        (("--list", "--dry-run"), "--dry-run changes nothing"),
        ((":CLOCKS", "--register", "--unregister"), "do different things"),
        ((":CLOCKS", "--register", "--burst"), "--burst runs clocks, and --register does not"),
        ((":EVENTS",), "holds no clocks, but Events"),
        ((":NONE",), "there is no 'NONE'"),
        ((":CLOCKS", "--clock", "no"), "there is no clock 'no'\nhint: there is daily, nightly"),
        ((":DAILY", ":EIGHT"), "two clocks of event 'report-due' are both named 'daily'"),
    ],
)
def test_a_command_that_is_wrong(declared: str, tmp_path: Path, words: Any, said: str) -> None:
    code, shown = Desk("nats://127.0.0.1:1", "asyncio", declared, tmp_path).clock(*words)
    assert (code, said in shown) == (2, True), shown


def test_the_same_clock_twice_is_one(declared: str) -> None:
    names = [each.name for each in load_clocks([f"{declared}:CLOCKS", f"{declared}:DAILY"])]
    assert names == ["daily", "nightly"]
    with pytest.raises(TargetProblem, match="no clocks, but list"):
        load_clocks([f"{declared}:EVENTS.__class__.mro"])


# prune


def pruned(desk: Desk, *words: str) -> list[tuple[str, str, str]]:
    found = desk.report("prune", *words)["found"]
    return [(each["what"], each["name"], each["event"]) for each in found]


@once("asyncio")
def test_a_clock_that_is_not_declared_any_more(desk: Desk) -> None:
    desk.report("clock", ":CLOCKS", "--register")
    assert pruned(desk, ":EVENTS") == []  # nobody has named clocks
    assert pruned(desk, ":EVENTS", ":CLOCKS") == []
    spare = ("clock", "nightly", "report-due")
    assert pruned(desk, ":EVENTS", ":DAILY") == [spare]
    assert pruned(desk, ":EVENTS", ":DAILY", "--delete", "--yes") == [spare]
    assert desk.listed() == [DAILY]


@once("trio")
def test_a_clock_of_an_event_that_is_not_declared_any_more(desk: Desk) -> None:
    desk.report("clock", ":DAILY", "--register")
    desk.report("clock", ":OFTEN", "--burst")
    found = [("clock", "daily", "report-due"), ("event", "report-due", "report-due")]
    assert pruned(desk, ":TIMES") == found
    assert pruned(desk, ":TIMES", "--delete", "--yes") == found
    assert [name for _, name, _ in desk.listed()] == ["clock"]


@once("asyncio")
def test_in_a_namespace(desk: Desk) -> None:
    anyio.run(partial(register, desk.url, namespace="north"))
    north = ("--namespace", "north")
    desk.report("clock", ":CLOCKS", "--register", *north)
    assert desk.listed() == []
    listed = [each["stream"] for each in desk.report("clock", "--list", *north)["clocks"]]
    assert listed == ["north-report-due", "north-report-due"]
    assert pruned(desk, ":EVENTS", ":CLOCKS", *north) == []
    assert pruned(desk, ":EVENTS", ":DAILY", *north) == [("clock", "nightly", "report-due")]
    told = desk.report("clock", ":DAILY", "--unregister", *north)["clocks"]
    assert [each["was_kept"] for each in told] == [True]
