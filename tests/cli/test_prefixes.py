"""`--domain`, `--js-prefix` and `--namespace` of the commands that connect."""

from __future__ import annotations

import json
from functools import partial

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.cli._command import started
from tests.cli.conftest import Shop
from tests.cli.test_connection import dead_list
from tests.dead_letters._office import a_letter
from walnats_anyio._letters import create_stream, write_letter
from walnats_anyio._link import Prefixes, open_link
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.testing import NatsServer

PLACED = walnats.Event("shop.placed", int)


async def pack(number: int) -> None:
    """Not called here, but in the module of the shop."""


ACTORS = walnats.Actors(walnats.Actor("pack", PLACED, pack))


async def write_letters(url: str, namespace: str | None, count: int) -> None:
    prefixes = Prefixes.of(None, None, namespace)
    async with open_link(url, prefixes=prefixes) as link:
        await create_stream(link, 1)
        for _ in range(count):
            letter = a_letter(event="paid", actor="pack")
            await write_letter(link, letter)


async def emit(url: str, namespace: str | None, *numbers: int) -> None:
    async with walnats.Events(PLACED).connect(url, namespace=namespace) as events:
        await events.register()
        async with ACTORS.connect(url, namespace=namespace) as actors:
            await actors.register()
        await events.emit_many(PLACED, numbers)


def test_letters_of_two_namespaces_are_listed_apart(nats_url: str) -> None:
    for namespace, count in (("north", 1), ("south.eu", 2), (None, 3)):
        anyio.run(write_letters, nats_url, namespace, count)
    at = ("--server", nats_url)
    assert dead_list(*at, "--namespace", "north")[1].endswith("1 dead letter\n")
    assert dead_list(*at, WALNATS_NAMESPACE="south.eu")[1].endswith("2 dead letters\n")
    assert dead_list(*at)[1].endswith("3 dead letters\n")
    assert dead_list(*at, "--namespace", "west") == (0, "no dead letters\n")


def test_letters_of_a_domain() -> None:
    with NatsServer(config={"jetstream": {"domain": "edge"}}) as server:
        anyio.run(write_letters, server.url, None, 1)
        at = ("--server", server.url)
        for where in (("--domain", "edge"), ("--js-prefix", "$JS.edge.API")):
            assert dead_list(*at, *where)[1].endswith("1 dead letter\n")
        assert dead_list(*at, WALNATS_DOMAIN="edge")[0] == 0
        assert dead_list(*at, WALNATS_JS_PREFIX="$JS.API")[0] == 0
        code, shown = dead_list(*at, "--domain", "egde")
        assert code == ExitCode.BROKEN
        assert "'$JS.egde.API'" in shown


@pytest.mark.parametrize(("backend", "workers"), [("asyncio", 1), ("trio", 2)])
def test_actors_run_in_a_namespace(shop: Shop, nats_url: str, backend: str, workers: int) -> None:
    anyio.run(partial(emit, nats_url, None, 1))
    anyio.run(partial(emit, nats_url, "north", 2))
    shop.let_go()
    words = ("run", "shop:ACTORS", f"--workers={workers}", "--backend", backend, "--json", "said")
    with started(
        shop.directory,
        *words,
        "--burst",
        "--poll-delay=0.5",
        "--namespace=north",
        "--server",
        nats_url,
    ) as command:
        assert command.ends() == 0, command.output
    assert shop.noted("done") == [2]
    report = json.loads((shop.directory / "said").read_text())
    assert report["left"] == {"pack": 0}


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (Connection(domain="a", js_prefix="b"), "--domain and --js-prefix both say where"),
        (Connection(domain="a b"), "domain 'a b' contains ' '"),
        (Connection(js_prefix="b."), "js_prefix 'b.' has an empty part"),
        (Connection(namespace="a*"), "namespace 'a\\*' contains '\\*'"),
    ],
)
def test_wrong_values_are_told_as_a_sentence(connection: Connection, said: str) -> None:
    with pytest.raises(Problem, match=said) as raised:
        connection.arguments("me")
    assert raised.value.code is ExitCode.USAGE


def test_they_are_options_of_each_command_that_connects() -> None:
    from walnats_anyio.cli._app import app

    for command in (["run"], ["dead", "list"], ["dead", "requeue"], ["demo"]):
        shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
        for option in ("--domain", "--js-prefix", "--namespace"):
            assert option in shown
