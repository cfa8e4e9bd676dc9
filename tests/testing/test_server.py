"""`NatsServer`: what can be done with a running server, on both event loops and on none."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.testing._jetstream import (
    DEADLINE,
    ask,
    count_messages,
    make_stream,
    read_info,
    read_page,
)
from tests.testing._left_behind import state_of
from walnats_anyio.testing import NatsServer, NatsServerError

pytestmark = pytest.mark.anyio


async def test_jetstream_works_as_soon_as_the_context_is_entered() -> None:
    async with NatsServer() as server:
        answer = await make_stream(server, "ready")
        assert answer["config"]["name"] == "ready"


async def test_it_tells_where_and_what_it_is() -> None:
    async with NatsServer(server_name="tester") as server:
        info = await read_info(server)
        assert server.url == f"nats://127.0.0.1:{server.port}"
        assert (info["server_name"], info["port"]) == (server.server_name, server.port)
        assert state_of(server.pid) is not None
        assert server.running
        assert server.http_port is None
        assert server.store_dir.is_dir()
        assert "Server is ready" in server.logs
    assert "Server Exiting" in server.logs
    assert not server.running


async def test_servers_do_not_meet() -> None:
    async with NatsServer() as one, NatsServer() as other:
        await make_stream(one, "mine")
        assert await count_messages(one, "mine") == 0
        assert await count_messages(other, "mine") == -1


async def test_restart_keeps_ports_and_data() -> None:
    async with NatsServer(http_port=0) as server:
        await make_stream(server, "kept")
        await ask(server, "kept", "a message")
        before = (server.url, server.http_port, server.pid)
        await server.restart()
        assert (server.url, server.http_port) == before[:2]
        assert server.pid != before[2]
        assert await count_messages(server, "kept") == 1


async def test_a_killed_server_comes_back_with_its_data() -> None:
    async with NatsServer() as server:
        await make_stream(server, "kept")
        await ask(server, "kept", "a message")
        pid = server.pid
        server.kill()
        assert state_of(pid) is None
        assert not server.running
        with pytest.raises(OSError, match=r"refused|attempts failed"):
            await anyio.connect_tcp("127.0.0.1", server.port)
        await server.start()
        assert await count_messages(server, "kept") == 1
        server.kill()
        await server.restart()
        assert await count_messages(server, "kept") == 1


async def test_a_stopped_server_comes_back_with_its_data() -> None:
    async with NatsServer() as server:
        await make_stream(server, "kept")
        await server.stop()
        assert not server.running
        await server.stop()
        await server.start()
        pid = server.pid
        await server.start()
        assert server.pid == pid
        assert await count_messages(server, "kept") == 0


async def test_a_server_that_died_by_itself_comes_back() -> None:
    async with NatsServer() as server:
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(DEADLINE):
            while server.running:
                await anyio.sleep(0.001)
        await server.start()
        await read_info(server)


async def test_a_paused_server_takes_connections_and_says_nothing_until_it_is_resumed() -> None:
    async with NatsServer() as server:
        server.pause()
        assert state_of(server.pid) == "T"
        assert server.running
        async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
            reader = BufferedByteReceiveStream(connection)
            with anyio.move_on_after(0.1) as silence:
                await reader.receive_until(b"\r\n", 65536)
            assert silence.cancelled_caught
            server.resume()
            with anyio.fail_after(DEADLINE):
                assert (await reader.receive_until(b"\r\n", 65536)).startswith(b"INFO ")


async def test_a_paused_server_can_be_restarted_and_left() -> None:
    async with NatsServer(stop_timeout=DEADLINE) as server:
        server.pause()
        with anyio.fail_after(DEADLINE / 2):
            await server.restart()
        await read_info(server)
        server.pause()


async def test_its_port_belongs_to_nobody_else_while_it_is_down() -> None:
    async with NatsServer() as server:
        server.kill()
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", server.port))
        await server.start()


async def test_ctrl_c_does_not_reach_it() -> None:
    async with NatsServer() as server:
        assert os.getpgid(server.pid) != os.getpgid(0)


async def test_a_port_can_be_given() -> None:
    async with NatsServer() as server:
        port = server.port
    async with NatsServer(port=port) as server:
        assert server.port == port
        assert (await read_info(server))["port"] == port


async def test_storage_that_is_given_stays(tmp_path: Path) -> None:
    store_dir = tmp_path / "store"
    async with NatsServer(store_dir=store_dir) as server:
        assert server.store_dir == store_dir
        await make_stream(server, "kept")
    async with NatsServer(store_dir=str(store_dir)) as server:
        assert await count_messages(server, "kept") == 0
    assert store_dir.is_dir()


async def test_monitoring() -> None:
    async with NatsServer(http_port=0) as server:
        assert (await read_page(server, "/varz"))["port"] == server.port
        await server.restart()
        assert (await read_page(server, "/varz"))["port"] == server.port


@pytest.mark.parametrize(
    "config", [{"max_payload": 4096}, "max_payload: 4KB"], ids=["dict", "text"]
)
async def test_configuration_as_a_dict_or_as_text(config: dict[str, object] | str) -> None:
    async with NatsServer(config=config) as server:
        assert (await read_info(server))["max_payload"] == 4096


async def test_configuration_of_jetstream_leaves_the_storage_alone() -> None:
    config = {"jetstream": {"sync_interval": "always", "max_file": 1048576}}
    async with NatsServer(http_port=0, config=config) as server:
        jetstream = (await read_page(server, "/jsz"))["config"]
        assert jetstream["sync_always"]
        assert jetstream["max_storage"] == 1048576
        assert Path(jetstream["store_dir"]).is_relative_to(server.store_dir)


async def test_passwords_and_accounts() -> None:
    users = [{"user": "us\u00e9r", "password": 'p"a$s\\s'}]
    config = {"accounts": {"A": {"jetstream": "enabled", "users": users}}}
    async with NatsServer(config=config) as server:
        assert (await read_info(server))["auth_required"]
        with pytest.raises(PermissionError):
            await ask(server, "$JS.API.INFO", user="us\u00e9r", **{"pass": "wrong"})
        account = await ask(server, "$JS.API.INFO", user="us\u00e9r", **{"pass": 'p"a$s\\s'})
        assert account["streams"] == 0


async def test_a_server_that_speaks_only_tls() -> None:
    async with NatsServer(config={"tls": {"handshake_first": True}}) as server:
        await server.restart()
        assert "TLS required" in server.logs


async def test_a_context_is_entered_once_at_a_time_and_again_afterwards() -> None:
    server = NatsServer()
    for use in (server.start, server.stop, server.restart):
        with pytest.raises(NatsServerError, match="not entered"):
            await use()
    with pytest.raises(NatsServerError, match="enter"):
        _ = server.url
    async with server:
        await make_stream(server, "first")
        with pytest.raises(NatsServerError, match="entered already"):
            await server.__aenter__()
        assert await count_messages(server, "first") == 0
    with pytest.raises(NatsServerError, match="left"):
        server.kill()
    async with server:
        assert await count_messages(server, "first") == -1


async def test_what_needs_a_process_says_that_there_is_none() -> None:
    async with NatsServer() as server:
        server.kill()
        server.kill()
        for use in (server.pause, server.resume, lambda: server.pid):
            with pytest.raises(NatsServerError, match="not running"):
                use()


def test_without_an_event_loop() -> None:
    with NatsServer() as server:
        pid = server.pid
        server.restart_blocking()
        assert server.pid != pid
        server.stop_blocking()
        assert not server.running
        server.start_blocking()
        assert server.running
        server.pause()
    assert "Server is ready" in server.logs
