"""A few words of the NATS protocol, enough to see on either loop whether JetStream works."""

from __future__ import annotations

import json
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.waiting import DEADLINE
from walnats_anyio._link import open_link
from walnats_anyio.testing import MemoryServer, NatsServer

AGAIN_AFTER = 3.0
INBOX = "_INBOX.test"


async def read_info(server: NatsServer) -> dict[str, Any]:
    async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
        reader = BufferedByteReceiveStream(connection)
        with anyio.fail_after(DEADLINE):
            line = await reader.receive_until(b"\r\n", 65536)
    return dict(json.loads(line.removeprefix(b"INFO ")))


async def read_page(server: NatsServer, page: str) -> dict[str, Any]:
    """A page of the monitoring port."""
    return await server.monitor(page)


async def ask(
    server: NatsServer | MemoryServer, subject: str, body: object = None, **credentials: str
) -> dict[str, Any]:
    """One request, one answer, both JSON.

    A cluster drops a request about a stream whose leader is being elected, so one that stays
    unanswered is said again.
    """
    payload = b"" if body is None else json.dumps(body).encode()
    if isinstance(server, MemoryServer):
        async with open_link(server.url) as link:
            return dict(json.loads((await link.request(subject, payload)).data))
    options = json.dumps({"verbose": False, "pedantic": False, **credentials})
    said = f"PUB {subject} {INBOX} {len(payload)}\r\n".encode() + payload + b"\r\n"
    async with await anyio.connect_tcp("127.0.0.1", server.port) as connection:
        with anyio.fail_after(DEADLINE):
            await connection.send(f"CONNECT {options}\r\nSUB {INBOX} 1\r\n".encode())
            reader = BufferedByteReceiveStream(connection)
            while True:
                await connection.send(said)
                with anyio.move_on_after(AGAIN_AFTER):
                    return await _read_answer(reader)


async def _read_answer(reader: BufferedByteReceiveStream) -> dict[str, Any]:
    while True:
        line = await reader.receive_until(b"\r\n", 65536)
        if line.startswith(b"-ERR"):
            raise PermissionError(line.decode())
        if line.startswith(b"MSG "):
            return dict(json.loads(await reader.receive_exactly(int(line.split()[-1]))))


async def create_stream(server: NatsServer, config: dict[str, Any]) -> dict[str, Any]:
    """Create a stream and return its configuration, as the server completed it."""
    answer = await ask(server, f"$JS.API.STREAM.CREATE.{config['name']}", config)
    assert "error" not in answer, answer
    return dict(answer["config"])


async def delete_stream(server: NatsServer, name: str) -> None:
    """Delete a stream, if there is one."""
    await ask(server, f"$JS.API.STREAM.DELETE.{name}", {})


async def make_stream(server: NatsServer, name: str, replicas: int = 1) -> dict[str, Any]:
    config = {"name": name, "subjects": [name], "storage": "file", "num_replicas": replicas}
    return await ask(server, f"$JS.API.STREAM.CREATE.{name}", config)


async def make_consumer(server: NatsServer, stream: str, name: str) -> dict[str, Any]:
    config = {"stream_name": stream, "config": {"durable_name": name, "ack_policy": "explicit"}}
    return await ask(server, f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}", config)


async def count_messages(server: NatsServer, stream: str) -> int:
    """How many messages the stream holds; -1 when it does not exist."""
    answer = await ask(server, f"$JS.API.STREAM.INFO.{stream}")
    return int(answer["state"]["messages"]) if "state" in answer else -1
