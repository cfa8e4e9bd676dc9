"""The protocol alone: bytes to events and commands to bytes, without sockets, tasks and a server.

    python -m benchmarks protocol
    python -m benchmarks protocol --rounds 20 --json figures.json

Every candidate reads the same bytes in the same chunks, as a server would send them, and writes
the same commands. In each round every candidate runs once, in a new order; the median counts.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from walnats_anyio.tune._machine import machine

CHUNK = 64 * 1024
"""Bytes read at once."""

REPLY = "$JS.ACK.shop.worker.1.%d.%d.1732543212345678901.%d"
BLOCK = b"NATS/1.0\r\nNats-Msg-Id: 0190b6ab1234\r\nContent-Type: application/json\r\n\r\n"


@dataclass(frozen=True)
class Work:
    """Messages of one kind."""

    name: str
    payload: bytes
    messages: int
    block: bytes = b""

    def wire(self) -> bytes:
        """What a server sends: deliveries of JetStream."""
        return b"".join(self._message(number) for number in range(self.messages))

    def _message(self, number: int) -> bytes:
        reply = (REPLY % (number, number, self.messages - number)).encode()
        size = len(self.block) + len(self.payload)
        if self.block:
            head = b"HMSG shop.paid 2 %b %d %d\r\n" % (reply, len(self.block), size)
        else:
            head = b"MSG shop.paid 2 %b %d\r\n" % (reply, size)
        return head + self.block + self.payload + b"\r\n"


WORKS = (
    Work("small (128 B)", b"x" * 128, 40_000),
    Work("medium (16 KiB)", b"x" * 16384, 4_000),
    Work("with two headers (128 B)", b"x" * 128, 40_000, BLOCK),
)

Parse = Callable[[Iterator[bytes]], int]
"""Reads chunks, and returns the number of messages in them."""

Build = Callable[[Work], int]
"""Makes the commands that publish the messages, and returns the number of their bytes."""


@dataclass(frozen=True)
class Candidate:
    """A library, or a way to use it."""

    name: str
    parse: Parse
    build: Build | None = None


def ours() -> list[Candidate]:
    """This library, which reads headers when somebody asks for them."""
    from walnats_anyio._link.protocol import Message, Parser, pub

    def parse(chunks: Iterator[bytes]) -> int:
        receive = Parser().receive
        return sum(len(receive(chunk)) for chunk in chunks)

    def parse_and_look(chunks: Iterator[bytes]) -> int:
        receive = Parser().receive
        count = 0
        for chunk in chunks:
            for event in receive(chunk):
                if isinstance(event, Message) and event.header:
                    _ = event.headers
                count += 1
        return count

    def build(work: Work) -> int:
        payload, block = work.payload, work.block
        return sum(len(pub("shop.paid", payload, "reply", block)) for _ in range(work.messages))

    return [
        Candidate("walnats-anyio", parse, build),
        Candidate("walnats-anyio, headers read", parse_and_look),
    ]


def nats_py() -> list[Candidate]:
    """nats-py, whose parser calls the client for each message; here that only counts."""
    from nats.protocol.command import hpub_cmd, pub_cmd
    from nats.protocol.parser import Parser

    class Counter:
        count = 0

        async def _process_msg(self, *_message: object) -> None:
            self.count += 1

    def parse(chunks: Iterator[bytes]) -> int:
        counter = Counter()
        parser = Parser(counter)
        for chunk in chunks:
            try:
                parser.parse(chunk).send(None)
            except StopIteration:
                continue
        return counter.count

    def build(work: Work) -> int:
        payload, block = work.payload, work.block
        if block:
            commands = (
                hpub_cmd("shop.paid", "reply", block, payload) for _ in range(work.messages)
            )
        else:
            commands = (pub_cmd("shop.paid", "reply", payload) for _ in range(work.messages))
        return sum(map(len, commands))

    return [Candidate("nats-py", parse, build)]


def natsio() -> list[Candidate]:
    """natsio, which has read the headers when it gives a message."""
    from natsio._internal.protocol.events import NEED_DATA
    from natsio._internal.protocol.parser import Parser
    from natsio._internal.protocol.wire import encode_hpub, encode_pub

    def parse(chunks: Iterator[bytes]) -> int:
        parser = Parser()
        count = 0
        for chunk in chunks:
            parser.receive_data(chunk)
            while parser.next_event() is not NEED_DATA:
                count += 1
        return count

    def build(work: Work) -> int:
        payload, block = work.payload, work.block
        if block:
            commands = (
                encode_hpub("shop.paid", "reply", block, payload) for _ in range(work.messages)
            )
        else:
            commands = (encode_pub("shop.paid", "reply", payload) for _ in range(work.messages))
        return sum(map(len, commands))

    return [Candidate("natsio", parse, build)]


LIBRARIES: dict[str, Callable[[], list[Candidate]]] = {
    "walnats-anyio": ours,
    "nats-py": nats_py,
    "natsio": natsio,
}


def present() -> tuple[list[Candidate], list[str]]:
    """Who takes part, and the names of those who are not installed."""
    found: list[Candidate] = []
    missing: list[str] = []
    for name, candidates in LIBRARIES.items():
        try:
            found += candidates()
        except ImportError:
            missing.append(name)
    return found, missing


class Figure(msgspec.Struct):
    """What one candidate did."""

    work: str
    direction: str
    candidate: str
    bytes: int
    messages: int
    seconds: list[float]
    """Of CPU, for each round."""

    @property
    def median(self) -> float:
        """Seconds of CPU of the round in the middle."""
        return statistics.median(self.seconds)


def measure(work: Work, candidates: list[Candidate], rounds: int) -> list[Figure]:
    """Parse and build one kind of messages with everybody, in turn."""
    wire = work.wire()
    figures: dict[tuple[str, str], Figure] = {}

    def note(direction: str, candidate: Candidate, size: int, seconds: float) -> None:
        empty = Figure(work.name, direction, candidate.name, size, work.messages, [])
        figures.setdefault((direction, candidate.name), empty).seconds.append(seconds)

    for _ in range(rounds):
        for candidate in random.sample(candidates, len(candidates)):
            chunks = (wire[at : at + CHUNK] for at in range(0, len(wire), CHUNK))
            begun = time.process_time()
            count = candidate.parse(chunks)
            note("parse", candidate, len(wire), time.process_time() - begun)
            if count != work.messages:
                raise AssertionError(f"{candidate.name} found {count} of {work.messages} messages")
            if candidate.build is not None:
                begun = time.process_time()
                size = candidate.build(work)
                note("build", candidate, size, time.process_time() - begun)
    return sorted(figures.values(), key=lambda figure: (figure.direction != "parse", figure.median))


def versions() -> dict[str, str]:
    """Versions of all that takes part; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def table_of(work: Work, figures: list[Figure], missing: list[str]) -> Table:
    """One table: a row for each candidate and direction, the fastest first."""
    table = Table(title=work.name, title_justify="left")
    for heading in ("", "candidate", "us a message", "messages/s", "MB/s", "x nats-py"):
        table.add_column(heading, justify="left" if heading in ("", "candidate") else "right")
    floor = {f.direction: f.median for f in figures if f.candidate == "nats-py"}
    for figure in figures:
        rate = figure.messages / figure.median
        table.add_row(
            figure.direction,
            figure.candidate,
            f"{1e6 / rate:.2f}",
            f"{rate:,.0f}",
            f"{figure.bytes / figure.median / 1e6:,.0f}",
            f"{floor[figure.direction] / figure.median:.2f}" if floor else "",
            style="bold" if figure.candidate == "walnats-anyio" else None,
        )
    for name in missing:
        table.add_row("", name, "not installed", style="dim")
    return table


def main(argv: list[str]) -> int:
    """Measure, show, and write the file asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks protocol", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each candidate (10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every raw figure")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {arguments.rounds}")
    candidates, missing = present()
    # A pipe has no width of its own; the tables need this much.
    console = Console(width=None if sys.stdout.isatty() else 110)
    everything: list[Figure] = []
    for work in WORKS:
        figures = measure(work, candidates, arguments.rounds)
        console.print(table_of(work, figures, missing))
        everything += figures
    place: dict[str, Any] = machine()
    found = versions()
    console.print(", ".join(f"{k} {v}" for k, v in (place | found).items()), style="dim")
    if arguments.json:
        result = {"machine": place, "versions": found, "figures": everything}
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
