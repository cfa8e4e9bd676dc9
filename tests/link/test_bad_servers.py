"""Servers that greet and then fail: asked again with back-off, and nobody waits in vain."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._bare import BadServer, Serve, handshake, reset
from tests.support.leftovers import Leftovers
from tests.support.waiting import DEADLINE, until, until_blocking
from walnats_anyio._link import _dialer, _handshake, _link, open_link, pub
from walnats_anyio._link._pending import RETRY_AFTER
from walnats_anyio.testing import NatsServer, held_port

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", bytes, dedup_window=3)
EVENTS = walnats.Events(EVENT)


def answering(connection: socket.socket, said: bytes) -> None:
    """Answer the round trip that a client begins with, so that it counts as connected."""
    while (found := re.search(rb"PUB (_INBOX\S+) 0\r\n", said)) is None:
        received = connection.recv(65536)
        if not received:
            raise ConnectionResetError
        said += received
    connection.sendall(b"MSG %b 1 0\r\n\r\n" % found[1])


class Closing:
    """Lets the first connection live until it is told, and closes all others after PONG."""

    def __init__(self) -> None:
        self.served = 0

    def __call__(self, connection: socket.socket) -> None:
        self.served += 1
        said = handshake(connection)
        if self.served == 1:
            answering(connection, said)


async def test_one_that_closes_right_after_the_handshake_is_asked_with_back_off() -> None:
    with BadServer(Closing()) as server:
        async with open_link(server.url):
            await until(lambda: len(server.accepted) >= 2)
            begun = time.monotonic()
            await anyio.sleep(1)
            first_second = [at for at in server.accepted if at - begun < 1]
    # 0.05 s, doubled each time and with jitter: 3,843 in ten seconds before there was any.
    assert 1 <= len(first_second) <= 8


async def test_one_that_closes_right_after_the_first_handshake() -> None:
    """`connect()` says so within seconds."""
    leftovers = Leftovers()
    with BadServer(lambda connection: void(handshake(connection))) as server:
        begun = time.monotonic()
        told = f"{server.url} does not answer: .*: the server closed the connection"
        with pytest.raises(walnats.ConnectError, match=told):
            async with open_link(server.url):
                pytest.fail("connected")
        assert time.monotonic() - begun < 9
        assert len(server.accepted) <= 20
    await leftovers.none()


async def test_one_that_closes_after_the_first_handshake_and_then_does_well() -> None:
    served: list[str] = []

    def serve(connection: socket.socket) -> None:
        said = handshake(connection)
        served.append("once")
        if len(served) > 1:
            answering(connection, said)
            while connection.recv(65536):
                pass

    with BadServer(serve) as server:
        begun = time.monotonic()
        async with open_link(server.url) as link:
            assert link.connected
            # At once, and not when a request without an answer is repeated.
            assert time.monotonic() - begun < RETRY_AFTER
    assert len(served) == 2


REASONS = {
    "User Authentication Expired": "User Authentication Expired: the user's JWT",
    # It would have gone on after that one.
    'Permissions Violation for Subscription to "x"': "the server closed the connection",
}


@pytest.mark.parametrize("said", list(REASONS))
async def test_why_a_server_closes_is_kept(said: str) -> None:
    def serve(connection: socket.socket) -> None:
        if len(server.accepted) == 1:
            answering(connection, handshake(connection))
            connection.sendall(b"-ERR '%b'\r\n" % said.encode())

    with BadServer(serve) as server:
        options = {"reconnect_time_wait": 60}  # nothing else happens meanwhile
        async with open_link(server.url, options=options) as link:
            await until(lambda: bool(link.trouble))
            assert link.trouble.startswith(REASONS[said])


def void(_result: object) -> None:
    pass


def refuse_the_user(connection: socket.socket) -> None:
    connection.sendall(b'INFO {"max_payload":1048576}\r\n')
    connection.recv(65536)
    connection.sendall(b"-ERR 'Authorization Violation'\r\n")


async def test_one_that_refuses_the_user_is_asked_once() -> None:
    """To ask again helps nothing, and some count it."""
    with BadServer(refuse_the_user) as server:
        with pytest.raises(walnats.ConnectError, match="Authorization Violation"):
            async with open_link(server.url):
                pytest.fail("connected")
        assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("later", "told"), [(refuse_the_user, ["Authorization Violation"]), (void, [])]
)
async def test_one_that_refuses_the_user_later_is_told_of_once(
    caplog: pytest.LogCaptureFixture, later: Serve, told: list[str]
) -> None:
    """At once, and not after some seconds as one that closes the connection for other reasons."""

    def serve(connection: socket.socket) -> None:
        if len(server.accepted) == 1:
            answering(connection, handshake(connection))
        else:
            later(connection)

    with BadServer(serve) as server:
        async with open_link(server.url, options={"reconnect_time_wait": 0.01}):
            await until(lambda: len(server.accepted) >= 6)
    lines = [record for record in caplog.records if "still not connected" in record.message]
    assert [what for line in lines for what in told if what in line.message] == told
    assert len(lines) == len(told)


@pytest.mark.parametrize(("wait", "tries"), [(0.05, 3), (60.0, 1)])
async def test_where_nobody_is_there_it_is_tried_thrice(wait: float, tries: int) -> None:
    """Unless the next attempt would come later than anybody waits for the first connection."""
    errors: list[Exception] = []
    options: dict[str, Any] = {"error_cb": errors.append, "reconnect_time_wait": wait}
    told = pytest.raises(walnats.ConnectError, match="walnats-anyio server")
    with held_port() as port, anyio.fail_after(DEADLINE), told:
        async with open_link(f"nats://127.0.0.1:{port}", options=options):
            pytest.fail("connected")
    assert [type(error) for error in errors] == [walnats.ConnectError] * tries


async def test_why_it_was_refused_is_said_while_nobody_else_answers() -> None:
    """The other server of the list is away, which is not the reason."""

    def serve(connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        connection.sendall(b"-ERR 'User Authentication Expired'\r\n")

    errors: list[Exception] = []
    options: dict[str, Any] = {
        "dont_randomize": True,
        "reconnect_time_wait": 60,
        "error_cb": errors.append,
    }
    with BadServer(serve) as server, held_port() as port:
        servers = [server.url, f"nats://127.0.0.1:{port}"]
        async with open_link(servers, options=options) as link:
            await until(lambda: str(port) in str(errors))
            await anyio.wait_all_tasks_blocked()
            assert link.trouble.startswith("User Authentication Expired")


@pytest.mark.parametrize(("every", "lines"), [(60.0, 1), (0.0, 3)])
async def test_a_refusal_again_and_again_is_a_line_now_and_then(
    every: float, lines: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_link, "SAY_EVERY", every)
    errors: list[Exception] = []

    def serve(connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        connection.sendall(b"-ERR 'Permissions Violation for Subscription to \"x\"'\r\n" * 3)
        say_nothing(connection)

    with BadServer(serve) as server:
        async with open_link(server.url, options={"error_cb": errors.append}):
            await until(lambda: len(errors) == 3)
    assert caplog.text.count("NATS: Permissions Violation") == lines


@pytest.mark.parametrize("full", [False, True], ids=["in an outage", "while the socket is full"])
async def test_what_is_subscribed_to_is_said_once_on_the_next_connection(full: bool) -> None:
    closing, words = threading.Event(), bytearray()

    def serve(connection: socket.socket) -> None:
        said = handshake(connection)
        if len(server.accepted) == 1:
            answering(connection, said)
            closing.wait(DEADLINE)
        else:
            words.extend(said or connection.recv(65536))
            say_nothing(connection)

    with BadServer(serve) as server:
        async with open_link(server.url, options={"reconnect_time_wait": 0.2}) as link:
            if full:
                for _ in range(100):
                    link.post(pub("a", b"x" * 100_000))
                await until(lambda: link._outbox.unsent > 0)
            else:
                closing.set()
                await until(lambda: not link.connected)
            link.subscribe_to("news", lambda _: None)
            closing.set()
            await until(lambda: bool(words))
    assert words.count(b"SUB news ") == 1


async def test_what_was_let_go_in_an_outage_is_not_unsent_any_more() -> None:
    closing = threading.Event()

    def serve(connection: socket.socket) -> None:
        said = handshake(connection)
        if len(server.accepted) == 1:
            answering(connection, said)
            closing.wait(DEADLINE)
        else:
            say_nothing(connection)

    with BadServer(serve) as server:
        async with open_link(server.url, options={"reconnect_time_wait": 0.2}) as link:
            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(link.request, "a", b"x" * 1_000_000)
                await until(lambda: link._outbox.unsent > 0)
                closing.set()
                await until(lambda: not link.connected)
                tasks.cancel_scope.cancel()
            await until(lambda: link.connected)
            assert link.statistics().unsent == 0


async def test_an_inbox_that_was_refused_may_be_had_on_the_next_connection() -> None:
    """Its server was told meanwhile to let this user have one."""
    refused: list[bytes] = []
    closing = threading.Event()

    def serve(connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        if len(server.accepted) > 1:
            say_nothing(connection)
        until_blocking(lambda: refused)
        connection.sendall(
            b"-ERR 'Permissions Violation for Subscription to \"%b\"'\r\n" % refused[0]
        )
        closing.wait(DEADLINE)

    with BadServer(serve) as server:
        async with open_link(server.url) as link:
            refused.append(link._pending.prefix + b"*")
            for _ in ("under way", "begun afterwards"):
                with pytest.raises(walnats.ServerError, match="Permissions Violation"):
                    await link.flush(DEADLINE)
            closing.set()
            await until(lambda: link.statistics().reconnects == 1)
            await link.flush()


# Servers that are about to stop. See also `test_stopping_servers`.


def serve_well(connection: socket.socket) -> None:
    answering(connection, handshake(connection))
    say_nothing(connection)


class Retiring:
    """Serves well, until it says that it is about to stop. It still accepts connections."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        self.stop.wait(DEADLINE)
        connection.sendall(b'INFO {"max_payload":1048576,"ldm":true}\r\n' * 2)
        self.at_last(connection)

    def at_last(self, connection: socket.socket) -> None:
        say_nothing(connection)


