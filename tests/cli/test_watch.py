"""`walnats-anyio top`, `status` and `prune`, on a real server with actors that really run."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.cli._command import started, until
from walnats_anyio._link import Link, api, open_link, stream_names
from walnats_anyio.cli._app import app
from walnats_anyio.cli._watch._view import in_units

PLACED = walnats.Event("shop.placed", int)
PAID = walnats.Event("shop.paid", int)


async def reject(number: int) -> None:
    raise walnats.Reject(f"no {number}")


PACK = walnats.Actor("pack", PLACED, print)
SEND = walnats.Actor("send", PLACED, reject)
BOOK = walnats.Actor("book", PAID, print)

DECLARED = """
import walnats_anyio as walnats

PLACED = walnats.Event("shop.placed", int)
PAID = walnats.Event("shop.paid", int)
PACK = walnats.Actor("pack", PLACED, print)
ACTORS = walnats.Actors(PACK)
EVENTS = walnats.Events(PLACED, PAID)
NUMBER = 3
"""


class Post:
    """The commands on a server of their own."""

    def __init__(self, url: str, backend: str) -> None:
        self.url = url
        self._backend = backend

    def run(self, *words: str, columns: int = 80) -> tuple[int, str]:
        """Run `walnats-anyio WORDS`; gives the exit code and all it printed."""
        result = CliRunner().invoke(
            app,
            [*words, "--server", self.url, "--backend", self._backend],
            env={"COLUMNS": str(columns), "TERM": "dumb"},
        )
        return result.exit_code, result.output

    def register(self, *actors: walnats.Actor[Any, Any], **options: Any) -> None:
        anyio.run(partial(register, self.url, *actors, **options))

    def emit(self, event: walnats.Event[int], count: int) -> None:
        anyio.run(emit, self.url, event, count)

    def work(self, *actors: walnats.Actor[Any, Any]) -> None:
        """Handle what waits."""
        anyio.run(work, self.url, *actors)

    def do(self, act: Callable[[Link], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            async with open_link(self.url) as link:
                return await act(link)

        return anyio.run(connected)

    def report(self, *words: str) -> dict[str, Any]:
        """The report that a command writes with `--json`."""
        found = CliRunner().invoke(
            app, [*words, "--server", self.url, "--backend", self._backend, "--json", "-"]
        )
        return dict(json.loads(found.stdout))


async def register(url: str, *actors: walnats.Actor[Any, Any], **options: Any) -> None:
    events = walnats.Events(*dict.fromkeys(actor.event for actor in actors))
    async with (
        events.connect(url, **options) as emitting,
        walnats.Actors(*actors).connect(url, **options) as conn,
    ):
        await emitting.register()
        await conn.register()


async def emit(url: str, event: walnats.Event[int], count: int) -> None:
    async with walnats.Events(event).connect(url) as events:
        await events.emit_many(event, range(count))


async def work(url: str, *actors: walnats.Actor[Any, Any]) -> None:
    async with walnats.Actors(*actors).connect(url) as conn:
        await conn.listen(burst=True, poll_delay=0.1)


@pytest.fixture
def post(nats_url: str) -> Post:
    # What differs between the loops is tested by `test_both_loops`.
    return Post(nats_url, "asyncio")


def test_both_loops(nats_url: str, backend: str) -> None:
    post = Post(nats_url, backend)
    post.register(PACK)
    for command in (["status"], ["top", "--looks", "1"]):
        code, shown = post.run(*command)
        assert code == 0
        assert "shop.placed" in shown


# status


def test_how_the_actors_are(post: Post) -> None:
    post.register(PACK, SEND, BOOK)
    post.emit(PLACED, 3)
    post.work(SEND)
    code, shown = post.run("status", columns=64)
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].split() == ["actor", "event", "waiting", "held", "oldest", "dead"]
    assert lines[1].split() == ["book", "shop.paid", "0", "0", "0"]
    assert lines[2].split()[:4] == ["pack", "shop.placed", "3", "0"]
    assert lines[2].endswith("nobody listens")
    assert lines[3].split() == ["send", "shop.placed", "0", "0", "3"]
    assert max(map(len, lines)) <= 64
    wide = post.run("status", columns=120)[1].splitlines()[0]
    assert wide.split()[2:6] == ["waiting", "held", "redelivered", "requests"]


def test_for_a_program(post: Post) -> None:
    post.register(PACK, SEND)
    post.emit(PLACED, 2)
    post.run("pause", "send", "--for", "10m")
    report = post.report("status")
    assert not report["well"]
    pack, send = report["actors"]
    assert 0 <= pack.pop("oldest") < 60
    assert pack == {
        "actor": "pack",
        "event": "shop.placed",
        "stream": "shop-placed",
        "waiting": 2,
        "held": 0,
        "redelivered": 0,
        "requests": 0,
        "done": 0,
        "dead_letters": 0,
        "paused_for": None,
        "problems": ["2 events wait, and no process listens"],
    }
    assert 590 < send["paused_for"] <= 600
    assert send["problems"] == []


def test_a_probe(post: Post) -> None:
    post.register(PACK, SEND)
    assert post.run("status", "--check")[0] == 0
    post.emit(PLACED, 3)
    code, shown = post.run("status", "--check")
    assert code == 1
    assert "not well: pack (shop.placed): 3 events wait, and no process listens" in shown
    assert post.run("status", "--check", "--actor", "pack")[0] == 1
    post.work(PACK, SEND)
    assert post.run("status", "--check")[0] == 0
    code, shown = post.run("status", "--check", "--max-dead", "2")
    assert code == 1
    assert "not well: send (shop.placed): 3 dead letters, more than 2" in shown
    assert post.run("status", "--check", "--max-dead", "3", "--max-age", "1s")[0] == 0


def test_limits_of_a_probe(post: Post) -> None:
    post.register(PACK)
    post.emit(PLACED, 3)
    until(lambda: post.report("status")["actors"][0]["oldest"] > 0.05)
    code, shown = post.run("status", "--check", "--max-waiting", "2", "--max-age", "0.01s")
    assert code == 1
    assert "3 events wait, more than 2; an event is 0." in shown
    assert " s old, more than 0.0 s" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-dead", "3"], "error: --max-waiting, --max-age and --max-dead say what --check"),
        (["--check", "--max-age", "soon"], "error: --max-age 'soon' is no time\nhint: give a"),
        (["--actor", "nobody"], "error: there is no actor 'nobody' on the server\nhint: the name"),
    ],
)
def test_what_makes_no_sense(post: Post, words: list[str], said: str) -> None:
    post.register(PACK)
    code, shown = post.run("status", *words)
    assert code == 2
    assert said in shown


def test_nothing_of_ours(post: Post) -> None:
    code, shown = post.run("status", "--check")
    titles = ["actor", "event", "waiting", "held", "redelivered", "requests", "oldest", "dead"]
    assert (code, shown.split()) == (0, titles)


def test_what_others_have_on_the_server(post: Post) -> None:
    async def make(link: Link) -> None:
        for name, more in (
            ("log", {}),
            ("two", {"retention": "interest", "subjects": ["two.a", "two.b"]}),
            ("other", {"retention": "interest", "subjects": ["by.another.name"]}),
        ):
            await api(link, f"STREAM.CREATE.{name}", {"name": name, "subjects": [name], **more})
            await api(
                link,
                f"CONSUMER.CREATE.{name}.c",
                {"stream_name": name, "config": {"durable_name": "c", "ack_policy": "explicit"}},
            )

    post.do(make)
    assert post.report("status")["actors"] == []


def test_a_namespace_alone(post: Post) -> None:
    post.register(PACK, namespace="north")
    assert post.report("status", "--namespace", "south")["actors"] == []
    [found] = post.report("status", "--namespace", "north")["actors"]
    assert (found["actor"], found["event"]) == ("pack", "shop.placed")
    assert found["stream"] == "north-shop-placed"


# top


def test_looks_one_after_the_other(post: Post, tmp_path: Path) -> None:
    post.register(PACK)
    report = tmp_path / "report"
    words = ("top", "--looks", "2", "--interval", "0.2", "--json", str(report))
    code, shown = post.run(*words, columns=55)
    assert code == 0
    lines = [line for line in shown.splitlines() if line]
    assert lines[0] == "1 actor, 0 waiting, 0 held, 0 jobs/s"
    columns = ["actor", "event", "waiting", "held", "jobs/s", "oldest", "dead"]
    assert lines[1].split() == lines[4].split() == columns
    assert lines[2].split() == ["pack", "shop.placed", "0", "0", "-", "0"]
    assert lines[5].split() == ["pack", "shop.placed", "0", "0", "0", "0"]
    [told] = json.loads(report.read_text())["actors"]
    assert told["jobs_per_second"] == 0.0


def test_jobs_a_second(post: Post, tmp_path: Path) -> None:
    async def handle(number: int) -> None:
        await anyio.sleep(0.02)

    async def look_while_working() -> str:
        shown = ""
        words = ("top", "--server", post.url, "--looks", "3", "--interval", "0.3")
        async with (
            walnats.Events(PLACED).connect(post.url) as events,
            walnats.Actors(walnats.Actor("pack", PLACED, handle)).connect(post.url) as conn,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(conn.listen)
            await events.emit_many(PLACED, range(3000))
            with started(tmp_path, *words) as command:
                assert await anyio.to_thread.run_sync(command.ends) == 0
                shown = command.output
            conn.shutdown()
        return shown

    post.register(PACK)
    lines = anyio.run(look_while_working).splitlines()
    [_, second, third] = [line.split() for line in lines if line.startswith("pack")]
    rates = [float(line[6].replace(",", "")) for line in (second, third)]
    assert all(50 < rate < 1000 for rate in rates), lines


def test_until_ctrl_c(post: Post, tmp_path: Path) -> None:
    post.register(PACK)
    words = ("top", "--server", post.url, "--interval", "0.2")
    with started(tmp_path, *words) as command:
        until(lambda: command.output.count("pack") >= 2, lambda: command.output)
        command.send(signal.SIGINT)
        assert command.ends() == 0, command.output
    assert "error" not in command.output


def test_in_a_terminal(post: Post, tmp_path: Path) -> None:
    post.register(PACK)
    words = ("top", "--server", post.url, "--interval", "0.2")
    with started(tmp_path, *words, terminal=True, COLUMNS="80") as command:
        until(lambda: command.output.count("pack") >= 2, lambda: command.output)
        command.press(b"\x03")
        assert command.ends() == 0, command.output
        # The alternate screen is left as it was entered.
        assert command.output.count("\x1b[?1049h") == command.output.count("\x1b[?1049l") == 1


# prune


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a module that declares PACK, and the events."""
    name = f"declared_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(DECLARED)
    monkeypatch.chdir(tmp_path)
    return name


