"""The settings on the page about deployment fit the command, and each other."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from walnats_anyio.cli._app import app
from walnats_anyio.cli._signals import LAST_RESORT

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "deployment.md").read_text()

COMMANDS = [
    shlex.split(line.partition("walnats-anyio ")[2])
    for line in PAGE.splitlines()
    if line.startswith(("ExecStart=", "command="))
] + [json.loads(line)[1:] for line in re.findall(r"^CMD (\[.*\])$", PAGE, re.MULTILINE)]

SETTINGS = (
    "TimeoutStopSec=", "stopwaitsecs=", "- `docker stop -t ", "  terminationGracePeriodSeconds: "
)  # fmt: skip
GRACE = re.findall(rf"^(?:{'|'.join(SETTINGS)})(\d+)", PAGE, re.MULTILINE)


def test_the_page_has_a_command_and_a_grace_for_every_manager() -> None:
    assert len(COMMANDS) == 3
    assert len(GRACE) == 4


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_command_is_one(words: list[str]) -> None:
    name, *options = words
    command = typer.main.get_group(app).commands[name]
    with command.make_context(name, options) as context:
        timeout = context.params["shutdown_timeout"]
    for seconds in GRACE:
        assert int(seconds) > timeout + LAST_RESORT