async def test_one_that_is_about_to_stop_comes_last() -> None:
    """Also after a server that nobody knew of when it said so."""

    def name_the_other_and_close(connection: socket.socket) -> None:
        handshake(connection, connect_urls=[f"127.0.0.1:{other.port}"])

    retiring = Retiring()
    with (
        BadServer(retiring) as first,
        BadServer(name_the_other_and_close) as second,
        BadServer(serve_well) as other,
    ):
        options = {"dont_randomize": True, "reconnect_time_wait": 0.05}
        async with open_link([first.url, second.url], options=options) as link:
            retiring.stop.set()
            await until(lambda: link.connected and link.statistics().server == other.url)
        assert (len(first.accepted), len(second.accepted)) == (1, 1)


async def test_one_after_the_other_is_about_to_stop() -> None:
    """Each of them is left, and told of once, however often it says so."""
    told: list[str] = []
    stopping = Retiring(), Retiring()
    with (
        BadServer(stopping[0]) as first,
        BadServer(stopping[1]) as second,
        BadServer(serve_well) as third,
    ):
        options: dict[str, Any] = {
            "dont_randomize": True,
            "lame_duck_mode_cb": lambda: told.append("lame duck"),
        }
        servers = [first.url, second.url, third.url]
        async with open_link(servers, options=options) as link:
            for number, one in enumerate(stopping, 1):
                one.stop.set()
                await until(lambda: link.statistics().server == servers[number])  # noqa: B023 - awaited here
                await link.flush()
    assert told == ["lame duck"] * 2


