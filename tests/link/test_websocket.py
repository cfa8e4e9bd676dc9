"""NATS inside a websocket."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketStream
from anyio.streams.stapled import StapledObjectStream
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
)

import walnats_anyio as walnats
from tests.support.leftovers import Leftovers
from tests.support.waiting import until
from walnats_anyio._link import open_link, pub
from walnats_anyio._link._handshake import load_websockets
from walnats_anyio._link._options import ConnectOptions, parse_servers
from walnats_anyio.testing import NatsServer, held_port
from walnats_anyio.testing._ports import HeldPort

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("orders.paid", int)
BLOB = walnats.Event("blobs", bytes)
EVENTS = walnats.Events(EVENT, BLOB)
MEGABYTE = 1024 * 1024
DEADLINE = 30.0


# Against a real server


@pytest.fixture
def port() -> Iterator[int]:
    held = HeldPort()
    yield held.number
    held.release()


@pytest.fixture
def server(port: int) -> Iterator[NatsServer]:
    websocket = {"host": "127.0.0.1", "port": port, "no_tls": True}
    with NatsServer(config={"websocket": websocket, "max_payload": 4 * MEGABYTE}) as server:
        yield server


@pytest.fixture
def url(server: NatsServer, port: int) -> str:
    return f"ws://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_url(port: int, authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    proof = authority.issue_cert("127.0.0.1", "localhost")
    proof.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    pem = str(tmp_path / "server.pem")
    websocket = {"host": "127.0.0.1", "port": port, "tls": {"cert_file": pem, "key_file": pem}}
    with NatsServer(config={"websocket": websocket, "max_payload": 4 * MEGABYTE}):
        yield f"wss://127.0.0.1:{port}"


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Worker:
    """Listens, and notes what came."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.blobs: list[bytes] = []
        self.actors = walnats.Actors(
            walnats.Actor("number", EVENT, self.number), walnats.Actor("blob", BLOB, self.blob)
        )

    async def number(self, message: int) -> None:
        self.numbers.append(message)

    async def blob(self, message: bytes) -> None:
        self.blobs.append(message)

    @asynccontextmanager
    async def listening(self, url: str, **options: Any) -> AsyncIterator[None]:
        async with self.actors.connect(url, **options) as actors:
            await actors.register()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(actors.listen)
                yield
                tasks.cancel_scope.cancel()


