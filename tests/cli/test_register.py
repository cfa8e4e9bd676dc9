"""`walnats-anyio register`: what it does, what it shows, and what a dry run leaves alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from tests.link._probe import js
from walnats_anyio.cli._app import app
from walnats_anyio.testing import NatsServer

MODULE = """
import walnats_anyio as walnats
from walnats_anyio import Limits

async def handle(number): ...

PLACED = walnats.Event("order.placed", int)
PAID = walnats.Event("order.paid", str)
EVENT = PLACED
EVENTS = walnats.Events(PLACED, PAID)
ACTORS = walnats.Actors(
    walnats.Actor("pack", PLACED, handle), walnats.Actor("file", PAID, handle)
)

LIMITED = walnats.Event("order.placed", int, limits=Limits(messages=10, age=60), dedup_window=30)
CHANGED = walnats.Actor("pack", LIMITED, handle, ack_wait=60)
OTHER_SCHEMA = walnats.Event("order.placed", str)
IN_MEMORY = walnats.Event("order.placed", int, storage="memory")
NEW_AND_WRONG = walnats.Events(IN_MEMORY, walnats.Event("new", int))

def make():
    return EVENTS

NUMBER = 3
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test is in a directory of its own, with a module `orders` of its own."""
    (tmp_path / "orders.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("orders", None)


def register(server: str | NatsServer, *words: str, code: int = 0, columns: int = 80) -> list[str]:
    """Run the command in this process; gives the lines that it printed."""
    url = server if isinstance(server, str) else server.url
    result = CliRunner().invoke(
        app,
        ["register", *words, "--server", url],
        env={"COLUMNS": str(columns), "TERM": "dumb"},
    )
    assert result.exit_code == code, result.output
    return result.output.splitlines()


def names_of_streams(server: NatsServer) -> list[str]:
    answer = anyio.run(js, server, "STREAM.NAMES")
    return sorted(answer["streams"] or ())


def test_from_nothing_to_all_that_is_declared(nats_server: NatsServer, backend: str) -> None:
    words = ("orders:ACTORS", "--backend", backend)
    planned = register(nats_server, *words, "--dry-run")
    assert names_of_streams(nats_server) == []
    assert planned == [
        "create       event order.placed: stream order-placed",
        "create       event order.paid: stream order-paid",
        "create       actor pack: consumer pack of stream order-placed",
        "create       actor file: consumer file of stream order-paid",
        "create       stream walnats-attempts of the library's own",
        "create       stream walnats-dead-letters of the library's own",
        "dry run: 6 create",
    ]
    done = register(nats_server, *words)
    assert done == [
        *(line.replace("create ", "created") for line in planned[:-1]),
        "6 created",
    ]
    again = register(nats_server, *words)
    assert again[-1] == "6 as declared"
    assert {line.split("  ")[0] for line in again[:-1]} == {"as declared"}


def test_events_have_no_consumers(nats_server: NatsServer) -> None:
    for target in ("orders:EVENTS", "orders:make", "orders:EVENT"):
        register(nats_server, target)
    assert names_of_streams(nats_server) == ["order-paid", "order-placed"]


def test_what_changes_is_shown_before_and_after(nats_server: NatsServer, directory: Path) -> None:
    register(nats_server, "orders:ACTORS")
    lines = [
        "event order.placed: stream order-placed",
        "max_age: 0 -> 60 s",
        "max_msgs: -1 -> 10",
        "duplicate_window: 120 s -> 30 s",
        "actor pack: consumer pack of stream order-placed",
        "ack_wait: 16 s -> 60 s",
    ]
    shown = register(nats_server, "orders:CHANGED", "--check", code=1)
    assert [line[13:] for line in shown[:6]] == lines
    # Nothing was changed: it is the same once more.
    assert register(nats_server, "orders:CHANGED", "--check", code=1) == shown
    report = directory / "report.json"
    done = register(nats_server, "orders:CHANGED", "--json", str(report))
    assert [line[13:] for line in done[:6]] == lines
    assert (done[0][:8], done[-1]) == ("updated ", "2 updated, 2 as declared")
    told = json.loads(report.read_text())
    assert (told["dry_run"], told["changes"], told["failed"]) == (False, 2, 0)
    assert told["entries"][0]["changes"][1] == {"field": "max_msgs", "old": -1, "new": 10}
    assert register(nats_server, "orders:CHANGED", "--check")[-1] == "dry run: 4 as declared"


def test_what_fails_is_told_and_the_rest_is_done(nats_server: NatsServer) -> None:
    register(nats_server, "orders:EVENTS")
    for words, first in (("--dry-run",), "would fail"), ((), "failed"):
        shown = register(nats_server, "orders:NEW_AND_WRONG", *words, code=1)
        assert shown[0].split("  ")[0] == first
        assert "storage is 'file', not 'memory'" in " ".join(shown)
    assert "new" in names_of_streams(nats_server)


def test_what_may_not_be_done(nats_server: NatsServer) -> None:
    (missing, _, *errors) = register(nats_server, "orders:EVENT", "--no-create", code=1)
    assert missing.startswith("failed")
    told = "there is no stream 'order-placed': register it with create=True"
    assert errors == [f"error: event 'order.placed': {told}"]
    assert names_of_streams(nats_server) == []
    register(nats_server, "orders:ACTORS")
    for words in (), ("--dry-run",):
        shown = register(nats_server, "orders:CHANGED", "--no-update", *words, code=1)
        assert sum(line.startswith("error:") for line in shown) == 2
    assert register(nats_server, "orders:ACTORS", "--check")[-1] == "dry run: 6 as declared"


def test_of_a_schema_only_that_it_changes(nats_server: NatsServer, directory: Path) -> None:
    register(nats_server, "orders:EVENT")
    report = directory / "report.json"
    shown = register(nats_server, "orders:OTHER_SCHEMA", "--dry-run", "--json", str(report))
    assert shown[1].strip() == "metadata: walnats-anyio.schema"
    assert "warning: this version cannot read all messages" in " ".join(shown)
    (entry,) = json.loads(report.read_text())["entries"]
    schemas = [entry["changes"][0][which]["walnats-anyio.schema"] for which in ("old", "new")]
    assert schemas == ['{"type":"integer"}', '{"type":"string"}']


def test_an_empty_stream_is_made_anew_by_force(nats_server: NatsServer) -> None:
    register(nats_server, "orders:EVENT")
    shown = register(nats_server, "orders:IN_MEMORY", "--force", "--dry-run")
    assert shown[:2] == [
        "make anew    event order.placed: stream order-placed",
        "             storage: 'file' -> 'memory'",
    ]
    register(nats_server, "orders:IN_MEMORY", "--force")
    assert register(nats_server, "orders:IN_MEMORY", "--check")[-1] == "dry run: 1 as declared"


def test_only_some_actors(nats_server: NatsServer) -> None:
    register(nats_server, "orders:ACTORS", "--actor", "file")
    assert "order-placed" not in names_of_streams(nats_server)


def test_what_somebody_else_has_changed_is_shown(nats_server: NatsServer) -> None:
    """Also of the streams of the library's own."""
    register(nats_server, "orders:ACTORS")
    for stream, changes in {
        "order-placed": {"max_msgs_per_subject": 5, "deny_purge": True},
        "walnats-dead-letters": {"max_msgs": 100},
    }.items():
        config = anyio.run(js, nats_server, f"STREAM.INFO.{stream}")["config"] | changes
        assert "error" not in anyio.run(js, nats_server, f"STREAM.UPDATE.{stream}", config)
    shown = register(nats_server, "orders:ACTORS", "--check", columns=200)
    left = [line[28:].partition(" (")[0] for line in shown if "left as it is: " in line]
    # The order is that of the rules, and that of the entries.
    assert left == ["max_msgs_per_subject is 5", "deny_purge is True", "max_msgs is 100"]


