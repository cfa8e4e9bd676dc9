"""`walnats-anyio pause` and `resume`, on a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from walnats_anyio._link import api, open_link
from walnats_anyio.cli._app import app

PLACED = walnats.Event("shop.placed", int)
PAID = walnats.Event("shop.paid", int)
PACK = walnats.Actor("pack", PLACED, print)


async def register(url: str, *actors: walnats.Actor[Any, Any], **options: Any) -> None:
    events = walnats.Events(*dict.fromkeys(actor.event for actor in actors))
    async with (
        events.connect(url, **options) as emitting,
        walnats.Actors(*actors).connect(url, **options) as conn,
    ):
        await emitting.register()
        await conn.register()


async def consumer(url: str, stream: str, name: str) -> dict[str, Any]:
    async with open_link(url) as link:
        return await api(link, f"CONSUMER.INFO.{stream}.{name}")


class Switch:
    def __init__(self, url: str, backend: str) -> None:
        self.url = url
        self._backend = backend

    def run(self, *words: str) -> tuple[int, str]:
        """Run `walnats-anyio WORDS`; gives the exit code and all it printed."""
        result = CliRunner().invoke(
            app,
            [*words, "--server", self.url, "--backend", self._backend],
            env={"COLUMNS": "80", "TERM": "dumb", "TZ": "UTC"},
        )
        return result.exit_code, result.output

    def register(self, *actors: walnats.Actor[Any, Any], **options: Any) -> None:
        anyio.run(partial(register, self.url, *actors, **options))

    def is_paused(self, stream: str = "shop-placed", name: str = "pack") -> bool:
        found = anyio.run(consumer, self.url, stream, name)
        return bool(found.get("paused"))


@pytest.fixture
def switch(nats_url: str, backend: str) -> Switch:
    return Switch(nats_url, backend)


def test_until_it_is_resumed(switch: Switch, tmp_path: Path) -> None:
    switch.register(PACK)
    report = tmp_path / "report"
    code, shown = switch.run("pause", "pack", "--json", str(report))
    assert (code, shown) == (
        0,
        "paused: actor 'pack' of stream 'shop-placed', in all processes, until it is resumed\n",
    )
    told = {"actor": "pack", "stream": "shop-placed", "paused": True, "until": None}
    assert json.loads(report.read_text()) == told
    assert switch.is_paused()
    code, shown = switch.run("resume", "pack", "--json", "-")
    assert code == 0
    assert "resumed: actor 'pack' of stream 'shop-placed'\n" in shown
    assert '"paused": false' in shown


def test_for_some_time(switch: Switch, tmp_path: Path) -> None:
    switch.register(PACK)
    report = tmp_path / "report"
    code, shown = switch.run("pause", "pack", "--for", "10m", "--json", str(report))
    assert code == 0
    assert shown.startswith(
        "paused: actor 'pack' of stream 'shop-placed', in all processes, until 2"
    )
    until = datetime.fromisoformat(json.loads(report.read_text())["until"])
    assert 590 <= (until - datetime.now(UTC)).total_seconds() <= 600
    assert switch.is_paused()


def test_one_of_several(switch: Switch) -> None:
    switch.register(PACK, walnats.Actor("pack", PAID, print))
    code, shown = switch.run("pause", "pack")
    assert code == 2
    assert shown == (
        "error: several streams have an actor 'pack': shop-paid, shop-placed\n"
        "hint: say which event is meant: --event NAME\n"
    )
    code, _ = switch.run("pause", "pack", "--event", "shop.paid")
    assert code == 0
    assert switch.is_paused("shop-paid")
    assert not switch.is_paused("shop-placed")


def test_in_a_namespace(switch: Switch) -> None:
    switch.register(PACK, namespace="north")
    assert switch.run("pause", "pack")[0] == 2
    assert switch.run("pause", "pack", "--namespace", "north")[0] == 0
    assert switch.is_paused("north-shop-placed", "north-pack")


@pytest.mark.parametrize("words", [["nobody"], ["pack", "--event", "shop.paid"]])
def test_what_is_not_there(switch: Switch, words: list[str]) -> None:
    switch.register(PACK)
    code, shown = switch.run("pause", *words)
    assert code == 2
    assert shown.startswith("error: there is no actor ")
    assert "on the server\nhint: the name is that of the declaration" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([""], "actor name '' is empty"),
        (["a b"], "actor name 'a b' contains ' '"),
        (["a.>"], "actor name 'a.>' contains '>'"),
        (["pack", "--event", "a b"], "event name 'a b' contains ' '"),
    ],
)
def test_no_name(switch: Switch, words: list[str], said: str) -> None:
    """What would break the protocol is not sent."""
    for command in ("pause", "resume"):
        code, shown = switch.run(command, *words)
        assert code == 2
        assert shown.startswith(f"error: {said}")


@pytest.mark.parametrize("time", ["10", "m", "0s", "-1m", "99999999999w", "ten minutes"])
def test_no_time(switch: Switch, time: str) -> None:
    code, shown = switch.run("pause", "pack", "--for", time)
    assert code == 2
    assert f"error: --for '{time}' is no time\nhint: give a number and a unit" in shown
