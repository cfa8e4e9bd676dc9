"""`walnats-anyio cancel`, on a real server."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from walnats_anyio.cli._app import app

PLACED = walnats.Event("shop.placed", int)
EVENTS = walnats.Events(PLACED)
ACTORS = walnats.Actors(walnats.Actor("pack", PLACED, print))


async def place(url: str, *numbers: int) -> None:
    async with EVENTS.connect(url) as events, ACTORS.connect(events) as actors:
        await events.register()
        await actors.register()
        for number in numbers:
            await events.emit(PLACED, number, uid=f"order-{number}", sync=True)


def run(url: str, backend: str, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(
        app,
        ["cancel", *words, "--server", url, "--backend", backend],
        env={"COLUMNS": "80", "TERM": "dumb"},
    )
    return result.exit_code, result.output


def test_what_waits_is_deleted(nats_url: str, backend: str, tmp_path: Path) -> None:
    anyio.run(partial(place, nats_url, 1, 2))
    report = tmp_path / "report"
    code, shown = run(nats_url, backend, "shop.placed", "order-1", "--json", str(report))
    which = "event 'shop.placed', uid 'order-1'"
    said = f"cancelled: {which}: it was waiting, and is deleted from its stream\n"
    assert (code, shown) == (0, said)
    assert json.loads(report.read_text()) == {
        "event": "shop.placed", "uid": "order-1", "sequence": None, "was": "waiting",
    }  # fmt: skip
    code, shown = run(nats_url, backend, "shop.placed", "--sequence", "2")
    assert (code, "number 2: it was waiting" in shown) == (0, True)
    code, shown = run(nats_url, backend, "shop.placed", "order-1")
    assert (code, "there is no event 'shop.placed' with uid 'order-1'" in shown) == (2, True)


@pytest.mark.parametrize(
    "words", [["shop.placed"], ["shop.placed", "a", "--sequence", "1"], ["a b", "c"]]
)
def test_a_command_that_is_wrong(nats_url: str, backend: str, words: list[str]) -> None:
    assert run(nats_url, backend, *words)[0] == 2
