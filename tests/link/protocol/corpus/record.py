"""Record what a real server sends: `python -m tests.link.protocol.corpus.record`.

Each scene is a plain socket, some commands, and all bytes that came. They are kept as they came, in
`<scene>.bin`, and `test_corpus.py` reads them cut at every place. Record again when the protocol of
the server has grown; what differs otherwise are names, times and ports.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from walnats_anyio.testing import NatsServer

HERE = Path(__file__).parent
DEADLINE = 30.0
"""Seconds for an answer that takes a millisecond."""

CONFIG: dict[str, object] = {
    "max_payload": 2048,
    "max_control_line": 512,
    "authorization": {
        "timeout": 1,
        "users": [
            {
                "user": "kim",
                "password": "pw",
                "permissions": {
                    "publish": {"deny": ["no.>"]},
                    "subscribe": {"deny": ["no.>"]},
                },
            }
        ],
    },
}
USER = {"user": "kim", "pass": "pw"}


class Talk:
    """One connection: what is said, and all that came."""

    def __init__(self, server: NatsServer, **fields: object) -> None:
        self.heard = b""
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        self.hear(b"\r\n")
        fields = USER | {"verbose": False, "headers": True, "no_responders": True} | fields
        self.say(b"CONNECT %b\r\nPING\r\n" % json.dumps(fields | {"protocol": 1}).encode(), b"\r\n")

    def say(self, command: bytes, until: bytes) -> bytes:
        """Send it, and read until what came ends so; gives what is new."""
        self._socket.sendall(command)
        return self.hear(until)

    def hear(self, until: bytes, times: int = 1) -> bytes:
        before = len(self.heard)
        while self.heard[before:].count(until) < times or not self.heard.endswith(b"\r\n"):
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                data = b""
            if not data:
                self.close()  # whoever made it has not got it yet
                raise EOFError(f"{until!r} does not come, but {self.heard[before:]!r}")
            self.heard += data
        return self.heard[before:]

    def hear_all(self) -> None:
        """Read until the server closes the connection."""
        # A server that has not read all of ours resets the connection.
        with suppress(ConnectionResetError):
            while data := self._socket.recv(65536):
                self.heard += data

    def ask(self, subject: str, body: object, times: int = 1, until: bytes = b"MSG ") -> bytes:
        """A request to JetStream; reads so many answers, or until one of a kind."""
        data = json.dumps(body).encode() if body is not None else b""
        command = b"PUB %b answers %d\r\n%b\r\n" % (subject.encode(), len(data), data)
        self._socket.sendall(command)
        return self.hear(until, times)

    def close(self) -> None:
        self._socket.close()


def connecting(server: NatsServer) -> Talk:
    talk = Talk(server, verbose=True)
    talk.say(b"PING\r\n", b"PONG\r\n")
    return talk


def publishing(server: NatsServer) -> Talk:
    """Payloads that look like the protocol, none, and the largest one; with reply and without."""
    talk = Talk(server)
    talk.say(b"SUB shop.> 12\r\nPING\r\n", b"PONG\r\n")
    payloads = [b"", b"hi", b"\r\n", b"\r\nMSG a 1 2\r\nhi\r\n", b"\0\xff\r", b"PING\r\n"]
    payloads.append(b"x" * 2048)
    for number, payload in enumerate(payloads):
        reply = b" back.%d" % number if number % 2 else b""
        command = b"PUB shop.paid%b %d\r\n%b\r\nPING\r\n" % (reply, len(payload), payload)
        talk.say(command, b"PONG\r\n")
    # Whitespace that a server takes in a subject.
    talk.say(b"PUB shop.\x0b7\x0c re\x0bply 2\r\nhi\r\nPING\r\n", b"PONG\r\n")
    return talk


def headers(server: NatsServer) -> Talk:
    talk = Talk(server)
    talk.say(b"SUB shop 1\r\nPING\r\n", b"PONG\r\n")
    for block in (
        b"NATS/1.0\r\nA: 1\r\n\r\n",
        b"NATS/1.0\r\nA: 1\r\nA: 2\r\nB:\r\n\r\n",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0",
        b"NATS/1.0 503 \xff\r\n\r\n",
    ):
        for payload in (b"", b"hi\r\n"):
            command = b"HPUB shop %d %d\r\n%b%b\r\nPING\r\n"
            sizes = len(block), len(block) + len(payload)
            talk.say(command % (*sizes, block, payload), b"PONG\r\n")
    return talk


def statuses(server: NatsServer) -> Talk:
    """503 for nobody there; 100, 404, 408 and 409 of pull requests."""
    talk = Talk(server)
    talk.say(b"SUB answers 1\r\nPING\r\n", b"PONG\r\n")
    talk.ask("nobody", None)
    talk.ask("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s"], "storage": "memory"})
    consumer = {"durable_name": "C", "ack_policy": "explicit", "max_waiting": 1}
    talk.ask("$JS.API.CONSUMER.CREATE.S.C", {"stream_name": "S", "config": consumer})
    pull = "$JS.API.CONSUMER.MSG.NEXT.S.C"
    talk.ask(pull, {"batch": 1, "no_wait": True})
    talk.ask("s", "hello")
    # Not `no_wait`: a consumer hears of a message a moment after it is acknowledged.
    talk.ask(pull, {"batch": 1, "expires": 30_000_000_000}, until=b"MSG s ")
    # The number of heartbeats before the end depends on how busy the machine is.
    beating = {"batch": 1, "expires": 1_500_000_000, "idle_heartbeat": 500_000_000}
    talk.ask(pull, beating, until=b"NATS/1.0 408")
    talk.ask(pull, {"batch": 1, "expires": 1_000_000_000, "idle_heartbeat": 1_000_000_000})
    talk.ask(pull, {"batch": 1, "expires": 30_000_000_000}, 0)
    until_one_waits(server)
    talk.ask("$JS.API.CONSUMER.DELETE.S.C", None, 2)
    return talk


def until_one_waits(server: NatsServer) -> None:
    """Wait until a request waits at the consumer, which takes it a moment after it was sent."""
    with closing(Talk(server)) as other:
        # Not `answers`, which the other connection hears as well.
        other.say(b"SUB looked 1\r\nPING\r\n", b"PONG\r\n")
        look = b"PUB $JS.API.CONSUMER.INFO.S.C looked 0\r\n\r\n"
        give_up_at = time.monotonic() + DEADLINE
        while b'"num_waiting":1' not in other.say(look, b"MSG "):
            if time.monotonic() > give_up_at:
                raise TimeoutError("no request waits at the consumer")


def refusals(server: NatsServer) -> Talk:
    """What does not end a connection, and at last what does."""
    talk = Talk(server, pedantic=True)
    for command in (
        b"SUB no.way 1\r\n",
        b"SUB no.way group 2\r\n",
        b"PUB no.way 0\r\n\r\n",
        b"PUB a.* 0\r\n\r\n",
        b"SUB a..b 3\r\n",
    ):
        talk.say(command, b"-ERR ")
    talk.say(b"PUB a 4096\r\n" + b"x" * 4096 + b"\r\n", b"-ERR ")
    talk.hear_all()
    return talk


def ending(command: bytes, **fields: object) -> Callable[[NatsServer], Talk]:
    """A scene in which the server closes the connection."""

    def scene(server: NatsServer) -> Talk:
        talk = Talk(server, **fields)
        if command:
            talk.say(command, b"\r\n")
        talk.hear_all()
        return talk

    return scene


def lame_duck(server: NatsServer) -> Talk:
    """INFO that comes again, as the server is about to stop."""
    talk = Talk(server)
    os.kill(server.pid, signal.SIGUSR2)
    talk.hear(b"INFO ")
    return talk


SCENES: dict[str, Callable[[NatsServer], Talk]] = {
    "connecting": connecting,
    "publishing": publishing,
    "headers": headers,
    "statuses": statuses,
    "refusals": refusals,
    "wrong-password": ending(b"", **{"pass": "wrong"}),
    "unknown-command": ending(b"WHAT\r\n"),
    "control-line": ending(b"PUB %b 0\r\n\r\n" % (b"a" * 600)),
    "lame-duck": lame_duck,
}


@contextmanager
def conversation(scene: Callable[[NatsServer], Talk]) -> Iterator[Talk]:
    with NatsServer(config=CONFIG) as server, closing(scene(server)) as talk:
        yield talk


def main() -> None:
    for name, scene in SCENES.items():
        with conversation(scene) as talk:
            (HERE / f"{name}.bin").write_bytes(talk.heard)
            print(f"{name}: {len(talk.heard)} bytes")


if __name__ == "__main__":
    main()