class Hesitating(Retiring):
    """Reads nothing until it has said that it is about to stop, and then all."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.read = bytearray()

    def at_last(self, connection: socket.socket) -> None:
        self.go_on.wait(DEADLINE)
        while received := connection.recv(1024 * 1024):
            self.read += received


async def test_what_is_half_sent_is_sent_before_a_connection_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as an acknowledgement: another server may know nothing of what it is for."""
    monkeypatch.setattr(_link, "MOVE_WITHIN", DEADLINE)
    heard = bytearray()

    def serve(connection: socket.socket) -> None:
        heard.extend(handshake(connection))
        while received := connection.recv(65536):
            heard.extend(received)

    stopping = Hesitating()
    commands = [pub("a", b"%03d" % number + b"x" * 100_000) for number in range(200)]
    with BadServer(stopping) as first, BadServer(serve) as second:
        options = {"dont_randomize": True}
        async with open_link([first.url, second.url], options=options) as link:
            for command in commands:
                link.post(command)
            await until(lambda: link._outbox.unsent > 0)
            stopping.stop.set()
            await until(lambda: link.info.ldm)
            await anyio.wait_all_tasks_blocked()
            assert link.connected
            stopping.go_on.set()
            await until(lambda: link.statistics().server == second.url)
    assert stopping.read.endswith(commands[-1])
    assert b"PUB a" not in heard


GREETINGS = {
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "binary": bytes(range(256)) * 10,
    "no JSON": b"INFO {\r\n",
    "a list": b"INFO []\r\n",
    "deep JSON": b"INFO " + b"[" * 100_000 + b"\r\n",
    "a message": b"MSG a 1 1\r\nx\r\n",
    "another type": b'INFO {"max_payload": "many"}\r\n',
    "a line without end": b"INFO " + b"x" * 2_000_000,
}


