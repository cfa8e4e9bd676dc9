"""Messages for the handler: read from a file, or made from the event's schema."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from walnats_anyio._events import BaseEvent

MADE = 500
"""Messages that are made of a schema."""

ITEMS = 2
"""Items of a list or a dict that is made."""

DEEPEST = 8
"""How deep messages of a schema that contains itself go, before what may be left out is."""

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "maple")

REMEDY = "give real messages: messages=[...], or --messages FILE on the command line"


def read_messages(event: BaseEvent[Any], file: Path) -> list[Any]:
    """Read messages from a file: one in each line, as the event's serializer writes it or as JSON.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is no message of the event, or there is none.
    """
    messages: list[Any] = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            messages.append(_read(event, line, f"{file}:{number}"))
    if not messages:
        raise ValueError(f"{file} has no messages: it takes one in each line, as JSON")
    return messages


def _read(event: BaseEvent[Any], line: bytes, place: str) -> Any:
    try:
        return event.decode(line)
    except ValueError as error:
        try:
            return msgspec.json.decode(line, type=event.schema)
        except (msgspec.MsgspecError, NameError, TypeError):
            raise ValueError(f"{place}: {error}") from error


def check_messages(event: BaseEvent[Any], messages: list[Any]) -> None:
    """See whether the messages can be sent.

    Raises:
        ValueError: there are none.
        EncodeError: one does not fit the schema. It is a TypeError and a ValueError.
    """
    if not messages:
        raise ValueError("messages are empty: give at least one, or None to have them made")
    for message in messages:
        event.encode(message)


def make_messages(event: BaseEvent[Any]) -> list[Any]:
    """Make messages of the event's schema: of the right types, within limits, and different.

    They mean nothing. The same schema gives the same messages.

    Raises:
        ValueError: the schema has a type of which nothing is known, or what was made is refused.
    """
    chance = random.Random(event.name)
    try:
        kind = inspect.type_info(event.schema)
        messages = [
            msgspec.convert(_value(kind, chance, 0), event.schema, strict=False)
            for _ in range(MADE)
        ]
        check_messages(event, messages)
    except (NameError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        raise ValueError(
            f"no messages can be made for event {event.name!r}: {error}. {REMEDY}"
        ) from error
    return messages


def _value(kind: inspect.Type, chance: random.Random, depth: int) -> Any:
    """Something of the type, in the words of JSON, which `msgspec.convert` makes the type of."""
    for types, make in _MAKERS:
        if isinstance(kind, types):
            return make(kind, chance, depth + 1)
    raise NotImplementedError(f"of {_name_of(kind)} nothing is known")


def _name_of(kind: inspect.Type) -> str:
    own = getattr(kind, "cls", None)
    return getattr(own, "__qualname__", None) or type(kind).__name__.removesuffix("Type")


def _int(kind: inspect.IntType, chance: random.Random, _: int) -> int:
    low = kind.gt + 1 if kind.gt is not None else kind.ge
    high = kind.lt - 1 if kind.lt is not None else kind.le
    if low is None:
        low = 1 if high is None or high >= 1 else high - 1000
    if high is None:
        high = low + 100_000
    step = kind.multiple_of or 1
    return int(-(-low // step) * step + step * chance.randint(0, max(0, (high - low) // step - 1)))


def _float(kind: inspect.FloatType, chance: random.Random, _: int) -> float:
    low = kind.gt if kind.gt is not None else kind.ge
    high = kind.lt if kind.lt is not None else kind.le
    if low is None:
        low = 0.0 if high is None or high > 0 else high - 1000.0
    if high is None:
        high = low + 1000.0
    value = low + (high - low) * chance.uniform(0.1, 0.9)
    return value if kind.multiple_of is None else value // kind.multiple_of * kind.multiple_of


def _text(kind: inspect.StrType, chance: random.Random, _: int) -> str:
    if kind.pattern is not None:
        raise NotImplementedError(f"no text can be made for the pattern {kind.pattern!r}")
    text = f"{chance.choice(WORDS)}-{chance.randint(0, 99_999)}"
    text = text.ljust(kind.min_length or 0, "x")
    return text[: kind.max_length]


def _bytes(kind: Any, chance: random.Random, _: int) -> bytes:
    size = max(kind.min_length or 0, min(kind.max_length or 64, 64))
    return chance.randbytes(size)


def _datetime(kind: inspect.DateTimeType, chance: random.Random, _: int) -> datetime.datetime:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    moment += datetime.timedelta(seconds=chance.randint(0, 10**7))
    return moment.replace(tzinfo=None) if kind.tz is False else moment


def _list(kind: Any, chance: random.Random, depth: int) -> list[Any]:
    low = kind.min_length or 0
    wanted = low if depth > DEEPEST else max(low, ITEMS)
    count = wanted if kind.max_length is None else min(wanted, kind.max_length)
    return [_value(kind.item_type, chance, depth) for _ in range(count)]


def _dict(kind: inspect.DictType, chance: random.Random, depth: int) -> dict[Any, Any]:
    low = kind.min_length or 0
    wanted = low if depth > DEEPEST else max(low, ITEMS)
    count = wanted if kind.max_length is None else min(wanted, kind.max_length)
    return {
        _value(kind.key_type, chance, depth): _value(kind.value_type, chance, depth)
        for _ in range(count)
    }


def _union(kind: inspect.UnionType, chance: random.Random, depth: int) -> Any:
    if depth > DEEPEST and kind.includes_none:
        return None
    # Nothing, where that is allowed, is the case that tests a handler least.
    types = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    return _value(chance.choice(types), chance, depth)


def _struct(kind: inspect.StructType, chance: random.Random, depth: int) -> Any:
    values = _fields(kind.fields, chance, depth)
    if kind.array_like:
        tag = [] if kind.tag is None else [kind.tag]
        return tag + [_value(field.type, chance, depth) for field in kind.fields]
    if kind.tag_field is not None:
        values[kind.tag_field] = kind.tag
    return values


def _fields(fields: tuple[inspect.Field, ...], chance: random.Random, depth: int) -> dict[str, Any]:
    return {
        field.encode_name: _value(field.type, chance, depth)
        for field in fields
        if field.required or depth <= DEEPEST
    }


_MAKERS: tuple[tuple[Any, Callable[[Any, random.Random, int], Any]], ...] = (
    (inspect.BoolType, lambda kind, chance, depth: chance.random() < 0.5),
    (inspect.IntType, _int),
    (inspect.FloatType, _float),
    (inspect.DecimalType, lambda kind, chance, depth: f"{chance.randint(0, 99_999) / 100:.2f}"),
    (inspect.StrType, _text),
    (inspect.BytesType | inspect.ByteArrayType | inspect.MemoryViewType, _bytes),
    (inspect.DateTimeType, _datetime),
    (inspect.DateType, lambda kind, chance, depth: datetime.date(2026, 1, chance.randint(1, 31))),
    (inspect.TimeType, lambda kind, chance, depth: datetime.time(chance.randint(0, 23), 30)),
    (
        inspect.TimeDeltaType,
        lambda kind, chance, depth: datetime.timedelta(seconds=chance.randint(1, 9999)),
    ),
    (
        inspect.UUIDType,
        lambda kind, chance, depth: uuid.UUID(int=chance.getrandbits(128), version=4),
    ),
    (inspect.EnumType, lambda kind, chance, depth: chance.choice(list(kind.cls)).value),
    (inspect.LiteralType, lambda kind, chance, depth: chance.choice(kind.values)),
    (inspect.NoneType, lambda kind, chance, depth: None),
    (inspect.AnyType, lambda kind, chance, depth: {"number": chance.randint(0, 99_999)}),
    (inspect.UnionType, _union),
    (
        inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType,
        _list,
    ),
    (
        inspect.TupleType,
        lambda kind, chance, depth: [_value(each, chance, depth) for each in kind.item_types],
    ),
    (inspect.DictType, _dict),
    (inspect.StructType, _struct),
    (
        inspect.DataclassType | inspect.TypedDictType,
        lambda kind, chance, depth: _fields(kind.fields, chance, depth),
    ),
    (
        inspect.NamedTupleType,
        lambda kind, chance, depth: [_value(field.type, chance, depth) for field in kind.fields],
    ),
    (inspect.Metadata, lambda kind, chance, depth: _value(kind.type, chance, depth)),
)
