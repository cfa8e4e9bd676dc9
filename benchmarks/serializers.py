"""The serializers alone: messages to bytes and back, without sockets, tasks and a server.

    python -m benchmarks serializers
    python -m benchmarks serializers --rounds 20 --json figures.json
    python -m benchmarks serializers --markdown docs/benchmarks.md

Every candidate writes and reads the same order: a number and two strings, or the same with 100
lines. In each round every candidate runs once, in a new order; the median counts. walnats' own
serializers take part where they have one; they check nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from walnats_anyio import serializers as ours
from walnats_anyio.tune._machine import machine

FLOOR = "MsgspecSerializer, Struct"
"""What every other candidate is compared with: the serializer of the documentation's examples."""

BEGIN, END = "<!-- serializers -->", "<!-- /serializers -->"
"""Lines of a page; the tables go between them."""

KEY = b"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
SECRET = b"s" * 64


class LineStruct(msgspec.Struct):
    sku: str
    count: int
    price: float


class OrderStruct(msgspec.Struct):
    number: int
    customer: str
    note: str
    lines: list[LineStruct]


@dataclasses.dataclass
class Line:
    sku: str
    count: int
    price: float


@dataclasses.dataclass
class Order:
    number: int
    customer: str
    note: str
    lines: list[Line]


@dataclasses.dataclass
class FlatOrder:
    """walnats makes no objects of what is inside an object."""

    number: int
    customer: str
    note: str
    lines: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Work:
    """Messages of one kind."""

    name: str
    lines: int
    messages: int

    def order(self) -> dict[str, Any]:
        """The order as plain data."""
        lines = [
            {"sku": f"AB-{number * 7919:06}", "count": number % 9 + 1, "price": number * 1.25}
            for number in range(self.lines)
        ]
        note = "leave it at the door, please"
        return {"number": 12345, "customer": "kim@example.com", "note": note, "lines": lines}


