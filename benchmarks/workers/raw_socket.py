"""A blocking socket, no client library and no event loop: the floor under every figure.

It decodes each event and calls the handler, and checks nothing: no lengths, no headers, no errors
of the server, no reconnect. What is slower than this is the price of a client; what is as slow is
the price of the server.
"""

from __future__ import annotations

import secrets
import socket
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec

from benchmarks.workers._job import Figures, Job, Task, answer, main
from benchmarks.workers._measure import MAX_OUTSTANDING, WARM_UP, Probe, Stopwatch, Tally
from benchmarks.workers._user import GRAM, User, asyncio_handler

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(User).decode

CHUNK: Final = 1 << 18
"""Bytes read at once, at most."""

SOME: Final = 100
"""Publications written at once, where acknowledgements are outstanding."""


class Wire:
    """A connection that subscribes to one inbox and blocks when it reads."""

    def __init__(self, job: Job) -> None:
        address = urlsplit(job.server)
        self._socket = socket.create_connection((address.hostname, address.port or 4222))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self.inbox = b"_INBOX." + secrets.token_hex(16).encode()
        self._pull = b"$JS.API.CONSUMER.MSG.NEXT.%b.%b" % (
            job.stream.encode(),
            job.consumer.encode(),
        )
        options = b'{"verbose":false,"pedantic":false,"headers":true}'
        self.write(b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n" % (options, self.inbox))
        greeting = b""
        while b"PONG\r\n" not in greeting:
            greeting += self._receive(greeting)

    def write(self, data: bytes) -> None:
        """Hand everything to the kernel."""
        self._socket.sendall(data)

    def read(self) -> list[tuple[bytes, bytes]]:
        """Wait for the next chunk; the reply subject and the payload of each message in it.

        Splitting at line ends is enough, as no payload here has one. Statuses of pull requests
        come with headers, as HMSG, and are skipped.
        """
        chunk = self._receive(self._rest)
        if b"PING\r\n" in chunk:
            self.write(b"PONG\r\n")
        lines = (self._rest + chunk).split(b"\r\n")
        self._rest = lines.pop()
        if lines and lines[-1].startswith(b"MSG "):  # its payload is not complete yet
            self._rest = lines.pop() + b"\r\n" + self._rest
        follows = iter(lines)
        return [
            (line.split(b" ")[3], next(follows)) for line in follows if line.startswith(b"MSG ")
        ]

    def _receive(self, before: bytes) -> bytes:
        chunk = self._socket.recv(CHUNK)
        if not chunk:
            raise ConnectionError(f"the server closed the connection after {before[-200:]!r}")
        return chunk

    def pull_request(self, count: int) -> bytes:
        """What asks for so many events, for half a minute."""
        return publication(
            self._pull, self.inbox, encode({"batch": count, "expires": 30_000_000_000})
        )


def publication(subject: bytes, reply: bytes, payload: bytes) -> bytes:
    """The bytes of a PUB with a reply subject."""
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)


def ack(reply: bytes) -> bytes:
    """The bytes that acknowledge an event."""
    return b"PUB %b 4\r\n+ACK\r\n" % reply


async def consume(job: Job) -> None:
    """Work off a backlog, a new pull request sent when half of the last one has come."""
    finished: list[bool] = []
    tally = Tally(job, lambda: finished.append(True))
    handle = asyncio_handler(job, tally)
    wire = Wire(job)
    tally.watch.start()
    asked_for = job.batch
    wire.write(wire.pull_request(asked_for))
    while not finished:
        out = []
        for reply, payload in wire.read():
            await handle(decode(payload))
            out.append(ack(reply))
        asked_for -= len(out)
        if asked_for <= job.batch // 2:
            out.append(wire.pull_request(job.batch - asked_for))
            asked_for = job.batch
        wire.write(b"".join(out))
    await answer(tally.figures())


async def emit(job: Job) -> None:
    """Publish into the stream, in the way ``job.mode`` names, every acknowledgement awaited."""
    wire = Wire(job)
    watch = Stopwatch(job)
    watch.start()
    if job.mode == "sync":
        emit_in_steps(job, wire, at_once=1, outstanding=0)
    else:
        emit_in_steps(job, wire, at_once=SOME, outstanding=MAX_OUTSTANDING)
    watch.stop()
    await answer(watch.figures(job.events))


def emit_in_steps(job: Job, wire: Wire, *, at_once: int, outstanding: int) -> None:
    """Write some publications, and read acknowledgements while too many are outstanding."""
    subject = job.stream.encode()
    sent = acknowledged = 0
    while acknowledged < job.events:
        count = min(at_once, job.events - sent)
        wire.write(b"".join(publication(subject, wire.inbox, encode(GRAM)) for _ in range(count)))
        sent += count
        allowed = outstanding if sent < job.events else 0
        while sent - acknowledged > allowed:
            acknowledged += len(wire.read())


async def latency(job: Job) -> None:
    """Publish one event at a time and time its way back to this process."""
    await answer(time_each(job))


def time_each(job: Job) -> Figures:
    """The same, all of it blocking."""
    probe = Probe()
    wire = Wire(job)
    wire.write(wire.pull_request(1))
    subject = job.stream.encode()
    for _ in range(WARM_UP + job.events):
        probe.send()
        payload = encode(GRAM)
        wire.write(b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload))
        arrived = False
        while not arrived:
            for reply, data in wire.read():
                decode(data)
                probe.arrive()
                wire.write(ack(reply) + wire.pull_request(1))
                arrived = True
        time.sleep(job.sleep)
    return probe.figures()


TASKS: dict[str, Task] = {"consume": consume, "emit": emit, "latency": latency}

if __name__ == "__main__":
    main(TASKS)
