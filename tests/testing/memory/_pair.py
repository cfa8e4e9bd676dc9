"""A real server and one in memory, to which the same is said; what they answer is compared.

Both live on the same clock, that of the machine. Before something is said, the pair waits until no
timer is about to fire, so that it is never a matter of milliseconds what happens first.
"""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from walnats_anyio._link.protocol import Message, Parser, ProtocolError
from walnats_anyio._link.protocol._events import Err
from walnats_anyio.testing import NatsServer
from walnats_anyio.testing._memory._engine import Client, Engine, Settings

QUIET = 0.012
"""Seconds without a word after which the real server has said all."""

UNANSWERED = 0.03
"""The same, where no answer is expected, as the server works in several threads."""

DEADLINE = 5.0
"""Seconds for an answer of the real server."""

MARGIN = 0.04
"""Seconds before and after a timer in which nothing is said."""

CONNECT = b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"protocol":1}\r\n'

TIMES = {"created", "ts", "first_ts", "last_ts", "last_active", "time", "timestamp", "id",
         "pause_remaining", "pause_until", "leader", "api"}  # fmt: skip
"""Fields of answers that no two servers have in common."""

_STAMP = re.compile(rb"Nats-Time-Stamp: [^\r]*")
_BAD_BODY = re.compile('(invalid JSON:).*", "err_code"')
_BAD_JSON = re.compile(rb"(Bad Request - )(?!heartbeat)[^\r]*")
_ACK = re.compile(r"(\$JS\.ACK\.[^.]+\.[^.]+\.\d+\.\d+\.\d+)\.\d+\.(\d+)")


