"""`walnats-anyio server`."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

import walnats_anyio as walnats
from tests.cli._command import started, until
from walnats_anyio.cli._app import app
from walnats_anyio.testing import NatsServer

PLACED = walnats.Event("shop.placed", int)
EVENTS = walnats.Events(PLACED)
ACTORS = walnats.Actors(walnats.Actor("count", PLACED, lambda _: None))


def told(directory: Path) -> dict[str, Any]:
    """What the server says in its report."""
    file = directory / "server.json"
    until(file.exists)
    report: dict[str, Any] = json.loads(file.read_text())
    return report


async def emit(url: str, count: int) -> None:
    async with EVENTS.connect(url) as events, ACTORS.connect(url) as actors:
        await events.register()
        await actors.register()
        await events.emit_many(PLACED, range(count))


async def handle_what_is_there(url: str) -> int:
    handled: list[int] = []
    actors = walnats.Actors(walnats.Actor("count", PLACED, handled.append))
    async with actors.connect(url) as connected:
        await connected.listen(burst=True)
    return len(handled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_a_signal_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "server", "--port=0", "--json=server.json") as command:
        command.says("stop it with Ctrl-C")
        report = told(tmp_path)
        assert f"NATS server with JetStream: {report['url']}" in command.output
        assert f"export NATS_SERVER={report['url']}" in command.output
        anyio.run(emit, report["url"], 3)
        command.send(number)
        assert command.ends() == 0
        assert f"{number.name}: the server is stopped" in command.output
        assert command.left_behind() == []
        assert not Path(report["store_dir"]).exists()


def test_a_directory_keeps_the_streams(tmp_path: Path) -> None:
    words = ("server", "--port=0", "--json=server.json", "--store-dir=store")
    for restarted in (False, True):
        (tmp_path / "server.json").unlink(missing_ok=True)
        with started(tmp_path, *words) as command:
            command.says("stop it with Ctrl-C")
            assert str(tmp_path / "store") in command.output
            url = told(tmp_path)["url"]
            if restarted:
                assert anyio.run(handle_what_is_there, url) == 3
            else:
                anyio.run(emit, url, 3)
            command.send(signal.SIGTERM)
            assert command.ends() == 0
            assert command.left_behind() == []


def test_the_monitoring_port(tmp_path: Path) -> None:
    words = ("server", "--port=0", "--http-port=0", "--json=server.json")
    with started(tmp_path, *words) as command:
        command.says("monitoring: http://127.0.0.1:")
        port = told(tmp_path)["http_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            assert json.load(answer)["status"] == "ok"


def test_a_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text("authorization { token: s3cret }")
    words = ("server", "--port=0", "--config=nats.conf", "--json=server.json")
    with started(tmp_path, *words) as command:
        command.says("stop it with Ctrl-C")
        port = told(tmp_path)["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            assert b'"auth_required":true' in connection.recv(65536)


def test_a_wrong_configuration_shows_what_the_server_says(tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text("no_such_field: 1")
    with started(tmp_path, "server", "--port=0", "--config=nats.conf") as command:
        assert command.ends() == 1
        assert 'unknown field "no_such_field"' in command.output
        assert "Traceback" not in command.output


def test_a_port_that_is_taken(tmp_path: Path, nats_server: NatsServer) -> None:
    with started(tmp_path, "server", f"--port={nats_server.port}") as command:
        assert command.ends() == 1
        assert f"port {nats_server.port}" in command.output
        assert "hint: a server may be running there already" in command.output
        assert "Traceback" not in command.output
        assert command.left_behind() == []


def test_a_server_that_ends_by_itself(tmp_path: Path) -> None:
    with started(tmp_path, "server", "--port=0", "--json=server.json") as command:
        command.says("stop it with Ctrl-C")
        os.kill(told(tmp_path)["pid"], signal.SIGKILL)
        assert command.ends() == 1
        assert "nats-server ended by itself" in command.output
        assert "Server is ready" in command.output
        assert command.left_behind() == []


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("walnats_anyio.testing._binary.shutil.which", lambda *_, **__: None)
    result = CliRunner().invoke(app, ["server", "--port=0"])
    assert result.exit_code == 1
    assert "pip install 'walnats-anyio[server]'" in result.output
