"""Connecting: whom to, as whom, and what is said when it fails."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

import walnats_anyio as walnats
from tests.link._probe import connections
from tests.support.leftovers import Leftovers
from tests.support.waiting import until
from walnats_anyio._link import open_link, pub
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import ConnectedEvents

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)

SOON = 9.0
"""Seconds that "within seconds" may be on a busy machine; 5 on one that is not."""

START_ONE = r"walnats-anyio server"


async def ignore(_message: int) -> None:
    pass


ACTORS = walnats.Actors(walnats.Actor("ignore", EVENT, ignore))


@pytest.fixture
def dead_url() -> Iterator[str]:
    """Where nobody listens, and nobody else will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"nats://127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Where somebody accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"nats://127.0.0.1:{listener.getsockname()[1]}"


async def refused(server: Any, **options: Any) -> str:
    """What the ConnectError says, which comes soon and leaves nothing behind."""
    leftovers = Leftovers()
    begun = time.monotonic()
    with pytest.raises(walnats.ConnectError) as caught:
        async with EVENTS.connect(server, **options):
            pytest.fail("connected")
    assert time.monotonic() - begun < SOON
    said = str(caught.value)
    del caught
    await leftovers.none()
    return said


# Nobody there


async def test_nobody_there(dead_url: str) -> None:
    said = await refused(dead_url)
    assert dead_url in said
    assert "refused" in said or "Connect call failed" in said
    assert START_ONE in said


async def test_nobody_there_for_actors(dead_url: str) -> None:
    with pytest.raises(walnats.ConnectError, match=START_ONE):
        async with ACTORS.connect(dead_url):
            pytest.fail("connected")


async def test_no_such_host() -> None:
    assert "nats://no-such-host.invalid:4222" in await refused("nats://no-such-host.invalid:4222")


async def test_servers_that_say_nothing(dead_url: str, silent_url: str) -> None:
    """All of them at once, as each takes its 5 seconds."""
    said: dict[str, str] = {}
    leftovers = Leftovers()

    async def connect(name: str, *urls: str, **options: Any) -> None:
        with pytest.raises(walnats.ConnectError) as caught:
            async with EVENTS.connect(urls, **options):
                pytest.fail("connected")
        said[name] = str(caught.value)

    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as soon_over:
                tasks.start_soon(partial(connect, "patient", silent_url, connect_timeout=60))
                soon_over.start_soon(connect, "silent", silent_url)
                soon_over.start_soon(connect, "both", dead_url, silent_url)
        tasks.cancel_scope.cancel()
    assert silent_url in said["silent"]
    assert START_ONE in said["silent"]
    assert dead_url in said["both"]
    assert silent_url in said["both"]
    assert "patient" not in said
    await leftovers.none()


@pytest.mark.parametrize(
    "secret",
    ["nats://kim:kimspw@{}", "kim:kimspw@{}", "nats://kim:p@kimspw@{}", "nats://kimspw@{}"],
)
async def test_a_password_is_never_shown(dead_url: str, secret: str) -> None:
    place = dead_url.removeprefix("nats://")
    said = await refused([secret.format(place)])
    assert place in said
    assert "kimspw" not in said


# More than one server


async def test_a_dead_server_is_passed_by(
    dead_url: str, silent_url: str, nats_server: NatsServer
) -> None:
    for dead in (dead_url, silent_url):
        servers = [dead, nats_server.url]
        async with EVENTS.connect(servers, dont_randomize=True, connect_timeout=1) as conn:
            await conn.register()


async def test_a_server_that_refuses_us_is_passed_by(nats_server: NatsServer) -> None:
    with NatsServer(config="authorization { user: kim, password: kimspw }") as other:
        servers = [other.url, nats_server.url]
        async with EVENTS.connect(servers, dont_randomize=True) as conn:
            await conn.register()


async def test_servers_may_be_a_tuple(nats_url: str) -> None:
    async with EVENTS.connect((nats_url,)) as conn:
        await conn.flush()


# Which server