async def work(url: str, **options: Any) -> None:
    worker = Worker()
    sizes = [0, 1, 125, 126, 65535, 65536, MEGABYTE, 2 * MEGABYTE]
    blobs = [bytes(range(256)) * (size // 256) + b"\r\n" * (size % 256) for size in sizes]
    async with EVENTS.connect(url, **options) as events:
        await events.register()
        async with worker.listening(url, **options):
            for number in range(300):
                await events.emit(EVENT, number)
            for blob in blobs:
                await events.emit(BLOB, blob, sync=True)
            await until(lambda: len(worker.numbers) == 300 and len(worker.blobs) == len(blobs))
    assert sorted(worker.numbers) == list(range(300))
    assert sorted(worker.blobs) == sorted(blobs)


async def test_emit_and_listen(url: str) -> None:
    leftovers = Leftovers()
    await work(url)
    await leftovers.none()


async def test_with_tls(tls_url: str, authority: trustme.CA) -> None:
    leftovers = Leftovers()
    await work(tls_url, tls=trusting(authority))
    await leftovers.none()


async def test_the_certificate_is_looked_at(tls_url: str) -> None:
    with pytest.raises(walnats.ConnectError, match=r"(?i)certificate verify failed"):
        async with EVENTS.connect(tls_url):
            pytest.fail("connected")


async def test_it_is_made_again(server: NatsServer, url: str) -> None:
    worker = Worker()
    async with EVENTS.connect(url) as events:
        await events.register()
        async with worker.listening(url):
            for number in range(3):
                await events.emit(EVENT, number, sync=True)
                await until(partial(worker.numbers.__contains__, number))
                if number % 2:
                    server.kill()
                    await server.start()
                else:
                    await server.restart()
            await events.emit(EVENT, 99, sync=True)
            await until(lambda: 99 in worker.numbers)


async def test_the_others_of_a_cluster_are_known() -> None:
    with ExitStack() as stack:
        doors, routes = ([stack.enter_context(held_port()) for _ in range(2)] for _ in range(2))
        first, second = (
            stack.enter_context(
                NatsServer(
                    config={
                        "websocket": {"host": "127.0.0.1", "port": door, "no_tls": True},
                        "cluster": {
                            "name": "two",
                            "listen": f"127.0.0.1:{route}",
                            "routes": [f"nats-route://127.0.0.1:{other}"],
                        },
                    },
                    jetstream=False,
                )
            )
            for door, route, other in zip(doors, routes, reversed(routes), strict=True)
        )
        async with open_link(f"ws://127.0.0.1:{doors[0]}") as link:
            await until(lambda: len(link.info.connect_urls) == 2)
            first.kill()
            await until(lambda: link.info.server_name == second.server_name)
            assert link.statistics().server == f"ws://127.0.0.1:{doors[1]}"


async def test_both_ways_at_once(url: str) -> None:
    """A reader and a writer, each with more than the sockets hold, do not wait for each other."""
    payload = b"x" * 200_000
    received = 0

    def count(message: Any) -> None:
        nonlocal received
        assert message.data == payload
        received += 1

    async with open_link(url) as link:
        link.subscribe_to("echo", count)
        for _ in range(100):
            link.post(pub("echo", payload))
        await until(lambda: received == 100)


async def test_as_whom(port: int) -> None:
    websocket = {"host": "127.0.0.1", "port": port, "no_tls": True}
    config = {"websocket": websocket, "authorization": {"user": "kim", "password": "kimspw"}}
    with NatsServer(config=config):
        async with open_link(f"ws://kim:kimspw@127.0.0.1:{port}/some/path") as link:
            await link.flush()
        with pytest.raises(walnats.ConnectError, match="Authorization Violation"):
            async with open_link(f"ws://kim:wrong@127.0.0.1:{port}"):
                pytest.fail("connected")


async def test_the_port_for_other_clients(nats_server: NatsServer) -> None:
    with pytest.raises(walnats.ConnectError, match="use the port of the server's websocket sect"):
        async with open_link(nats_server.url.replace("nats://", "ws://")):
            pytest.fail("connected")


# Without the package


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """One remedy, the right one, before anything is opened."""
    monkeypatch.delitem(sys.modules, "walnats_anyio._link._websocket", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "wsproto"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wsproto", None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        with pytest.raises(walnats.ConnectError) as caught:
            async with EVENTS.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}"):
                pytest.fail("connected")
        assert str(caught.value) == (
            "websockets need the package wsproto: pip install 'walnats-anyio[websocket]'"
        )
        with pytest.raises(BlockingIOError):
            listener.accept()


# What a server may answer

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"


async def answered(answer: bytes, **options: Any) -> tuple[bytes, BaseException]:
    """What is asked, and what is raised about this answer."""
    asked = b""
    raised: BaseException = AssertionError("nothing was raised")

    async def serve(stream: SocketStream) -> None:
        nonlocal asked
        async with stream:
            asked = await stream.receive()
            if answer:
                await stream.send(answer)
            with anyio.move_on_after(0.2):
                await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests look at it
                await open_on(stream, f"ws://127.0.0.1:{port}", **options)
            raised = caught.value
        tasks.cancel_scope.cancel()
    return asked, raised


async def open_on(stream: ByteStream, url: str, **options: Any) -> ByteStream:
    (server,) = parse_servers(url)
    with anyio.fail_after(DEADLINE):
        return await load_websockets()(stream, server, ConnectOptions.of(options))


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nno\nway",
            walnats.ConnectError, "HTTP 404 ('no way')",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", walnats.ConnectError, "HTTP 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", walnats.ConnectError, "HTTP 200"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", walnats.ConnectError, "HTTP 103"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", ConnectionRefusedError, "HTTP 502"),
        (b"HTTP/1.1 429 Slow Down\r\n\r\n", ConnectionRefusedError, "HTTP 429"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", walnats.ConnectError, "no websocket answers"),
        (SWITCHING + b"Sec-WebSocket-Accept: x\r\n\r\n", walnats.ConnectError, "Bad accept token"),
        (SWITCHING + b"Sec-WebSocket-Protocol: \xff\r\n\r\n", walnats.ConnectError, "no websocket"),
        (b'INFO {"server_id":"A"}\r\n', walnats.ConnectError, "no websocket answers"),
        (b"\x15\x03\x01\x00\x02\x02\x16", walnats.ConnectError, "no websocket answers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, walnats.ConnectError, "no websocket answers"),
        (b"", anyio.EndOfStream, ""),
    ],
)  # fmt: skip
async def test_refused(answer: bytes, error: type[Exception], text: str) -> None:
    _, raised = await answered(answer)
    assert type(raised) is error
    assert text in str(raised)


async def test_what_is_asked() -> None:
    headers = {"Authorization": "Bearer \xe4", "X-Two": ["1", "2"]}
    asked, _ = await answered(b"HTTP/1.1 404 Not Found\r\n\r\n", ws_connection_headers=headers)
    lines = asked.split(b"\r\n")
    assert lines[0] == b"GET / HTTP/1.1"
    assert b"Host: 127.0.0.1:" in asked
    assert {b"Authorization: Bearer \xe4", b"X-Two: 1", b"X-Two: 2"} < set(lines)


class Recorder(ByteStream):
    """Notes what is sent, and then closes."""

    def __init__(self) -> None:
        self.sent = b""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        self.sent += item

    async def send_eof(self) -> None: ...
    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("ws://Example.com", b"/", b"example.com"),
        ("wss://example.com", b"/", b"example.com"),
        ("wss://example.com:80", b"/", b"example.com:80"),
        ("ws://[::1]:8080/a/b?c=d%20e&f", b"/a/b?c=d%20e&f", b"[::1]:8080"),
        ("ws://[::1]", b"/", b"[::1]"),
        ("ws://user:s3cret@a/ä", b"/%C3%A4", b"a"),
    ],
)
async def test_the_request_line(url: str, target: bytes, host: bytes) -> None:
    stream = Recorder()
    with pytest.raises(anyio.EndOfStream):
        await open_on(stream, url)
    assert stream.sent.startswith(b"GET %b HTTP/1.1\r\nHost: %b\r\n" % (target, host))
    assert b"s3cret" not in stream.sent