def test_what_nobody_declares(post: Post, declared: str, tmp_path: Path) -> None:
    post.register(PACK, SEND, BOOK)
    post.emit(PLACED, 3)
    report = tmp_path / "report"
    code, shown = post.run("prune", f"{declared}:ACTORS", "--json", str(report))
    assert code == 0
    lines = [line.split() for line in shown.splitlines()]
    assert lines == [
        ["declared", "nowhere", "name", "event", "events", "that", "go", "with", "it"],
        ["actor", "book", "shop.paid", "0"],
        ["actor", "send", "shop.placed", "3"],
        ["event", "shop.paid", "shop.paid", "0"],
    ]
    told = json.loads(report.read_text())
    assert [each["name"] for each in told["found"]] == ["book", "send", "shop.paid"]
    assert told["deleted"] == told["failed"] == []
    assert len(post.report("status")["actors"]) == 3


def test_it_is_deleted_when_told_to(post: Post, declared: str) -> None:
    post.register(PACK, SEND, BOOK)
    post.emit(PLACED, 3)
    code, shown = post.run("prune", f"{declared}:ACTORS", "--delete", "--yes")
    assert code == 0
    assert shown.splitlines()[-1] == "3 deleted"
    [left] = post.report("status")["actors"]
    assert (left["actor"], left["waiting"]) == ("pack", 3)
    assert "shop-paid" not in post.do(stream_names)
    code, shown = post.run("prune", f"{declared}:ACTORS", "--delete")
    assert (code, shown) == (0, "everything on the server is declared\n")