READER = """
authorization { users = [
  {user: admin, password: p},
  {user: reader, password: p, permissions: {
    publish: ["$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.*.*"], subscribe: "_INBOX.>"}}
] }
"""


def test_a_dry_run_needs_a_user_who_may_read_and_no_more() -> None:
    """And so it sends nothing that changes anything."""
    with NatsServer(config=READER) as server:
        admin = server.url.replace("//", "//admin:p@")
        reader = server.url.replace("//", "//reader:p@")
        assert register(reader, "orders:ACTORS", "--dry-run")[-1] == "dry run: 6 create"
        register(admin, "orders:ACTORS")
        assert register(reader, "orders:ACTORS", "--check")[-1] == "dry run: 6 as declared"
        shown = register(reader, "orders:CHANGED", "--dry-run")
        assert shown[-1] == "dry run: 2 update, 2 as declared"
        shown = register(reader, "orders:CHANGED", code=1)
        assert "may not publish to '$JS.API.STREAM.UPDATE.order-placed'" in " ".join(shown)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["orders:NUMBER"], "orders:NUMBER holds neither events nor actors, but int"),
        (["orders:handle"], "orders:handle is a coroutine function: make it a plain one"),
        (["orders"], "'orders' does not say where the events or actors are"),
        (["orders:EVENTS", "--actor", "pack"], "--actor chooses among actors"),
        (["orders:ACTORS", "--actor", "nobody"], "there is no actor 'nobody'"),
        (["orders:EVENTS", "--force", "--no-update"], "--no-update forbids it"),
    ],
)
def test_what_makes_no_sense(words: list[str], told: str) -> None:
    assert told in " ".join(register("nats://127.0.0.1:1", *words, code=2))


def test_nobody_to_connect_to() -> None:
    register("nats://127.0.0.1:1", "orders:EVENTS", code=3)


@pytest.mark.parametrize("columns", [40, 80])
def test_lines_fit_the_terminal(nats_server: NatsServer, columns: int) -> None:
    register(nats_server, "orders:ACTORS")
    config = anyio.run(js, nats_server, "STREAM.INFO.order-placed")["config"]
    anyio.run(js, nats_server, "STREAM.UPDATE.order-placed", config | {"allow_rollup_hdrs": True})
    shown = register(nats_server, "orders:CHANGED", columns=columns)
    assert max(map(len, shown)) <= columns
    assert "by a header)" in " ".join(" ".join(shown).split())