async def test_another_host_may_be_named() -> None:
    stream = Recorder()
    with pytest.raises(anyio.EndOfStream):
        await open_on(stream, "ws://a", ws_connection_headers={"host": "b:1"})
    assert stream.sent.count(b"Host: ") == 1
    assert b"\r\nHost: b:1\r\n" in stream.sent


@pytest.mark.parametrize("name", ["Upgrade", "connection", "Sec-WebSocket-Key", "Content-Length"])
async def test_headers_of_the_handshake_are_ours(name: str) -> None:
    stream = Recorder()
    with pytest.raises(walnats.ConnectError, match=f"may not set {name}"):
        await open_on(stream, "ws://a", ws_connection_headers={name: "5"})
    assert stream.sent == b""


# What a server may send


class Pipe(ByteStream):
    """One end of a stream in memory."""

    def __init__(self, stream: StapledObjectStream[bytes], busy: Callable[[], None]) -> None:
        self._stream = stream
        self._busy = busy
        self.closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self._stream.receive()

    async def send(self, item: bytes) -> None:
        self._busy()
        await self._stream.send(item)

    async def send_eof(self) -> None: ...

    async def aclose(self) -> None:
        self.closed = True
        await self._stream.aclose()


class Server:
    """The other side: a websocket that sends whatever a test wants."""

    def __init__(self, stream: StapledObjectStream[bytes]) -> None:
        self._stream = stream
        self._connection = WSConnection(ConnectionType.SERVER)

    async def accept(self, behind: bytes = b"") -> Request:
        (request,) = await self.hear()
        assert isinstance(request, Request)
        await self._stream.send(self._connection.send(AcceptConnection()) + behind)
        return request

    async def send(self, *events: Event) -> None:
        await self._stream.send(b"".join(self._connection.send(event) for event in events))

    async def send_bytes(self, data: bytes) -> None:
        await self._stream.send(data)

    async def hear(self) -> list[Event]:
        """Events in the next chunk; what is not masked would be an error."""
        with anyio.fail_after(DEADLINE):
            self._connection.receive_data(await self._stream.receive())
        return list(self._connection.events())

    async def close(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def opened(
    behind: bytes = b"", buffer: float = inf
) -> AsyncIterator[tuple[ByteStream, Server, Pipe]]:
    here, there = (anyio.create_memory_object_stream[bytes](buffer) for _ in range(2))
    pipe = Pipe(StapledObjectStream(here[0], there[1]), lambda: None)
    server = Server(StapledObjectStream(there[0], here[1]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.accept, behind)
        stream = await open_on(pipe, "ws://a")
        yield stream, server, pipe
        await anyio.aclose_forcefully(stream)
        assert pipe.closed
        await server.close()


async def test_frames_are_a_stream_of_bytes() -> None:
    async with opened(behind=b"\x82\x03abc\x82\x02d") as (stream, server, _):
        assert await stream.receive() == b"abcd"
        await server.send_bytes(b"e")
        assert await stream.receive() == b"e"
        await server.send(
            BytesMessage(b"f", message_finished=False),
            BytesMessage(b"", message_finished=False),
            BytesMessage(b"gh"),
            BytesMessage(b""),
            Pong(b"nobody asked"),
        )
        assert await stream.receive(2) == b"fg"
        assert await stream.receive() == b"h"
        large = bytes(range(256)) * 1000
        data = bytes(server._connection.send(BytesMessage(large)))
        for at in range(0, len(data), 999):
            await server.send_bytes(data[at : at + 999])
        received = b""
        while len(received) < len(large):
            received += await stream.receive(500)
        assert received == large


async def test_what_is_sent_is_one_masked_frame() -> None:
    async with opened() as (stream, server, _):
        for size in (1, 125, 126, 65535, 65536, 1_000_000):
            data = b"x" * size
            await stream.send(data)
            assert await server.hear() == [BytesMessage(data)]
        await stream.send(b"")
        await stream.send(b"a")
        assert await server.hear() == [BytesMessage(b"a")]


async def test_pings_are_answered() -> None:
    async with opened() as (stream, server, _):
        await server.send(Ping(b"1"), BytesMessage(b"a"), Ping(b"2"))
        assert await stream.receive() == b"a"
        await server.send(BytesMessage(b"b"))
        assert await stream.receive() == b"b"
        assert await server.hear() == [Pong(b"2")]
        await server.send(Ping(b"3"), BytesMessage(b"c"))
        assert await stream.receive() == b"c"
        await stream.send(b"d")
        assert await server.hear() == [BytesMessage(b"d")]
        assert await server.hear() == [Pong(b"3")]


async def test_a_reader_does_not_wait_for_a_writer() -> None:
    async with opened(buffer=0) as (stream, server, _), anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"slow")  # until somebody hears it
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            tasks.start_soon(server.send, Ping(b"1"), BytesMessage(b"a"))
            with anyio.fail_after(DEADLINE):
                assert await stream.receive() == b"a"
        assert await server.hear() == [BytesMessage(b"slow")]
        assert await server.hear() == [Pong(b"1")]


@pytest.mark.parametrize("code", [1000, 1001, None])
async def test_an_orderly_end(code: int | None) -> None:
    async with opened() as (stream, server, _):
        await server.send(BytesMessage(b"last"), CloseConnection(code=code or 1005, reason=None))
        assert await stream.receive() == b"last"
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        (answer,) = await server.hear()
        assert isinstance(answer, CloseConnection)
        with pytest.raises(anyio.BrokenResourceError, match="the websocket is closed"):
            await stream.send(b"more")


async def test_a_complaint() -> None:
    async with opened() as (stream, server, _):
        await server.send(BytesMessage(b"last"), CloseConnection(code=1008, reason="no way"))
        assert await stream.receive() == b"last"
        with pytest.raises(anyio.BrokenResourceError, match="closed the websocket: 1008 no way"):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError, match="1008 no way"):
            await stream.send(b"more")