def test_it_is_not_deleted_without_a_question(post: Post, declared: str) -> None:
    post.register(PACK, SEND)
    code, shown = post.run("prune", f"{declared}:ACTORS", "--delete")
    assert code == 2
    assert "error: --delete asks before it deletes, and there is no terminal" in shown
    assert len(post.report("status")["actors"]) == 2


def test_events_that_are_declared_without_actors(post: Post, declared: str) -> None:
    post.register(PACK, BOOK)
    found = post.report("prune", f"{declared}:PACK", f"{declared}:EVENTS")["found"]
    assert [each["name"] for each in found] == ["book"]


def test_what_is_not_ours_stays(post: Post, declared: str) -> None:
    async def make(link: Link) -> None:
        interest = {"name": "theirs", "subjects": ["theirs"], "retention": "interest"}
        await api(link, "STREAM.CREATE.theirs", interest)
        for stream in ("theirs", "shop-placed"):
            config = {"durable_name": "by-hand", "ack_policy": "explicit"}
            body = {"stream_name": stream, "config": config}
            await api(link, f"CONSUMER.CREATE.{stream}.by-hand", body)

    post.register(PACK)
    post.do(make)
    assert post.report("prune", f"{declared}:ACTORS")["found"] == []
    found = post.report("prune", f"{declared}:ACTORS", "--all")["found"]
    assert sorted((each["what"], each["name"]) for each in found) == [
        ("actor", "by-hand"),
        ("actor", "by-hand"),
        ("event", "theirs"),
    ]


def test_what_declares_nothing(post: Post, declared: str) -> None:
    code, shown = post.run("prune", f"{declared}:NUMBER")
    assert code == 2
    assert (
        f"error: {declared}:NUMBER holds no actors, no events and no clocks, but int\nhint: name"
        in shown
    )


# how it looks


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (90, "1.5 m"), (7200, "2.0 h"),
     (86400 * 400, "400 d")],
)  # fmt: skip
def test_times(seconds: float, said: str) -> None:
    assert in_units(seconds) == said