WORKS = (Work("small order", 0, 5000), Work("order of 100 lines", 100, 200))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A serializer with a message of its schema."""

    name: str
    serializer: ours.Codec[Any]
    message: Any


def _with_json(order: dict[str, Any]) -> Iterator[Candidate]:
    struct = msgspec.convert(order, OrderStruct)
    yield Candidate(FLOOR, ours.MsgspecSerializer(OrderStruct), struct)
    yield Candidate(
        "MsgspecSerializer, check=False", ours.MsgspecSerializer(OrderStruct, check=False), struct
    )
    yield Candidate(
        "DataclassSerializer", ours.DataclassSerializer(Order), msgspec.convert(order, Order)
    )
    yield Candidate("PrimitiveSerializer, dict", ours.PrimitiveSerializer(dict), order)
    yield Candidate("MessagePackSerializer", ours.MessagePackSerializer(OrderStruct), struct)
    yield Candidate("BytesSerializer", ours.BytesSerializer(), msgspec.json.encode(order))
    if not order["lines"]:
        moment = datetime(2026, 1, 2, 3, tzinfo=UTC)
        yield Candidate("DatetimeSerializer", ours.DatetimeSerializer(datetime), moment)


def _with_wrappers(order: dict[str, Any]) -> Iterator[Candidate]:
    struct = msgspec.convert(order, OrderStruct)
    yield Candidate("GZipSerializer around it", ours.GZipSerializer(OrderStruct), struct)
    yield Candidate("GZipSerializer, level=1", ours.GZipSerializer(OrderStruct, level=1), struct)
    yield Candidate(
        "HMACSerializer around it", ours.HMACSerializer(OrderStruct, key=SECRET), struct
    )


def _with_fernet(order: dict[str, Any]) -> Iterator[Candidate]:
    struct = msgspec.convert(order, OrderStruct)
    yield Candidate(
        "FernetSerializer around it", ours.FernetSerializer(OrderStruct, key=KEY), struct
    )


def _with_pydantic(order: dict[str, Any]) -> Iterator[Candidate]:
    import pydantic

    class LineModel(pydantic.BaseModel):
        sku: str
        count: int
        price: float

    class OrderModel(pydantic.BaseModel):
        number: int
        customer: str
        note: str
        lines: list[LineModel]

    yield Candidate(
        "PydanticSerializer", ours.PydanticSerializer(OrderModel), OrderModel.model_validate(order)
    )


def _with_marshmallow(order: dict[str, Any]) -> Iterator[Candidate]:
    from marshmallow import Schema, fields

    class LineSchema(Schema):
        sku = fields.String()
        count = fields.Integer()
        price = fields.Float()

    class OrderSchema(Schema):
        number = fields.Integer()
        customer = fields.String()
        note = fields.String()
        lines = fields.List(fields.Nested(LineSchema))

    yield Candidate("MarshmallowSerializer", ours.MarshmallowSerializer(OrderSchema), order)
    with suppress(ImportError):
        from walnats import serializers as theirs

        yield Candidate(
            "walnats MarshmallowSerializer", theirs.MarshmallowSerializer(OrderSchema), order
        )


def _with_protobuf(order: dict[str, Any]) -> Iterator[Candidate]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    file = text_format.Parse(
        """
        name: "benchmark.proto" package: "benchmark" syntax: "proto3"
        message_type { name: "Line"
          field { name: "sku" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
          field { name: "count" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
          field { name: "price" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL } }
        message_type { name: "Order"
          field { name: "number" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
          field { name: "customer" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
          field { name: "note" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
          field { name: "lines" number: 4 type: TYPE_MESSAGE type_name: ".benchmark.Line"
                  label: LABEL_REPEATED } }
        """,
        descriptor_pb2.FileDescriptorProto(),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    kind: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("benchmark.Order"))
    message = kind(**order)
    yield Candidate("ProtobufSerializer", ours.ProtobufSerializer(kind), message)
    yield Candidate(
        "ProtobufSerializer, check=False", ours.ProtobufSerializer(kind, check=False), message
    )
    with suppress(ImportError):
        from walnats import serializers as theirs

        yield Candidate("walnats ProtobufSerializer", theirs.ProtobufSerializer(kind), message)


def _walnats(order: dict[str, Any]) -> Iterator[Candidate]:
    from walnats import serializers as theirs

    flat = FlatOrder(**order)
    inner = theirs.DataclassSerializer(FlatOrder)
    yield Candidate("walnats DataclassSerializer", inner, flat)
    yield Candidate("walnats PrimitiveSerializer", theirs.PrimitiveSerializer(dict), order)
    yield Candidate("walnats GZipSerializer", theirs.GZipSerializer(FlatOrder, inner), flat)
    yield Candidate("walnats HMACSerializer", theirs.HMACSerializer(FlatOrder, inner, SECRET), flat)
    yield Candidate(
        "walnats FernetSerializer", theirs.FernetSerializer(FlatOrder, inner, KEY), flat
    )


SOURCES: dict[str, Callable[[dict[str, Any]], Iterator[Candidate]]] = {
    "msgspec": _with_json,
    "pydantic": _with_pydantic,
    "protobuf": _with_protobuf,
    "marshmallow": _with_marshmallow,
    "cryptography": _with_fernet,
    "wrappers": _with_wrappers,
    "walnats": _walnats,
}
"""By the package that each needs."""


def present(work: Work) -> tuple[list[Candidate], list[str]]:
    """Who takes part, and the packages that are not installed."""
    found: list[Candidate] = []
    missing: list[str] = []
    for name, candidates in SOURCES.items():
        try:
            found += candidates(work.order())
        except ImportError:
            missing.append(name)
    return found, missing


class Figure(msgspec.Struct):
    """What one serializer did."""

    work: str
    candidate: str
    messages: int
    bytes: int
    """Of one message, as it is sent."""

    encode: list[float]
    """Seconds of CPU, for each round."""

    decode: list[float]

    def rate(self, seconds: list[float]) -> float:
        """Messages a second, of the round in the middle."""
        return self.messages / statistics.median(seconds)


def measure(work: Work, candidates: list[Candidate], rounds: int) -> list[Figure]:
    """Encode and decode with everybody, in turn."""
    figures = {c.name: Figure(work.name, c.name, work.messages, 0, [], []) for c in candidates}
    for _ in range(rounds):
        for candidate in random.sample(candidates, len(candidates)):
            figure = figures[candidate.name]
            serializer, message = candidate.serializer, candidate.message
            data = serializer.encode(message)
            if serializer.decode(data) != message:
                raise AssertionError(f"{candidate.name} reads something else than it wrote")
            figure.bytes = len(data)
            figure.encode.append(seconds_of(work.messages, serializer.encode, message))
            figure.decode.append(seconds_of(work.messages, serializer.decode, data))
    return sorted(figures.values(), key=lambda f: statistics.median(f.encode + f.decode))


def seconds_of(count: int, call: Callable[[Any], Any], argument: Any) -> float:
    """CPU of so many calls."""
    begun = time.process_time()
    for _ in range(count):
        call(argument)
    return time.process_time() - begun


def versions() -> dict[str, str]:
    """Versions of all that takes part; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("walnats-anyio", *SOURCES):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


HEADINGS = (
    "serializer",
    "bytes",
    "encode us",
    "messages/s",
    "MB/s",
    "decode us",
    "messages/s",
    "MB/s",
    "x msgspec",
)


def rows(figures: list[Figure]) -> Iterator[list[str]]:
    """A row for each serializer, the fastest first; the last column compares both ways at once."""
    total = {f.candidate: 1 / f.rate(f.encode) + 1 / f.rate(f.decode) for f in figures}
    for figure in figures:
        row = [figure.candidate, f"{figure.bytes:,}"]
        for seconds in (figure.encode, figure.decode):
            rate = figure.rate(seconds)
            row += [f"{1e6 / rate:.2f}", f"{rate:,.0f}", f"{rate * figure.bytes / 1e6:,.0f}"]
        yield [*row, f"{total[figure.candidate] / total[FLOOR]:.2f}"]


def table_of(work: Work, figures: list[Figure], missing: list[str]) -> Table:
    """One table for a console."""
    table = Table(title=work.name, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "serializer" else "right")
    for row in rows(figures):
        table.add_row(*row, style="bold" if row[0] == FLOOR else None)
    for name in missing:
        table.add_row(f"{name} is not installed", style="dim")
    return table


def markdown_of(everything: dict[str, list[Figure]], footer: str) -> str:
    """The tables for a page."""
    parts: list[str] = []
    for name, figures in everything.items():
        lines = [HEADINGS, ["---", *["---:"] * (len(HEADINGS) - 1)], *rows(figures)]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"### {name.capitalize()}\n\n{table}")
    return "\n\n".join([*parts, f"```text\n{footer}\n```"])


def write_between(path: Path, text: str) -> None:
    """Put a text between the two marks of a page.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no lines {BEGIN} and {END} to put the tables between")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main(argv: list[str]) -> int:
    """Measure, show, and write the files asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serializers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each candidate (10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every raw figure")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="put the tables between its marks"
    )
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {arguments.rounds}")
    # A pipe has no width of its own; the tables need this much.
    console = Console(width=None if sys.stdout.isatty() else 130)
    everything: dict[str, list[Figure]] = {}
    for work in WORKS:
        candidates, missing = present(work)
        figures = everything[work.name] = measure(work, candidates, arguments.rounds)
        console.print(table_of(work, figures, missing))
    place: dict[str, Any] = machine()
    found = versions()
    footer = ", ".join(f"{name} {value}" for name, value in (place | found).items())
    console.print(footer, style="dim")
    if arguments.json:
        every = [figure for figures in everything.values() for figure in figures]
        result = {"machine": place, "versions": found, "figures": every}
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    if arguments.markdown:
        write_between(arguments.markdown, markdown_of(everything, footer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