async def test_an_end_without_a_word() -> None:
    async with opened() as (stream, server, _):
        await server.send_bytes(b"\x82\x05ab")
        assert await stream.receive() == b"ab"
        await server.close()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()


@pytest.mark.parametrize(
    ("data", "reason", "code"),
    [
        (b"\x81\x02hi", "text", 1003),
        (b"\x82\x82\0\0\0\0hi", "masked", 1002),
        (b"\xc2\x02hi", "Reserved bit", 1002),
        (b"\x83\x02hi", "opcode", 1002),
        (b"\x80\x02hi", "CONTINUATION", 1002),
        (b"\x02\x01a\x82\x01b", "CONTINUATION", 1002),
        (b"\x09\x00", "fragment control", 1002),
        (b"\x89\x7e\x00\x80", "payload len", 1002),
        (b"\x82\xff" + b"\xff" * 8, "MSB", 1002),
        (b"\x88\x01\x03", "1 byte payload", 1002),
        (b"\x88\x02\x03\xed", "local-only", 1002),
        (b"\x88\x03\x03\xe8\xff", "decoding", 1007),
    ],
)
async def test_what_is_no_websocket(data: bytes, reason: str, code: int) -> None:
    async with opened() as (stream, server, _):
        await server.send_bytes(b"\x82\x01a" + data + b"\x82\x01b")
        assert await stream.receive() in (b"a", b"aa")
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError, match=f"(?i){reason}"):
                await stream.receive()
        assert await server.hear() == [CloseConnection(code=code, reason="")]
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(b"more")


