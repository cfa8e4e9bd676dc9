"""`NatsServer`: what can be done with a running server, on both event loops and on none."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.jetstream import ask, count_messages, make_stream, read_info, read_page
from tests.support.processes import state_of
from tests.support.waiting import DEADLINE, until
from walnats_anyio.testing import NatsServer, NatsServerError, held_port

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


async def test_a_server_that_takes_no_client() -> None:
    """Its INFO and its `-ERR` come in one packet."""
    async with NatsServer(config={"max_connections": -1}) as server:
        await server.restart()
        async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
            with anyio.fail_after(DEADLINE):
                said = b"".join([part async for part in connection])
    assert b"maximum connections exceeded" in said


async def test_a_server_without_jetstream() -> None:
    async with NatsServer(jetstream=False) as server:
        assert not (await read_info(server)).get("jetstream")
        await server.restart()
        assert not (await read_info(server)).get("jetstream")


async def test_what_it_calls_itself_and_where_it_logs_are_ours() -> None:
    config = "server_name: other\nlog_file: '/nowhere/log' # no line break after this"
    async with NatsServer(config=config, server_name="größe") as server:
        assert (await read_info(server))["server_name"] == "größe"
        assert "Server is ready" in server.logs


# What its configuration may need


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


async def test_a_websocket_keeps_its_port() -> None:
    with held_port() as port:
        config = {"websocket": {"port": port, "no_tls": True}}
        async with NatsServer(config=config) as server:
            await server.restart()
            async with await anyio.connect_tcp("127.0.0.1", port) as connection:
                with anyio.fail_after(DEADLINE):
                    await connection.send(UPGRADE)
                    assert b"101 Switching Protocols" in await connection.receive()
            server.kill()
            with socket.socket() as thief, pytest.raises(OSError, match="in use"):
                thief.bind(("127.0.0.1", port))
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", port))


async def test_a_leafnode_with_a_domain_of_its_own() -> None:
    with held_port() as port:
        hub = {"leafnodes": {"port": port}, "jetstream": {"domain": "hub"}}
        leaf = {
            "leafnodes": {"remotes": [{"url": f"nats://127.0.0.1:{port}"}]},
            "jetstream": {"domain": "leaf"},
        }
        async with NatsServer(config=hub) as one, NatsServer(config=leaf) as other:
            await make_stream(other, "far")
            answer = await ask(one, "$JS.leaf.API.STREAM.INFO.far")
            assert answer["config"]["name"] == "far"


# Reload, lame duck, monitoring


async def test_reload_changes_the_configuration_and_keeps_the_clients() -> None:
    async with NatsServer(config={"max_payload": 4096}) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
            reader = BufferedByteReceiveStream(connection)
            await reader.receive_until(b"\r\n", 65536)
            await server.reload({"max_payload": 8192})
            assert (await read_info(server))["max_payload"] == 8192
            await connection.send(b'CONNECT {"verbose":false}\r\nPING\r\n')
            with anyio.fail_after(DEADLINE):
                while await reader.receive_until(b"\r\n", 65536) != b"PONG":
                    pass
        await server.restart()
        assert (await read_info(server))["max_payload"] == 8192
        await server.reload("max_payload: 1024")
        assert (await read_info(server))["max_payload"] == 1024


async def test_a_configuration_that_is_refused_changes_nothing() -> None:
    async with NatsServer(config={"max_payload": 4096}) as server:
        for refused, why in (
            ("no_such_field: 1", "unknown field"),
            ("jetstream {domain: x}", "not supported"),
        ):
            with pytest.raises(NatsServerError, match=rf"did not reload(?s:.*){why}"):
                await server.reload(refused)
        with pytest.raises(ValueError, match="use the argument port="):
            await server.reload({"port": 1})
        assert (await read_info(server))["max_payload"] == 4096
        await server.restart()
        assert (await read_info(server))["max_payload"] == 4096


async def test_what_does_not_run_does_not_reload() -> None:
    async with NatsServer() as server:
        server.pause()
        with pytest.raises(NatsServerError, match=r"paused.*resume\(\)"):
            await server.reload()
        server.resume()
        await server.reload()
        server.kill()
        for use in (server.reload_blocking, server.lame_duck):
            with pytest.raises(NatsServerError, match="not running"):
                use()


async def test_a_lame_duck_sends_its_clients_away_and_ends() -> None:
    async with NatsServer() as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
            reader = BufferedByteReceiveStream(connection)
            await reader.receive_until(b"\r\n", 65536)
            await connection.send(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
            await reader.receive_until(b"PONG\r\n", 65536)
            server.lame_duck()
            with anyio.fail_after(DEADLINE):
                while b'"ldm":true' not in await reader.receive_until(b"\r\n", 65536):
                    pass
            assert server.running
        await server.restart()
        assert not (await read_info(server)).get("ldm")
        server.lame_duck()
        await until(lambda: not server.running)
        await server.start()
        await read_info(server)


async def test_the_monitoring_pages() -> None:
    async with NatsServer(http_port=0) as server, NatsServer() as other:
        assert (await server.monitor("/varz"))["port"] == server.port
        assert server.monitor_blocking("/connz?subs=1")["num_connections"] == 0
        with pytest.raises(NatsServerError, match="does not show /no-such-page"):
            await server.monitor("/no-such-page")
        with pytest.raises(ValueError, match="page is 'varz': give a path"):
            await server.monitor("varz")
        with pytest.raises(NatsServerError, match=r"no monitoring port.*http_port=0"):
            await other.monitor("/varz")
        server.kill()
        with pytest.raises(NatsServerError, match=r"does not show /varz.*refused"):
            await server.monitor("/varz")


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with NatsServer(http_port=0) as server:
        assert (await server.monitor("/healthz"))["status"] == "ok"


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
