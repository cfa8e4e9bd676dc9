"""Every option has its effect, seen by the server or by the program."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import anyio
import anyio.abc
import pytest
import trustme

import walnats_anyio as walnats
from tests.link._bare import BadServer, handshake
from tests.link._probe import connections
from tests.link.test_bad_servers import answering
from tests.support.errors import OwnError
from tests.support.leftovers import Leftovers
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import open_link, pub
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT: walnats.Event[int] = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)


@pytest.fixture
def nats_server_options() -> dict[str, Any]:
    return {"http_port": 0}


async def emits(url: Any, **options: Any) -> None:
    """Connect, register and emit: a round trip with everything."""
    async with EVENTS.connect(url, **options) as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)


# Seen by the server


async def test_name_lang_and_inbox_prefix(nats_server: NatsServer) -> None:
    async with open_link(
        nats_server.url, options={"name": "billing", "inbox_prefix": b"_MY.inbox"}
    ) as link:
        await link.request("$JS.API.INFO")
        (client,) = await connections(nats_server)
    assert client["name"] == "billing"
    assert client["lang"] == "python"
    assert all(one.startswith("_MY.inbox.") for one in client["subscriptions_list"])


async def test_the_server_is_told_which_version_connects(nats_server: NatsServer) -> None:
    async with open_link(nats_server.url):
        [connection] = await connections(nats_server)
    assert connection["version"] == walnats.__version__


@pytest.mark.parametrize("no_echo", [False, True])
async def test_no_echo(nats_server: NatsServer, no_echo: bool) -> None:
    got: list[bytes] = []
    async with open_link(nats_server.url, options={"no_echo": no_echo}) as link:
        mailbox = link.subscribe(lambda message: got.append(message.data))
        link.post(pub(mailbox.subject, b"x"))
        await link.flush()
        await link.flush()
    assert got == ([] if no_echo else [b"x"])


@pytest.mark.parametrize("options", [{"verbose": True}, {"pedantic": True}], ids=str)
async def test_what_is_for_debugging(nats_url: str, options: dict[str, Any]) -> None:
    await emits(nats_url, **options)


# As whom


async def test_percent_encoded_names_and_passwords() -> None:
    user, password = "kim:@/?#", "p%40ss wörd/:@"
    config = {"authorization": {"users": [{"user": user, "password": password}]}}
    with NatsServer(config=config) as server:
        place = server.url.removeprefix("nats://")
        await emits(f"nats://{quote(user, safe='')}:{quote(password, safe='')}@{place}")
        await emits(server.url, user=user, password=password)


async def test_functions_that_give_user_and_password() -> None:
    with NatsServer(config="authorization { user: kim, password: kimspw }") as server:
        await emits(server.url, user=lambda: "kim", password=lambda: "kimspw")


async def test_several_urls_in_one_text(nats_server: NatsServer) -> None:
    with NatsServer() as other:
        other.kill()
        servers = f"{other.url},{nats_server.url}"
        await emits(servers, dont_randomize=True)


async def test_ipv6(nats_server: NatsServer) -> None:
    """Through a listener of our own: the server of the tests listens on 127.0.0.1 only."""

    async def forward(near: anyio.abc.SocketStream) -> None:
        far = await anyio.connect_tcp("127.0.0.1", nats_server.port)
        async with near, far, anyio.create_task_group() as both:
            both.start_soon(copy, near, far, both.cancel_scope)
            both.start_soon(copy, far, near, both.cancel_scope)

    async def copy(
        source: anyio.abc.SocketStream, target: anyio.abc.SocketStream, scope: anyio.CancelScope
    ) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await target.send(await source.receive())
        scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="::1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, forward)
        await emits(f"nats://[::1]:{port}")
        tasks.cancel_scope.cancel()


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_files(authority: trustme.CA, directory: Any, *names: str) -> dict[str, Any]:
    proof = authority.issue_cert(*names)
    proof.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    both = str(directory / "server.pem")
    return {"cert_file": both, "key_file": both}


async def test_tls_hostname(authority: trustme.CA, tmp_path: Any) -> None:
    """The certificate is another name's than that of the URL."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with NatsServer(config={"tls": tls_files(authority, tmp_path, "nats.example")}) as server:
        await emits(server.url, tls=context, tls_hostname="nats.example")
        with pytest.raises(walnats.ConnectError, match=r"(?i)certificate"):
            await emits(server.url, tls=context)