async def test_a_frame_that_was_cut_off_is_the_last() -> None:
    async with opened(buffer=0) as (stream, _, _):
        with anyio.move_on_after(0.01):
            await stream.send(b"x")
        with pytest.raises(anyio.BrokenResourceError, match="cut off"):
            await stream.send(b"y")
        with pytest.raises(anyio.BrokenResourceError, match="cut off"):
            await stream.receive()


async def test_a_farewell() -> None:
    async with opened() as (stream, server, pipe):
        await stream.aclose()
        assert pipe.closed
        assert await server.hear() == [CloseConnection(code=1000, reason="")]
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(b"x")


async def test_closed_while_somebody_reads() -> None:
    async with opened() as (stream, server, pipe), anyio.create_task_group() as tasks:

        async def read() -> None:
            with pytest.raises((anyio.ClosedResourceError, anyio.EndOfStream)):
                await stream.receive()

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await server.send(Ping(b"1"), BytesMessage(b"too late"), CloseConnection(code=1000))
        await stream.aclose()
        assert pipe.closed


async def test_no_time_for_a_farewell() -> None:
    async with opened(buffer=0) as (stream, _, pipe):
        with anyio.fail_after(5):
            await anyio.aclose_forcefully(stream)
        assert pipe.closed
    async with opened(buffer=0) as (stream, _, pipe):
        with anyio.fail_after(5):
            await stream.aclose()
        assert pipe.closed