@pytest.mark.parametrize("greeting", list(GREETINGS))
async def test_what_is_no_server(greeting: str) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[greeting])

    leftovers = Leftovers()
    with (
        BadServer(serve) as server,
        anyio.fail_after(DEADLINE),
        pytest.raises(walnats.ConnectError, match="cannot connect to"),
    ):
        async with EVENTS.connect(server.url):
            pytest.fail("connected")
    await leftovers.none()


@pytest.mark.parametrize("later", ["a list", "http", "deep JSON"])
async def test_one_that_stops_to_speak_nats(later: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is left, with the reason, and tried again."""

    def serve(connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        connection.sendall(GREETINGS[later])
        while connection.recv(65536):
            pass

    with BadServer(serve) as server:
        async with open_link(server.url):
            await until(lambda: len(server.accepted) >= 2)
    assert "does not speak NATS" in caplog.text


async def test_one_that_stops_to_speak_nats_in_the_same_breath() -> None:
    """What comes with the last word of the handshake is read before the connection is served."""

    def serve(connection: socket.socket) -> None:
        nonsense = b"NONSENSE\r\n" if len(server.accepted) == 2 else b""
        said = handshake(connection, and_then=nonsense)
        if len(server.accepted) != 2:
            answering(connection, said)
        if len(server.accepted) != 1:
            say_nothing(connection)

    with BadServer(serve) as server:
        async with open_link(server.url) as link:
            await until(lambda: link.statistics().reconnects == 2)
            assert "does not speak NATS" in link.statistics().last_error
    assert len(server.accepted) == 3


class Resetting:
    """Reads nothing after the greeting, and then resets the connection with all that is unsent."""

    def __init__(self) -> None:
        self.served = 0
        self.full = False

    def __call__(self, connection: socket.socket) -> None:
        self.served += 1
        if self.served > 1:
            return
        answering(connection, handshake(connection))
        end = time.monotonic() + DEADLINE
        while not self.full and time.monotonic() < end:
            time.sleep(0.01)
        reset(connection)


async def test_unsent_bytes_on_a_socket_that_was_reset() -> None:
    """Whoever waits goes on or hears of the end: `request`, `flush` and leaving."""
    serve = Resetting()
    leftovers = Leftovers()
    with BadServer(serve) as server:
        begun = time.monotonic()
        async with open_link(server.url) as link, anyio.create_task_group() as tasks:

            async def fails(waiting: Any) -> None:
                with pytest.raises(walnats.WalnatsError, match="within 2 s, not connected: "):
                    await waiting

            tasks.start_soon(fails, link.request("a", timeout=2))
            for _ in range(200):
                link.post(pub("a", b"x" * 100_000))
            tasks.start_soon(fails, link.flush(2))
            await anyio.wait_all_tasks_blocked()
            assert link._outbox.unsent
            serve.full = True
        assert time.monotonic() - begun < 15
    await leftovers.none()


async def test_unsent_bytes_are_sent_again_on_the_next_connection(
    nats_server: NatsServer,
) -> None:
    """The server stands still with a full socket, is killed, and comes back."""
    got: list[bytes] = []
    async with open_link(nats_server.url) as link:
        mailbox = link.subscribe(lambda message: got.append(message.data[:5]))
        await link.flush()
        nats_server.pause()
        for number in range(300):
            if number == 200:
                await until(lambda: link._outbox.unsent > 0)
            link.post(pub(mailbox.subject, b"%05d" % number + b"x" * 100_000))
        nats_server.kill()
        await nats_server.start()
        await link.flush(DEADLINE)
        assert link.statistics().unsent == 0
    # What the killed server had read is lost, and the rest is there, in order.
    assert got == sorted(got)
    assert got[-1] == b"00299"


async def test_info_that_changes_in_the_handshake() -> None:
    """A server knows the limits of an account only when it knows who connects."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b'INFO {"max_payload":1048576}\r\n')
        said = handshake(connection, max_payload=777)
        answering(connection, said)
        say_nothing(connection)

    with BadServer(serve) as server:
        async with open_link(server.url) as link:
            assert link.max_payload == 777


async def test_info_that_changes_at_any_time() -> None:
    """What a server says about itself later counts from then on."""

    def serve(connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        for number in range(1, 50):
            info = {"max_payload": number, "connect_urls": [f"10.0.0.{number}:4222", "bad port"]}
            connection.sendall(b"INFO %b\r\n" % json.dumps(info | {"unknown": [1]}).encode())
        with suppress(OSError):
            connection.recv(65536)

    with BadServer(serve) as server:
        async with open_link(server.url) as link:
            await until(lambda: link.max_payload == 49)


class Speaking:
    """Says its first word at once, and PONG after some seconds; None: never."""

    def __init__(self, pong_after: float | None) -> None:
        self._pong_after = pong_after

    def __call__(self, connection: socket.socket) -> None:
        info = {"server_id": "slow", "version": "2.15.1", "headers": True, "max_payload": 1048576}
        connection.sendall(b"INFO %b\r\n" % json.dumps(info).encode())
        said = b""
        while b"PING\r\n" not in said:
            said += connection.recv(65536)
        if self._pong_after is not None:
            time.sleep(self._pong_after)
            connection.sendall(b"PONG\r\n")
            answering(connection, said.partition(b"PING\r\n")[2])
        while connection.recv(65536):
            pass


async def test_one_that_is_slow_in_the_handshake_is_waited_for() -> None:
    """`connect_timeout` is the time until its first word."""
    with BadServer(Speaking(pong_after=1.0)) as server:
        async with open_link(server.url, options={"connect_timeout": 0.3}) as link:
            assert link.connected
        assert len(server.accepted) == 1


async def test_one_that_hangs_in_the_handshake_is_passed_by(nats_server: NatsServer) -> None:
    with BadServer(Speaking(pong_after=None)) as server:
        servers = [server.url, nats_server.url]
        with anyio.fail_after(DEADLINE):
            async with open_link(servers, options={"dont_randomize": True}) as link:
                assert link.statistics().server == nats_server.url
        assert len(server.accepted) == 1


async def test_one_that_hangs_in_the_handshake_is_not_said_to_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_handshake, "HANDSHAKE_WITHIN", 0.3)
    monkeypatch.setattr(_dialer, "FIRST_CONNECT_TRIES", 1)
    with (
        BadServer(Speaking(pong_after=None)) as server,
        pytest.raises(walnats.ConnectError, match="the server was too slow in the handshake"),
    ):
        async with open_link(server.url, options={"connect_timeout": 0.3}):
            pytest.fail("connected")


def say_nothing(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


async def test_one_that_says_nothing_is_given_up_at_each_attempt(nats_server: NatsServer) -> None:
    """Also at a reconnect, for which there is no other limit."""
    with BadServer(say_nothing) as silent:
        options = {"dont_randomize": True, "connect_timeout": 0.3}
        async with open_link([nats_server.url, silent.url], options=options) as link:
            nats_server.kill()
            await until(lambda: "no word within 0.3 s" in link.trouble)
            await nats_server.start()
            await until(lambda: link.connected)
            assert link.statistics().server == nats_server.url


# Signs of life: what a connection hears while nobody answers its pings. See also `test_keepalive`.

EVERY = 0.5
"""Seconds between two pings, of which one may be without an answer."""

PINGS: dict[str, Any] = {"ping_interval": EVERY, "max_outstanding_pings": 1}


class Murmuring:
    """Once it has answered, it says the same again and again and reads nothing more."""

    def __init__(self, what: bytes, every: float, first: bytes = b"", times: int = 10_000) -> None:
        self._what, self._every, self._first, self._times = what, every, first, times

    def __call__(self, connection: socket.socket) -> None:
        answering(connection, handshake(connection))
        connection.sendall(self._first)
        for _ in range(self._times):
            connection.sendall(self._what)
            time.sleep(self._every)
        connection.sendall(b"\r\n")
        while connection.recv(65536):
            pass


@pytest.mark.parametrize(
    "server",
    [
        Murmuring(b"HMSG hb 1 31 31\r\nNATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n", 0.05),
        Murmuring(b"x", 0.05, b"MSG never.ends 1 1000000\r\n"),
    ],
    ids=["heartbeats", "a frame that never ends"],
)
async def test_what_is_no_sign_of_life(server: Murmuring) -> None:
    with BadServer(server) as bad:
        async with open_link(bad.url, options=PINGS) as link:
            begun = time.monotonic()
            await until(lambda: bool(link.trouble))  # known once the old connection is closed
            assert f"nothing heard from the server for {2 * EVERY:g} s" in link.trouble
            # What counts for a while is given up after eight intervals.
            assert time.monotonic() - begun < 7 * EVERY


async def test_a_frame_that_grows_is_a_sign_of_life() -> None:
    """A large message over a slow line, on which the answer to a ping comes behind it."""
    size, times = 32 * 1024, 40
    slow = Murmuring(b"x" * size, EVERY / 10, b"MSG large 2 %d\r\n" % (size * times), times)
    got: list[int] = []
    with BadServer(slow) as bad:
        async with open_link(bad.url, options=PINGS) as link:
            link.subscribe(lambda message: got.append(len(message.data)))
            await until(lambda: bool(got))
            assert got == [size * times]
            assert link.statistics().reconnects == 0