async def test_tls_that_the_server_does_not_offer(nats_url: str) -> None:
    for url, options in (
        (nats_url, {"tls": ssl.create_default_context()}),
        (nats_url.replace("nats://", "tls://"), {}),
    ):
        with pytest.raises(walnats.ConnectError, match="does not offer TLS"):
            await emits(url, **options)


# Callbacks


class Told:
    """Callbacks, plain or coroutine functions, and what they were told."""

    def __init__(self, kind: str) -> None:
        self.said: list[str] = []
        self._kind = kind

    def on(self, what: str) -> Callable[..., Any]:
        def plain(*_args: object) -> None:
            self.said.append(what)

        async def coroutine(*_args: object) -> None:
            await anyio.lowlevel.checkpoint()
            self.said.append(what)

        return plain if self._kind == "plain" else coroutine


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_callbacks(nats_server: NatsServer, kind: str) -> None:
    told = Told(kind)
    names = ("disconnected", "reconnected", "closed", "error")
    callbacks: dict[str, Any] = {f"{name}_cb": told.on(name) for name in names}
    async with EVENTS.connect(nats_server.url, reconnect_time_wait=0.05, **callbacks) as conn:
        await conn.register()
        nats_server.kill()
        await until(lambda: "error" in told.said)
        await nats_server.start()
        await conn.emit(EVENT, 1, sync=True)
        await until(lambda: "reconnected" in told.said)
    said = [one for one in told.said if one != "error"]
    assert said == ["disconnected", "reconnected", "disconnected", "closed"]


async def test_a_connection_that_was_lost_is_said_once(nats_server: NatsServer) -> None:
    """Not once more as it is left."""
    said: list[str] = []
    async with EVENTS.connect(nats_server.url, disconnected_cb=lambda: said.append("lost")):
        nats_server.kill()
        await until(lambda: said == ["lost"])
    assert said == ["lost"]


