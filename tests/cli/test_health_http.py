"""HTTP of the health port: what it answers, and to whom it gives no more than a moment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from tests.support.waiting import DEADLINE
from walnats_anyio.cli._endings import Problem
from walnats_anyio.cli._health import _http
from walnats_anyio.cli._health._http import Answer, listen_at, serve

pytestmark = pytest.mark.anyio

LARGE = b"x" * 5_000_000


async def answer(path: str) -> Answer:
    if path == "/missing":
        return Answer(b"{}", HTTPStatus.NOT_FOUND)
    if path == "/large":
        return Answer(LARGE)
    return Answer(json.dumps({"path": path}).encode())


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """A port that answers."""
    async with await listen_at("127.0.0.1", 0) as listeners, anyio.create_task_group() as tasks:
        tasks.start_soon(serve, listeners, answer)
        yield listeners.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def connected(port: int, sent: bytes) -> SocketStream:
    stream = await anyio.connect_tcp("127.0.0.1", port)
    await stream.send(sent)
    return stream


async def told(stream: SocketStream) -> bytes:
    """All that comes until the other side ends it."""
    heard = b""
    with anyio.fail_after(DEADLINE):
        async with stream:
            try:
                while True:
                    heard += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return heard


async def ask(port: int, sent: bytes) -> tuple[int, bytes]:
    """The status and the body of an answer; 0 without one."""
    head, _, body = (await told(await connected(port, sent))).partition(b"\r\n\r\n")
    return int(head[9:12] or 0), body


GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (GET, 200, b'{"path": "/livez"}'),
        (b"GET /livez?full HTTP/1.0\r\n\r\n", 200, b'{"path": "/livez"}'),
        (GET * 3, 200, b'{"path": "/livez"}'),
        (b"GET /missing HTTP/1.1\r\nHost: a\r\n\r\n", 404, b"{}"),
        (b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n", 200, b""),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", 405, None),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400, None),
        (b"GET /livez HTTP/1.1\r\nContent-Length: -1\r\nHost: a\r\n\r\n", 400, None),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, None),
        (b"GET /" + b"a" * 10_000, 431, None),
        (b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", 200, LARGE),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
async def test_what_is_answered(sent: bytes, status: int, body: bytes | None) -> None:
    async with served() as port:
        code, said = await ask(port, sent)
        assert code == status
        assert body is None or said == body


async def test_another_method_is_told_which_there_are() -> None:
    async with served() as port:
        said = await told(await connected(port, b"PUT /livez HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert b"\r\nallow: GET, HEAD\r\n" in said


async def test_requests_that_never_end_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "REQUEST_WITHIN", 2 * DEADLINE)
    async with served() as port:
        slow = [await connected(port, b"GET / HTTP/1.1\r\nX: ") for _ in range(200)]
        assert [await ask(port, GET) for _ in range(3)] == [(200, b'{"path": "/livez"}')] * 3
        # The oldest have made room.
        assert await told(slow[0]) == b""
        for stream in slow[1:]:
            await anyio.aclose_forcefully(stream)


async def test_a_request_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "REQUEST_WITHIN", 0.05)
    async with served() as port:
        assert await told(await connected(port, b"GET / HTTP/1.1\r\nX: ")) == b""


async def test_an_answer_that_nobody_takes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "ANSWER_WITHIN", 0.05)
    async with served() as port:
        stream = await connected(port, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await anyio.sleep(0.2)
        assert len(await told(stream)) < len(LARGE)


async def test_whoever_goes_away_in_the_middle_hurts_nobody() -> None:
    async with served() as port:
        for sent in (b"", b"GET", GET):
            await anyio.aclose_forcefully(
                await connected(port, sent) if sent else await anyio.connect_tcp("127.0.0.1", port)
            )
        assert (await ask(port, GET))[0] == 200


@pytest.mark.parametrize(
    ("host", "said"),
    [("127.0.0.1", "in use"), ("192.0.2.1", "assign"), ("no.such.host.invalid", "")],
)
async def test_a_port_that_cannot_be_had(host: str, said: str) -> None:
    async with served() as port:
        with pytest.raises(
            Problem, match=f"--health-port {port} cannot be used on {host}"
        ) as error:
            await listen_at(host, port)
        assert said in str(error.value)
        assert error.value.hint is not None
