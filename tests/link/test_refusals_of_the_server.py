"""The texts of the table and the fields of CONNECT, against the real server over a bare socket."""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it is not typed
import pytest

from walnats_anyio._link._credentials import credentials
from walnats_anyio._link._options import ConnectOptions, parse_servers
from walnats_anyio._link.protocol._refusals import Meaning, Refusal, refusal_of
from walnats_anyio.testing import NatsServer

USER = "authorization { user: kim, password: kimspw }"
LIMITED = """
authorization { users = [{ user: kim, password: kimspw, permissions: {
  publish: { deny: ["Denied.Pub", "$JS.ACK.>"] }, subscribe: { deny: ["Denied.Sub", "q.x worker"] }
} }] }
max_subscriptions: 3
max_payload: 100
max_control_line: 256
"""


class Raw:
    """A connection without a client."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_args: object) -> None:
        self._file.close()
        self._socket.close()

    def info(self) -> dict[str, Any]:
        line = self._file.readline()
        assert line.startswith(b"INFO ")
        info: dict[str, Any] = json.loads(line[5:])
        return info

    def send(self, *lines: str) -> None:
        self._socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def refusals(self) -> tuple[list[Refusal], bool]:
        """What the server refuses up to its PONG, and whether it closed the connection instead."""
        found: list[Refusal] = []
        while True:
            try:
                line = self._file.readline()
            except ConnectionResetError:
                line = b""
            if line in (b"", b"PONG\r\n"):
                return found, not line
            if line.startswith(b"-ERR "):
                found.append(refusal_of(line[5:].decode()))


def url_port(url: str) -> int:
    return parse_servers(url)[0].port


def connect(url: str, **options: Any) -> tuple[list[Refusal], bool]:
    """Connect with the fields that `credentials` makes."""
    (server,) = parse_servers(url)
    with Raw(server.port) as raw:
        nonce = raw.info().get("nonce")
        fields = credentials(ConnectOptions.of(options), server, nonce)
        raw.send("CONNECT " + json.dumps({"verbose": False} | fields), "PING")
        return raw.refusals()


LET_IN: tuple[list[Refusal], bool] = ([], False)


def is_refused(answer: tuple[list[Refusal], bool]) -> bool:
    refusals, closed = answer
    return closed and [refusal.meaning for refusal in refusals] == [Meaning.AUTHORIZATION]


# As whom


def test_user_and_password() -> None:
    with NatsServer(config=USER) as server:
        assert connect(server.url, user="kim", password="kimspw") == LET_IN
        assert connect(server.url, user=lambda: "kim", password=lambda: "kimspw") == LET_IN
        assert connect(server.url.replace("//", "//kim:k%69mspw@")) == LET_IN
        assert is_refused(connect(server.url, user="kim", password="other"))
        assert is_refused(connect(server.url))


def test_token() -> None:
    with NatsServer(config="authorization { token: kims-token }") as server:
        assert connect(server.url, token="kims-token") == LET_IN
        assert connect(server.url.replace("//", "//kims%2Dtoken@")) == LET_IN
        assert is_refused(connect(server.url, token="other"))


def test_a_key(tmp_path: Path) -> None:
    seeds = [
        bytes(nkeys.encode_seed(os.urandom(32), prefix=nkeys.PREFIX_BYTE_USER)) for _ in range(2)
    ]
    public = bytes(nkeys.from_seed(bytearray(seeds[0])).public_key).decode()
    file = tmp_path / "kim.nk"
    file.write_bytes(seeds[0] + b"\n")
    config = f"authorization {{ users = [{{ nkey: {public} }}] }}"
    with NatsServer(config=config) as server:
        assert connect(server.url, nkeys_seed_str=seeds[0].decode()) == LET_IN
        assert connect(server.url, nkeys_seed=file) == LET_IN
        assert is_refused(connect(server.url, nkeys_seed_str=seeds[1].decode()))


# What it refuses


@pytest.fixture(scope="module")
def limited() -> Any:
    with NatsServer(config=LIMITED) as server:
        yield server


LONG = "x" * 300


@pytest.mark.parametrize(
    ("lines", "meaning", "refused", "closed"),
    [
        (["PUB Denied.Pub 0", ""], Meaning.FAIL, ("publish", "Denied.Pub", None), False),
        (["SUB Denied.Sub 1"], Meaning.FAIL, ("subscribe", "Denied.Sub", None), False),
        (["SUB q.x worker 1"], Meaning.FAIL, ("subscribe", "q.x", "worker"), False),
        ([f"SUB a{sid} {sid}" for sid in range(4)],
         Meaning.FAIL, ("subscribe", None, None), False),
        (["PUB big 101", "x" * 101], Meaning.RECONNECT, (None, None, None), True),
        ([f"SUB {LONG} 1"], Meaning.RECONNECT, (None, None, None), True),
        (["HELLO"], Meaning.RECONNECT, (None, None, None), True),
        (["SUB a..b 1"], Meaning.FAIL, ("subscribe", None, None), False),
    ],
    ids=["publish", "subscribe", "queue", "subscriptions", "payload", "line", "word", "subject"],
)  # fmt: skip
def test_a_refusal(
    limited: NatsServer,
    lines: list[str],
    meaning: Meaning,
    refused: tuple[str | None, str | None, str | None],
    closed: bool,
) -> None:
    with Raw(url_port(limited.url)) as raw:
        raw.info()
        who = {"verbose": False, "user": "kim", "pass": "kimspw"}
        raw.send(f"CONNECT {json.dumps(who)}", "PING")
        assert raw.refusals() == LET_IN
        raw.send(*lines, "PING")
        ((refusal, *_), was_closed) = raw.refusals()
    assert refusal.meaning is meaning
    assert (refusal.operation, refusal.subject, refusal.queue) == refused
    assert was_closed == closed


def test_a_full_server() -> None:
    answers: list[tuple[list[Refusal], bool]] = []
    with NatsServer(config="max_connections: 2") as server, ExitStack() as others:
        # One place may still be that of the connection that looked whether the server is ready.
        for _ in range(3):
            raw = others.enter_context(Raw(url_port(server.url)))
            raw.send('CONNECT {"verbose":false}', "PING")
            answers.append(raw.refusals())
            if answers[-1] != LET_IN:
                break
    refusals, closed = answers[-1]
    assert [refusal.meaning for refusal in refusals] == [Meaning.RECONNECT]
    assert closed
    assert re.match("(?i)maximum connections exceeded: the server is full", str(refusals[0]))


# JetStream wants a cluster to have routes, if to nobody.
CLUSTER = "cluster {{ name: c, listen: '127.0.0.1:{}', routes: ['nats://127.0.0.1:1'] }}"
PORTS = {
    "route": CLUSTER,
    "gateway": CLUSTER.format(-1).replace("{", "{{").replace("}", "}}")
    + "\ngateway {{ name: c, listen: '127.0.0.1:{}' }}",
    "leaf node": "leafnodes {{ listen: '127.0.0.1:{}' }}",
}


@pytest.mark.parametrize("kind", list(PORTS))
def test_a_port_that_is_not_for_clients(kind: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    with NatsServer(config=PORTS[kind].format(port)), Raw(port) as raw:
        raw.send('CONNECT {"verbose":false,"lang":"python","version":"1"}', "PING")
        refusals, closed = raw.refusals()
    assert [refusal.meaning for refusal in refusals] == [Meaning.NOT_A_SERVER]
    assert refusals[0].text == f"attempted to connect to {kind} port"
    assert closed