async def test_a_callback_that_raises_is_logged(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise OwnError("in a callback")

    async with EVENTS.connect(nats_server.url, disconnected_cb=broken) as conn:
        await conn.register()
        await nats_server.restart()
        await conn.emit(EVENT, 1, sync=True)
    assert "in a callback" in caplog.text


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_what_ends_a_program_leaves_a_callback_through_connect(
    nats_server: NatsServer, error: type[BaseException], kind: str
) -> None:
    raised = error("mine")

    def plain() -> None:
        raise raised

    async def coroutine() -> None:
        raise raised

    left: list[str] = []

    async def connect() -> None:
        callback = plain if kind == "plain" else coroutine
        async with EVENTS.connect(nats_server.url, disconnected_cb=callback):
            nats_server.kill()
            try:
                await anyio.sleep_forever()
            finally:
                left.append("body")

    leftovers = Leftovers()
    with anyio.fail_after(DEADLINE), pytest.raises(error) as caught:
        await connect()
    assert caught.value is raised
    assert left == ["body"]
    del caught
    await leftovers.none()


@pytest.mark.parametrize("option", ["reconnect_to_server_handler", "token"])
async def test_what_ends_a_program_leaves_a_function_through_connect(
    nats_server: NatsServer, option: str
) -> None:
    """One that is called to reconnect."""
    raised = SystemExit("mine")
    connected, left = anyio.Event(), list[str]()

    def function(*_: object) -> str:
        if connected.is_set():
            raise raised
        return "secret"

    options: dict[str, Any] = {option: function}

    async def connect() -> None:
        async with EVENTS.connect(nats_server.url, **options):
            connected.set()
            nats_server.restart_blocking()
            try:
                await anyio.sleep_forever()
            finally:
                left.append("body")

    leftovers = Leftovers()
    with anyio.fail_after(DEADLINE), pytest.raises(SystemExit) as caught:
        await connect()
    assert caught.value is raised
    assert left == ["body"]
    del caught
    await leftovers.none()


async def test_discovered_server_cb() -> None:
    """Called once for news, and not for what was known."""
    told: list[str] = []

    def serve(connection: Any) -> None:
        answering(connection, handshake(connection))
        for place in ("10.0.0.1:4222", "10.0.0.1:4222", "10.0.0.2:4222"):
            connection.sendall(b'INFO {"connect_urls":["%b"]}\r\n' % place.encode())
        while connection.recv(65536):
            pass

    options = {"discovered_server_cb": lambda: told.append("news")}
    with BadServer(serve) as server:
        async with open_link(server.url, options=options) as link:
            await until(lambda: "10.0.0.2:4222" in link.info.connect_urls)
            await until(lambda: len(told) == 2)
            await anyio.wait_all_tasks_blocked()
    assert told == ["news", "news"]


@pytest.mark.parametrize("option", ["verbose", "pedantic"])
async def test_what_a_server_is_asked_for(option: str) -> None:
    asked: list[dict[str, Any]] = []

    def serve(connection: Any) -> None:
        connection.sendall(b'INFO {"max_payload":1048576}\r\n')
        said = b""
        while b"PING\r\n" not in said:
            said += connection.recv(65536)
        asked.append(json.loads(said.splitlines()[0].removeprefix(b"CONNECT ")))
        connection.sendall(b"PONG\r\n")
        answering(connection, said.partition(b"PING\r\n")[2])

    with BadServer(serve) as server:
        async with open_link(server.url, options={option: True}):
            pass
    assert [asked[0][name] for name in ("verbose", "pedantic")].count(True) == 1
    assert asked[0][option] is True


# Which server, and when


@pytest.mark.parametrize(
    "options",
    [{"allow_reconnect": False}, {"max_reconnect_attempts": 2, "reconnect_time_wait": 0.05}],
    ids=["never", "twice"],
)
async def test_a_connection_that_is_not_to_come_back(
    nats_server: NatsServer, options: dict[str, Any]
) -> None:
    closed: list[str] = []
    async with EVENTS.connect(
        nats_server.url, closed_cb=lambda: closed.append("closed"), **options
    ) as conn:
        await conn.register()
        nats_server.kill()
        await until(lambda: conn._link.closed is not None)
        await until(lambda: closed == ["closed"])
        with pytest.raises(walnats.ConnectionLostError, match="allow no further attempt"):
            await conn.emit(EVENT, 1)
    assert closed == ["closed"]


async def test_reconnect_to_server_handler(nats_server: NatsServer) -> None:
    """By itself, the connection would move to the other server, which is there."""
    asked: list[tuple[int, str]] = []
    with NatsServer() as other:

        def choose(servers: list[Any], info: dict[str, Any]) -> tuple[Any, float]:
            asked.append((len(servers), info.get("server_id", "")))
            return next(one for one in servers if one.uri.port == nats_server.port), 0.05

        async with open_link(
            [nats_server.url, other.url],
            options={"reconnect_to_server_handler": choose, "dont_randomize": True},
        ) as link:
            left = link.info.server_id
            await nats_server.restart()
            await until(lambda: bool(asked) and link.connected)
            assert link.statistics().server == nats_server.url
    assert set(asked) == {(2, left)}


async def test_ping_interval_and_max_outstanding_pings(nats_server: NatsServer) -> None:
    options = {"ping_interval": 0.1, "max_outstanding_pings": 1}
    async with open_link(nats_server.url, options=options) as link:
        nats_server.pause()
        await until(lambda: bool(link.trouble))
        assert "nothing heard from the server for 0.2 s" in link.trouble
        nats_server.resume()
        await until(lambda: link.connected)