def without_times(value: Any) -> Any:
    """An answer without what differs from run to run."""
    if isinstance(value, dict):
        if value.get("type", "").endswith("msg_delete_response") and "error" in value:
            # nats-server has several codes for it, by storage and by what else is gone.
            return "there is no such message"
        return {name: without_times(each) for name, each in value.items() if name not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def shown(event: object) -> object:
    """An event as it can be compared."""
    if not isinstance(event, Message):
        return event
    data: object = event.data
    if event.data.startswith(b"{"):
        data = json.dumps(without_times(json.loads(event.data)), sort_keys=True)
        # What exactly is wrong with some JSON, each parser says in its own words.
        data = _BAD_BODY.sub('\\1 ...", "err_code"', data)
    reply = _ACK.sub(r"\1.TIME.\2", event.reply.decode())
    header = re.sub(rb"(\$JS\.ACK\.\S+)\.\d{19}\.", rb"\1.TIME.", event.header)
    header = _BAD_JSON.sub(rb"\1 ...", header)
    header = _STAMP.sub(b"Nats-Time-Stamp: TIME", header)
    return (event.sid.decode(), event.subject.decode(), reply, header.decode(), data)


CLOSED = "the connection is closed"


class RealSide:
    """A connection to the real server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._parser = Parser()

    def say(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def heard(self, least: int) -> list[Any]:
        """What it says, until it has said so much and nothing more for a moment."""
        events: list[Any] = []
        give_up_at = time.monotonic() + DEADLINE
        while True:
            if not self._selector.select(QUIET if events else UNANSWERED):
                if len(events) >= least or time.monotonic() > give_up_at:
                    return events
                continue
            try:
                data = self._socket.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                return [*events, CLOSED]
            events += known(self._parser.receive(data))

    def close(self) -> None:
        self._selector.close()
        self._socket.close()


class MemorySide:
    """A connection to an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._client: Client = engine.connect()
        engine.greet(self._client)
        self._over = False
        self._parser = Parser()

    def say(self, data: bytes) -> None:
        self._engine.receive(self._client, data)

    def heard(self) -> list[Any]:
        data = bytes(self._client.output)
        self._client.output.clear()
        if self._client.closed and not self._over:
            self._over = True
            return [*known(self._parser.receive(data)), CLOSED]
        return known(self._parser.receive(data))

    def close(self) -> None:
        self._engine.disconnect(self._client)


class Pair:
    """The same connection to both servers."""

    def __init__(self, server: NatsServer, pause: float = 0.0) -> None:
        self._server = server
        self._pause = pause
        settings = Settings("memory", "MEMORY", "2.15.1", 1024 * 1024, 0)
        self.engine = Engine(settings, time.time_ns())
        self.acks: list[tuple[str, str]] = []
        """The reply subjects of all deliveries so far: of the real server, and of the other."""
        self.told: list[str] = []
        """What was said and heard, to be shown when the two disagree."""
        self._connect()

    def _connect(self) -> None:
        self._real, self._memory = RealSide(self._server.port), MemorySide(self.engine)
        self.say(CONNECT + b"SUB inbox.> 1\r\n")

    def close(self) -> None:
        """Leave nothing on the real server."""
        streams = list(self.engine.jetstream.streams)
        for stream in streams:
            self._real.say(publication(f"$JS.API.STREAM.DELETE.{stream}", b"", "inbox.x", {}))
        self._real.heard(len(streams))
        self._real.close()

    def reconnect(self) -> None:
        """Lose the connection, and make a new one."""
        self.wait_for_calm()
        self._real.close()
        self._memory.close()
        self._connect()

    def restart(self) -> None:
        """Restart both servers; the connection is made anew."""
        self.wait_for_calm()
        self._real.close()
        self._server.restart_blocking()
        self.engine.advance(time.time_ns())
        self.engine.restart()
        self._connect()

    def wait_for_calm(self) -> None:
        """Wait until no timer is about to fire."""
        while True:
            self.engine.advance(time.time_ns())
            due = self.engine.timers.next_due()
            left = (due - time.time_ns()) / 1e9 if due is not None else 1.0
            if left > MARGIN:
                return
            time.sleep(max(0.0, left) + MARGIN)

    def sleep(self, seconds: float) -> None:
        """Let time pass for both."""
        self.told.append(f"-- {seconds} s")
        time.sleep(seconds)
        self.wait_for_calm()
        self.compare()

    def say(self, *data: bytes) -> None:
        """Say the same to both, or to each its own, and compare what they answer."""
        if self._pause:
            time.sleep(self._pause)
        self.wait_for_calm()
        self.told.append(f">> {data[0]!r}")
        self._real.say(data[0])
        self._memory.say(data[-1])
        self.compare()

    def compare(self) -> None:
        """Compare what has been heard from both."""
        memory = self._memory.heard()
        real = self._real.heard(len(memory))
        self.engine.advance(time.time_ns())
        memory += self._memory.heard()
        # What comes from different parts of a server comes in any order.
        memory.sort(key=channel)
        real.sort(key=channel)
        ours = [shown(each) for each in memory]
        theirs = [shown(each) for each in real]
        self.told += [f"<< {each}" for each in theirs]
        if ours != theirs:
            self.disagree(ours)
        for one, other in zip(real, memory, strict=True):
            if isinstance(one, Message) and one.reply.startswith(b"$JS.ACK."):
                self.acks.append((one.reply.decode(), other.reply.decode()))

    def disagree(self, ours: list[object]) -> None:
        """Say where the two are not alike."""
        said = [*self.told[-60:], "-- but in memory:", *(f"<< {each}" for each in ours)]
        raise AssertionError("\n".join(said))

    # what can be said

    def publish(
        self, subject: str, payload: bytes = b"", reply: str = "inbox.p", **headers: str
    ) -> None:
        self.say(publication(subject, payload, reply, headers))

    def api(self, subject: str, body: object = None) -> None:
        payload = b"" if body is None else json.dumps(body).encode()
        self.say(publication(f"$JS.API.{subject}", payload, "inbox.api", {}))

    def pull(self, subject: str, body: object) -> None:
        payload = json.dumps(body).encode()
        inbox = f"inbox.n.{subject.rpartition('.')[2]}"
        self.say(publication(f"$JS.API.{subject}", payload, inbox, {}))

    def acknowledge(self, number: int, payload: bytes, reply: str = "") -> None:
        self.say(*(publication(each, payload, reply, {}) for each in self.acks[number]))


PAUSES = (0.0, 0.017, 0.029, 0.041, 0.053)
"""Seconds before each thing that is said, by attempt."""


def play(server: NatsServer, scene: Callable[[Pair], None]) -> None:
    """Play a scene to both servers; up to five times, as a busy machine is late at times.

    It also happens that two timers fire at the same moment, and one has to be first. So each time
    the pace is another one, and other timers meet. A difference that is one comes each time.
    """
    for pause in PAUSES:
        pair = Pair(server, pause)
        try:
            scene(pair)
        except AssertionError:
            if pause == PAUSES[-1]:
                raise
        else:
            return
        finally:
            pair.close()


def publication(subject: str, payload: bytes, reply: str, headers: dict[str, str]) -> bytes:
    target = f"{subject} {reply}".rstrip()
    if not headers:
        return f"PUB {target} {len(payload)}\r\n".encode() + payload + b"\r\n"
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    size = len(block)
    head = f"HPUB {target} {size} {size + len(payload)}\r\n".encode()
    return head + block + payload + b"\r\n"


def channel(event: object) -> str:
    """Which events keep their order among each other."""
    if not isinstance(event, Message):
        return "errors"
    if event.reply.startswith(b"$JS.ACK."):
        return "inbox.n." + event.reply.decode().split(".")[3]
    return event.subject.decode()


def known(events: list[Any]) -> list[Any]:
    """Without INFO and pings, which come when they like."""
    return [each for each in events if isinstance(each, Message | Err | ProtocolError)]
