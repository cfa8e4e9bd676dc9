"""A server that cannot be had: the error says why and what to do, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.processes import children, wait_gone
from tests.support.waiting import DEADLINE
from tests.testing.conftest import SILENT
from walnats_anyio import testing
from walnats_anyio.testing import NatsServer, NatsServerError

pytestmark = pytest.mark.anyio

EXTRA = r"pip install 'walnats-anyio\[server\]'"


async def test_a_bad_configuration_shows_what_the_server_says_of_it() -> None:
    with pytest.raises(NatsServerError, match=r'(?s)exit status 1.*unknown field "no_such_field"'):
        async with NatsServer(config={"no_such_field": 1}):
            pytest.fail("it started")


async def test_storage_that_cannot_be_made_shows_the_log(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(NatsServerError, match=r"(?s)Its log.*directory") as raised:
        async with NatsServer(store_dir=in_the_way / "store"):
            pytest.fail("it started")
    assert "Starting nats-server" in str(raised.value)


async def test_a_port_that_is_taken() -> None:
    async with NatsServer() as server:
        for other in (NatsServer(port=server.port), NatsServer(http_port=server.port)):
            with pytest.raises(NatsServerError, match=f"port {server.port} .*in use"):
                async with other:
                    pytest.fail("it started")


async def test_a_port_taken_between_two_runs_shows_the_log() -> None:
    async with NatsServer() as server:
        server.kill()
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", server.port))
            thief.listen()
            with pytest.raises(NatsServerError, match=r"(?s)Its log.*address already in use"):
                await server.start()
        assert not server.running
        await server.start()


async def test_no_binary_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NatsServerError, match=rf"no-such-program.*{EXTRA}"):
        async with NatsServer(binary="no-such-program"):
            pytest.fail("it started")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(NatsServerError, match=EXTRA):
        async with NatsServer():
            pytest.fail("it started")


async def test_the_binary_is_found_in_an_environment_that_is_not_activated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with NatsServer() as server:
        assert server.running


async def test_the_binary_of_the_environment_comes_before_the_one_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_server: Callable[[str], Path]
) -> None:
    fake_server("echo old").rename(tmp_path / "nats-server")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    async with NatsServer() as server:
        assert server.running


async def test_an_old_server_is_refused_by_its_version(fake_server: Callable[[str], Path]) -> None:
    old = fake_server("echo nats-server: v2.8.4")
    with pytest.raises(NatsServerError, match=rf"(?s)v2\.8\.4.*2\.9 or later.*{EXTRA}"):
        async with NatsServer(binary=old):
            pytest.fail("it started")


@pytest.mark.parametrize("script", ["echo who knows", "exit 3"])
async def test_a_program_without_a_version(fake_server: Callable[[str], Path], script: str) -> None:
    with pytest.raises(NatsServerError, match="does not tell its version"):
        async with NatsServer(binary=fake_server(script)):
            pytest.fail("it started")


async def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF nothing")
    program.chmod(0o755)
    with pytest.raises(NatsServerError, match="cannot be run"):
        async with NatsServer(binary=program):
            pytest.fail("it started")


async def test_a_server_that_is_not_ready_in_time(fake_server: Callable[[str], Path]) -> None:
    with pytest.raises(NatsServerError, match=r"(?s)not ready in time.*0\.5.*waiting"):
        async with NatsServer(binary=fake_server(SILENT), start_timeout=0.5):
            pytest.fail("it started")


def test_a_server_that_does_not_stop_in_time_is_killed() -> None:
    with NatsServer(stop_timeout=0.2) as server:
        # A stopped process does not see SIGTERM; this one stops again when continued.
        stop_it = f"while kill -STOP {server.pid}; do :; done 2>/dev/null"
        with subprocess.Popen(["/bin/sh", "-c", stop_it]):
            server.stop_blocking()
            assert not server.running


async def test_cancelled_while_it_runs_it_leaves_nothing() -> None:
    before = children()
    server = NatsServer()
    with anyio.CancelScope() as scope:
        async with server:
            server.pause()
            scope.cancel()
            await anyio.sleep_forever()
    assert children() == before
    assert "Server Exiting" in server.logs


async def test_cancelled_while_it_is_being_left_it_leaves_nothing() -> None:
    before = children()
    server = NatsServer()
    with anyio.CancelScope() as scope:
        async with server:
            scope.cancel()
    assert children() == before
    assert "Server Exiting" in server.logs


async def test_an_error_inside_goes_through_and_leaves_nothing() -> None:
    async def fail(server: NatsServer) -> None:
        async with server:
            server.kill()
            raise LookupError("the error inside")

    with pytest.raises(LookupError, match="the error inside"):
        await fail(NatsServer())


HARD_DEATH = """
import os, signal
from walnats_anyio.testing import NatsServer
with NatsServer() as server:
    print(server.pid, server.store_dir.parent, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_program_that_is_killed_takes_its_server_with_it(temporary_files: Path) -> None:
    program = subprocess.run(
        [sys.executable, "-c", HARD_DEATH],
        env=os.environ | {"TMPDIR": str(temporary_files)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert program.returncode == -signal.SIGKILL
    pid, directory = program.stdout.split()
    wait_gone(int(pid), Path(directory))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"port": -1}, ValueError, "port is -1"),
        ({"port": 70000}, ValueError, "port is 70000"),
        ({"port": "4222"}, TypeError, "port is '4222'"),
        ({"http_port": -1}, ValueError, "http_port is -1"),
        ({"port": True}, TypeError, "port is True"),
        ({"start_timeout": "1"}, TypeError, "start_timeout must be .* not .*'1'"),
        ({"start_timeout": 0}, ValueError, "start_timeout must be .* not .*0"),
        ({"stop_timeout": -1}, ValueError, "stop_timeout must be .* not .*-1"),
        ({"server_name": "with space"}, ValueError, "server_name is 'with space'"),
        ({"server_name": 1}, TypeError, "server_name is 1"),
        ({"server_name": ""}, ValueError, "server_name is ''"),
        ({"config": 5}, TypeError, "config is 5"),
        ({"config": {"port": 1}}, ValueError, "use the argument port="),
        ({"config": {"jetstream": {"store_dir": "x"}}}, ValueError, "use the argument store_dir="),
        ({"config": {"max_payload": object()}}, TypeError, "max_payload"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NatsServer(**arguments)


def test_its_errors_are_errors_of_walnats() -> None:
    assert "NatsServerError" in testing.__all__
    assert [base.__name__ for base in NatsServerError.__mro__][1] == "WalnatsError"