async def test_the_environment_names_the_server(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_SERVER", nats_url)
    async with EVENTS.connect() as conn, ACTORS.connect() as actors:
        await conn.register()
        await actors.register()


async def test_an_argument_comes_before_the_environment(
    nats_url: str, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_SERVER", dead_url)
    async with EVENTS.connect(nats_url) as conn:
        await conn.register()


@pytest.mark.parametrize("server", [5, True, b"nats://x", {"a"}, [5], ["nats://x", None], object])
def test_what_names_no_server(server: Any) -> None:
    """Said by the call that was given it, before anything is entered."""
    for registry in (EVENTS, ACTORS):
        with pytest.raises(TypeError, match="server must be a URL, a list of URLs or"):
            registry.connect(server)


NO_PORTS = ["nats://127.0.0.1:port", "nats://127.0.0.1:99999", "nats://127.0.0.1:0"]


@pytest.mark.parametrize(
    "server",
    ["", " ", [], (), [""], ["nats://x", ""], "nats://", "http://127.0.0.1:4222", *NO_PORTS],
)
def test_what_is_no_url(server: Any) -> None:
    for registry in (EVENTS, ACTORS):
        with pytest.raises(ValueError, match=r"server URL .*pass one such as|list .* is empty"):
            registry.connect(server)


def test_a_password_is_not_shown_for_a_wrong_url_either() -> None:
    for url in ("nats://kim:kimspw@127.0.0.1:port", "htp://kim:kimspw@127.0.0.1:4222"):
        with pytest.raises(ValueError, match="server URL") as caught:
            EVENTS.connect(url)
        assert "kimspw" not in str(caught.value)


# As whom


async def test_user_and_password() -> None:
    with NatsServer(config="authorization { user: kim, password: kimspw }") as server:
        async with EVENTS.connect(server.url, user="kim", password="kimspw") as conn:
            await conn.register()
        url = server.url.replace("//", "//kim:kimspw@")
        async with EVENTS.connect(url) as conn, ACTORS.connect(url) as actors:
            await conn.emit(EVENT, 1)
            await actors.register()


async def test_wrong_password() -> None:
    with NatsServer(config="authorization { user: kim, password: kimspw }") as server:
        for attempt in (
            refused(server.url, user="kim", password="otherpw"),
            refused(server.url.replace("//", "//kim:otherpw@")),
            refused(server.url),
        ):
            begun = time.monotonic()
            said = await attempt
            assert time.monotonic() - begun < 2
            assert "Authorization Violation" in said
            assert "check user, password" in said
            assert START_ONE not in said
            assert "otherpw" not in said


async def test_token() -> None:
    with NatsServer(config="authorization { token: kimstoken }") as server:
        async with EVENTS.connect(server.url, token="kimstoken") as conn:
            await conn.register()
        assert "Authorization Violation" in await refused(server.url, token="other")


# Options


async def test_the_name_is_what_the_server_shows() -> None:
    with NatsServer(http_port=0) as server:
        async with (
            EVENTS.connect(server.url, name="billing"),
            ACTORS.connect(server.url, name="mailing"),
        ):
            shown = {client.get("name") for client in await connections(server)}
        assert shown == {"billing", "mailing"}

        async def gone() -> bool:
            return await connections(server) == []

        await until(gone)


@pytest.mark.parametrize(
    "options",
    [
        {"no_echo": True},
        {"inbox_prefix": "_MY.inbox"},
        {"verbose": True},
        {"pedantic": True},
        {"ping_interval": 0.05},
    ],
    ids=str,
)
async def test_options_of_the_client(nats_url: str, options: dict[str, Any]) -> None:
    async with EVENTS.connect(nats_url, **options) as conn:
        await conn.register()
        await conn.emit(EVENT, 1)
        await conn.emit_many(EVENT, range(1000), sync=True)
        await conn.flush()


@pytest.mark.parametrize("name", ["nope", "servers", "usr"])
def test_an_unknown_option(name: str) -> None:
    options: dict[str, Any] = {name: "x"}
    for registry in (EVENTS, ACTORS):
        with pytest.raises(TypeError, match=rf"unknown connection option '{name}'; .*nkeys_seed,"):
            registry.connect("nats://127.0.0.1:1", **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disconnected_cb", "print"),
        ("error_cb", lambda: None),
        ("connect_timeout", "2"),
        ("connect_timeout", 0),
        ("inbox_prefix", 5),
        ("nkeys_seed", "/no/such/file"),
        ("user_credentials", "/no/such/file"),
    ],
)
def test_a_wrong_option(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises((TypeError, ValueError), match=f"option {name}"):
        EVENTS.connect("nats://127.0.0.1:1", **options)


async def test_callbacks_given_as_options_are_called(nats_server: NatsServer) -> None:
    heard: list[str] = []

    async def on_disconnect() -> None:
        heard.append("disconnected")

    async def on_reconnect() -> None:
        heard.append("reconnected")

    async def on_close() -> None:
        heard.append("closed")

    async def on_error(error: Exception) -> None:
        assert isinstance(error, Exception)

    async with EVENTS.connect(
        nats_server.url,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        closed_cb=on_close,
        error_cb=on_error,
    ) as conn:
        await conn.register()
        await nats_server.restart()
        await until(lambda: "reconnected" in heard)
        await conn.emit(EVENT, 1, sync=True)
    assert heard == ["disconnected", "reconnected", "disconnected", "closed"]


# Several at once


async def test_connections_side_by_side(nats_url: str) -> None:
    async def connect_and_emit(number: int) -> None:
        async with EVENTS.connect(nats_url) as conn, ACTORS.connect(nats_url) as actors:
            await conn.register()
            await actors.register()
            await conn.emit(EVENT, number, sync=True)

    leftovers = Leftovers()
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(connect_and_emit, number)
    await leftovers.none()


async def test_connections_left_in_any_order(nats_url: str) -> None:
    """Each in a task of its own, so that none is inside another."""
    connected: dict[int, ConnectedEvents] = {}

    async def stay(number: int, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        with anyio.CancelScope() as scope:
            async with EVENTS.connect(nats_url) as connected[number]:
                task_status.started(scope)
                await anyio.sleep_forever()
        del connected[number]

    async with anyio.create_task_group() as tasks:
        scopes = [await tasks.start(stay, number) for number in range(3)]
        await connected[0].register()
        for number in (1, 0, 2):
            left = connected[number]
            scopes[number].cancel()
            await until(lambda: number not in connected)  # noqa: B023 - called before the next one
            with pytest.raises(walnats.ConnectionLostError):
                await left.emit(EVENT, number)
            for conn in connected.values():
                await conn.emit(EVENT, number, sync=True)


# What comes out of the body


class OwnError(Exception):
    pass


@pytest.mark.parametrize("registry", [EVENTS, ACTORS], ids=["events", "actors"])
@pytest.mark.parametrize("error", [OwnError, KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_an_exception_in_the_body_comes_out_as_it_is(
    nats_url: str, registry: Any, error: type[BaseException]
) -> None:
    raised = error("mine")
    leftovers = Leftovers()
    with pytest.raises(error) as caught:
        async with registry.connect(nats_url):
            raise raised
    assert caught.value is raised
    await leftovers.none()


async def end_by(raised: SystemExit, url: str) -> None:
    """Cancelled natively, end the program, while the connection breaks."""

    def deliver(_message: object) -> None:
        raise OwnError

    async with open_link(url) as link:
        mailbox = link.subscribe(deliver)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await anyio.sleep_forever()
        finally:
            link.post(pub(mailbox.subject, b""))
            with anyio.CancelScope(shield=True):
                await until(lambda: link.closed is not None)
            raise raised


def test_what_ends_a_program_comes_out_of_a_connection_that_breaks(nats_url: str) -> None:
    raised = SystemExit("mine")
    with pytest.raises(SystemExit) as caught:
        asyncio.run(end_by(raised, nats_url))
    assert caught.value is raised


async def test_a_group_raised_in_the_body_is_not_wrapped_again(nats_url: str) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with EVENTS.connect(nats_url), anyio.create_task_group():
            raise OwnError
    assert [type(error) for error in caught.value.exceptions] == [OwnError]


async def test_an_exception_through_two_connections(nats_url: str) -> None:
    with pytest.raises(OwnError):
        async with EVENTS.connect(nats_url), ACTORS.connect(nats_url):
            raise OwnError
