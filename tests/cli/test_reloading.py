"""`run --reload`: a change of the program is loaded, and one that cannot be is not."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.cli._command import report_in, started, until
from tests.cli.conftest import Shop, once
from tests.cli.test_app import invoke

Emit = Callable[[range], None]

OLD = "import shop\nACTORS = shop.ACTORS\n"

NEW = """
import shop

async def ship(number):
    shop.note("shipped", number)

ACTORS = shop.walnats.Actors(
    shop.walnats.Actor("pack", shop.PLACED, shop.pack),
    shop.walnats.Actor("ship", shop.walnats.Event("shop.sent", int), ship),
)
"""


@once("trio")
def test_a_mistake_and_then_a_change(shop: Shop, emit: Emit, nats_url: str, backend: str) -> None:
    """The command is started elsewhere: the program's directory is the one that is watched."""
    (shop.directory / "elsewhere").mkdir()
    program = shop.directory / "program.py"
    program.write_text(OLD)
    report = shop.directory / "report.json"
    with started(
        shop.directory / "elsewhere", "run", "program:ACTORS", "--reload", "--app-dir", "..",
        "--shutdown-timeout=20", "--backend", backend, "--json", str(report),
        NATS_SERVER=nats_url,
    ) as command:  # fmt: skip
        command.says(": ready")
        [old] = report_in(report, "running")["workers"]
        program.write_text(f"{OLD}def broken(:\n")
        command.says("program.py changed: loading the program anew")
        command.says("program.py:3: invalid syntax")
        command.says("the new version cannot be used: the old version goes on")
        emit(range(1))
        shop.until_started(1)
        assert shop.pids() == {old}

        program.write_text(NEW)
        command.says(f"worker 1 ({old}): SIGTERM: taking no more events")
        emit(range(1, 2))
        # Two versions never run at once: the new one waits for the end of the old one's jobs.
        assert command.output.count(": ready") == 1
        assert shop.noted("start") == [0]
        shop.let_go()
        until(lambda: sorted(shop.noted("done")) == [0, 1], lambda: command.output)
        until(lambda: report_in(report, "running")["reloaded"] == 1)
        [new] = report_in(report, "running")["workers"]
        assert shop.pids() == {old, new}
        command.send(signal.SIGTERM)
        assert command.ends() == 0, command.output
        assert command.left_behind() == []
    ended = report_in(report, "ended")
    assert (ended["reloaded"], ended["restarted"]) == (1, 0)
    # What the new version declares is registered.
    assert {each["actor"] for each in ended["summary"]["actors"]} == {"pack", "ship"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reload", "--burst"], "--reload and --burst contradict each other"),
        (["--reload-dir=."], "--reload-dir is given without --reload"),
    ],
)
def test_options_that_do_not_fit(words: list[str], said: str) -> None:
    code, shown = invoke("run", "json:loads", *words)
    assert code == 2
    assert said in shown


@pytest.mark.parametrize(
    ("option", "library", "extra"),
    [("--reload", "watchfiles", "reload"), ("--health-port=0", "h11", "health")],
)
def test_a_library_that_is_not_installed(
    option: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("_reloading", "_health._options"):
        monkeypatch.setattr(f"walnats_anyio.cli.{module}.find_spec", lambda _: None)
    code, shown = invoke("run", "json:loads", option)
    assert code == 2
    assert f"needs {library}, which is not installed" in shown
    assert f"pip install 'walnats-anyio[{extra}]'" in shown
