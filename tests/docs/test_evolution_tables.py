"""The tables of docs/guides/schema-evolution.md, tried row by row with the real decoders."""

from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired, Union

import msgspec
import pydantic
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from typing_extensions import TypedDict

import walnats_anyio as walnats
from tests.docs._blocks import ROOT, blocks_of
from walnats_anyio._events import warn_of_schema
from walnats_anyio._events._kept_schema import metadata_of, verdict
from walnats_anyio.serializers import (
    Codec,
    EncodeError,
    MessagePackSerializer,
    ProtobufSerializer,
    compatibility,
    get_serializer,
    wire_schema,
)

PAGE = ROOT / "docs" / "guides" / "schema-evolution.md"

REQUIRED = object()


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a message, in all kinds of classes."""

    name: str
    type: Any
    value: Any
    """What messages have there."""

    default: Any = REQUIRED
    alias: str | None = None
    """The name on the wire."""

    limits: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a class."""

    fields: tuple[Field, ...]
    name: str = "Message"
    options: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])


Made = tuple[Any, list[Any]]
"""A schema, and messages of it."""

Variant = Callable[[str], Made]
"""Makes a version of a schema, of a kind of class."""


def field(name: str, type: Any, value: Any, default: Any = REQUIRED, **more: Any) -> Field:
    return Field(name, type, value, default, **more)


ID = field("id", int, 5)
NOTE = field("note", str, "kept")
NOTE_WITH_DEFAULT = field("note", str, "kept", "d")


def of(*fields: Field, name: str = "Message", **options: Any) -> Variant:
    """A class of these fields, one message with all of them."""
    version = Version(fields, name, options)
    return lambda kind: MAKERS[kind](version)


def struct(version: Version) -> Made:
    fields: list[Any] = []
    for each in version.fields:
        made = Annotated[each.type, msgspec.Meta(**each.limits)] if each.limits else each.type
        default = () if each.default is REQUIRED else (each.default,)
        fields.append((each.name, made, *default))
    options = dict(version.options)
    if options.pop("forbid", False):
        options["forbid_unknown_fields"] = True
    rename = {each.name: each.alias for each in version.fields if each.alias}
    cls = msgspec.defstruct(version.name, fields, kw_only=True, rename=rename or None, **options)
    return cls, [cls(**values_of(version)), *omitted(cls, version)]


def omitted(cls: Any, version: Version) -> list[Any]:
    """A message in which fields have their defaults, where that makes a difference."""
    if not version.options.get("omit_defaults"):
        return []
    required = [each for each in version.fields if each.default is REQUIRED]
    return [cls(**{each.name: each.value for each in required})]


def dataclass(version: Version) -> Made:
    fields: list[Any] = []
    for each in version.fields:
        if each.default is REQUIRED:
            fields.append((each.name, each.type))
        else:
            fields.append((each.name, each.type, dataclasses.field(default=each.default)))
    cls = dataclasses.make_dataclass(version.name, fields, kw_only=True)
    return cls, [cls(**values_of(version))]


def typed_dict(version: Version) -> Made:
    fields: dict[str, Any] = {
        each.name: each.type if each.default is REQUIRED else NotRequired[each.type]
        for each in version.fields
    }
    messages = [values_of(version)]
    if any(each.default is not REQUIRED for each in version.fields):
        required = [each for each in version.fields if each.default is REQUIRED]
        messages.append({each.name: each.value for each in required})
    return TypedDict(version.name, fields), messages  # type: ignore[operator]  # made from a list


def model(version: Version) -> Made:
    fields: dict[str, Any] = {}
    for each in version.fields:
        default = ... if each.default is REQUIRED else each.default
        fields[each.name] = (each.type, pydantic.Field(default, alias=each.alias, **each.limits))
    extra: Literal["forbid", "ignore"] = "forbid" if version.options.get("forbid") else "ignore"
    config = pydantic.ConfigDict(extra=extra)
    cls = pydantic.create_model(version.name, __config__=config, **fields)
    return cls, [
        cls.model_validate({each.alias or each.name: each.value for each in version.fields})
    ]


def values_of(version: Version) -> dict[str, Any]:
    return {each.name: each.value for each in version.fields}


MAKERS: dict[str, Callable[[Version], Made]] = {
    "Struct": struct,
    "dataclass": dataclass,
    "TypedDict": typed_dict,
    "pydantic": model,
}


def tagged(*tags: str, alone: bool = False) -> Variant:
    """A union of classes with a tag each."""

    def make(kind: str) -> Made:
        classes: list[Any] = []
        for tag in tags:
            name = tag.capitalize()
            if kind == "Struct":
                classes.append(msgspec.defstruct(name, [("id", int)], tag=tag, tag_field="kind"))
            else:
                kinds: Any = (Literal[tag], tag)
                classes.append(pydantic.create_model(name, id=(int, ...), kind=kinds))
        schema: Any = Union[tuple(classes)]  # noqa: UP007 - of a list
        if kind == "pydantic" and not alone:
            schema = Annotated[schema, pydantic.Field(discriminator="kind")]
        return schema, [cls(id=5) for cls in classes]

    return make


class One(enum.Enum):
    A = "a"


class Two(enum.Enum):
    A = "a"
    B = "b"


NOW = datetime.now(UTC)


def one(type: Any, *values: Any) -> Variant:
    """A class with one field, and a message for each of the values."""

    def make(kind: str) -> Made:
        schema, _ = of(field("value", type, values[0]))(kind)
        return schema, [schema(value=value) for value in values]

    return make


JSON: dict[str, tuple[Variant, Variant]] = {
    "a field is added, with a default": (of(ID), of(ID, NOTE_WITH_DEFAULT)),
    "a field is added, without a default": (of(ID), of(ID, NOTE)),
    "a field is removed that had a default": (of(ID, NOTE_WITH_DEFAULT), of(ID)),
    "a field is removed that had no default": (of(ID, NOTE), of(ID)),
    "a field is renamed that has no default": (of(NOTE), of(field("text", str, "kept"))),
    "a field is renamed that has a default": (
        of(NOTE_WITH_DEFAULT),
        of(field("text", str, "kept", "d")),
    ),
    "a field is renamed, and keeps its name on the wire": (
        of(NOTE),
        of(field("text", str, "kept", alias="note")),
    ),
    "the default of a field is changed": (
        of(ID, NOTE_WITH_DEFAULT),
        of(ID, field("note", str, "kept", "e")),
    ),
    "the default of a field is removed": (of(ID, NOTE_WITH_DEFAULT), of(ID, NOTE)),
    "the same, where defaults are not written (`omit_defaults`, `NotRequired`)": (
        lambda kind: of(ID, NOTE_WITH_DEFAULT, omit_defaults=kind == "Struct")(kind),
        of(ID, NOTE),
    ),
    "the order of fields is changed": (of(ID, NOTE), of(NOTE, ID)),
    "the class is renamed": (of(ID, NOTE), of(ID, NOTE, name="Other")),
    "`int` becomes `float`": (one(int, 5), one(float, 5.5)),
    "an `int` may also be `None`": (one(int, 5), one(int | None, 5, None)),
    "a `str` may also be an `int`": (one(str, "a"), one(int | str, "a", 5)),
    "`int` becomes `str`": (one(int, 5), one(str, "a")),
    "`str` becomes `datetime`, as JSON": (one(str, "a"), one(datetime, NOW)),
    "`list[int]` becomes `list[float]`": (one(list[int], [5]), one(list[float], [5.5])),
    "a `Literal` gets another value": (one(Literal["a"], "a"), one(Literal["a", "b"], "a", "b")),
    "an `Enum` loses a value": (one(Two, Two.A, Two.B), one(One, One.A)),
    "a limit (`max_length`, `ge`, ...) is added or narrower": (
        of(NOTE),
        of(field("note", str, "abc", limits={"max_length": 3})),
    ),
    "unknown fields are forbidden from now on": (of(ID), of(ID, forbid=True)),
    "a field is added, with a default, and unknown fields are forbidden": (
        of(ID, forbid=True),
        of(ID, NOTE_WITH_DEFAULT, forbid=True),
    ),
    "a field is removed, and unknown fields are forbidden": (
        of(ID, NOTE_WITH_DEFAULT, forbid=True),
        of(ID, forbid=True),
    ),
    "a union of tagged classes gets another class": (
        tagged("cat", "dog"),
        tagged("cat", "dog", "cow"),
    ),
    "a union of tagged classes loses a class": (tagged("cat", "dog", "cow"), tagged("cat", "dog")),
    "a tagged class becomes a union with itself and another": (
        tagged("cat", alone=True),
        tagged("cat", "dog"),
    ),
    "the tag of a class in a union is changed": (tagged("cat", "dog"), tagged("cow", "dog")),
    "a Struct that stands alone gets a tag": (of(ID), of(ID, tag="cat")),
    "an `array_like` Struct gets a field at its end, with a default": (
        of(ID, array_like=True),
        of(ID, NOTE_WITH_DEFAULT, array_like=True),
    ),
    "an `array_like` Struct gets a field between others": (
        of(ID, NOTE, array_like=True),
        of(ID, field("at", float, 0.5), NOTE, array_like=True),
    ),
}
"""The old version and the new one of each row."""


def rows_under(heading: str) -> list[list[str]]:
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


ROWS = rows_under("JSON and MessagePack")


def kinds_of(cell: str) -> list[str]:
    return list(MAKERS) if cell == "all" else cell.split(", ")


def outcome(messages: Iterable[Any], writer: Codec[Any], reader: Codec[Any]) -> str:
    """What becomes of the messages, in the words of the table."""
    lost = False
    for message in messages:
        data = writer.encode(message)
        try:
            found = reader.decode(data)
        except Exception:  # noqa: BLE001 - each decoder has errors of its own
            return "no"
        lost = lost or ("kept" in repr(message) and "kept" not in repr(found))
    return "yes, but loses it" if lost else "yes"


@pytest.mark.parametrize(
    ("row", "kind"),
    [(row, kind) for row in ROWS for kind in kinds_of(row[3])],
    ids=lambda value: value if isinstance(value, str) else value[0].replace("`", ""),
)
def test_a_change(row: list[str], kind: str) -> None:
    change, new_reads_old, old_reads_new, _ = row
    (old, old_messages), (new, new_messages) = (version(kind) for version in JSON[change])
    formats: list[Callable[[Any], Codec[Any]]] = [get_serializer]
    if kind == "Struct" and "as JSON" not in change:
        formats.append(MessagePackSerializer)
    for serializer in formats:
        before, after = serializer(old), serializer(new)
        found = [outcome(old_messages, before, after), outcome(new_messages, after, before)]
        if "renamed" not in change:
            # What a version does not have is not lost by it.
            found = [each.partition(",")[0] for each in found]
        wanted = [new_reads_old, old_reads_new]
        assert found == wanted
        for one_way, (writer, reader) in zip(
            wanted, ((before, after), (after, before)), strict=True
        ):
            breaks = compatibility(wire_schema(writer) or {}, wire_schema(reader) or {})
            assert bool(breaks) == (one_way == "no"), breaks


# Protocol Buffers

Proto = FieldDescriptorProto


def proto(*fields: tuple[str, int, int, Any], values: int = 2) -> Any:
    """A class of messages with these fields (name, number, type, value), and one message."""
    file = FileDescriptorProto(name="evolving.proto", package="evolving", syntax="proto3")
    made = file.message_type.add(name="Message")
    kinds = file.enum_type.add(name="Kind")
    for number in range(values):
        kinds.value.add(name=f"KIND_{number}", number=number)
    for name, number, kind, _ in fields:
        type_name = ".evolving.Kind" if kind == Proto.TYPE_ENUM else None
        made.field.add(name=name, number=number, type=kind, label=1, type_name=type_name)
    pool = DescriptorPool()
    pool.Add(file)
    cls: Any = GetMessageClass(pool.FindMessageTypeByName("evolving.Message"))
    return cls, cls(**{name: value for name, _, _, value in fields})


NUMBER, TEXT = ("id", 1, Proto.TYPE_INT32, 5), ("note", 2, Proto.TYPE_STRING, "kept")
BIG = 2**40 + 5

PROTOBUF: dict[str, tuple[Any, Any]] = {
    "a field is added": (proto(NUMBER), proto(NUMBER, TEXT)),
    "a field is removed, and its number is not used again": (proto(NUMBER, TEXT), proto(NUMBER)),
    "a field is renamed": (proto(TEXT), proto(("text", 2, Proto.TYPE_STRING, "kept"))),
    "the number of a field is changed": (
        proto(TEXT),
        proto(("note", 3, Proto.TYPE_STRING, "kept")),
    ),
    "`int32` becomes `int64`": (proto(NUMBER), proto(("id", 1, Proto.TYPE_INT64, BIG))),
    "`int32` becomes `string`": (proto(NUMBER), proto(("id", 1, Proto.TYPE_STRING, "kept"))),
    "an open `enum` (proto3) gets another value": (
        proto(("kind", 1, Proto.TYPE_ENUM, 1)),
        proto(("kind", 1, Proto.TYPE_ENUM, 2), values=3),
    ),
}


def read_by(message: Any, reader: Any) -> str:
    """What becomes of a message, in the words of the table."""
    kind: Any = type(message)
    data = ProtobufSerializer(kind).encode(message)
    found = ProtobufSerializer(reader).decode(data)
    sent = [value for _, value in message.ListFields()]
    arrived = [value for _, value in found.ListFields()]
    if len(arrived) < min(len(sent), len(reader.DESCRIPTOR.fields)):
        return "yes, but loses it"
    return "yes" if all(value in sent for value in arrived) else "yes, but cuts it"


@pytest.mark.parametrize("row", rows_under("Protocol Buffers"), ids=lambda row: row[0])
def test_a_change_of_protobuf(row: list[str]) -> None:
    change, *wanted = row
    (old, old_message), (new, new_message) = PROTOBUF[change]
    assert [read_by(old_message, new), read_by(new_message, old)] == wanted


def test_register_does_not_compare_protobuf() -> None:
    (old, _), (new, _) = PROTOBUF["`int32` becomes `string`"]
    found = verdict(metadata_of(ProtobufSerializer(old)), metadata_of(ProtobufSerializer(new)))
    assert (found.breaks, bool(found.unknown)) == ((), True)


def test_each_row_has_a_test() -> None:
    assert [row[0] for row in ROWS] == list(JSON)
    assert [row[0] for row in rows_under("Protocol Buffers")] == list(PROTOBUF)


def test_a_struct_and_a_message_of_another_class_differ() -> None:
    """The helper above tells them apart, or its rows would prove nothing."""
    schema, (message,) = of(ID)("Struct")
    with pytest.raises((TypeError, EncodeError)):
        get_serializer(of(NOTE)("Struct")[0]).encode(message)
    assert outcome([message], get_serializer(schema), get_serializer(int)) == "no"


def test_the_warning_of_the_page(caplog: pytest.LogCaptureFixture) -> None:
    (text,) = (block.text for block in blocks_of(PAGE) if block.language == "text")
    old = msgspec.defstruct("Order", [("id", int), ("email", str)])
    new = msgspec.defstruct("Order", [("id", str), ("email", str), ("country", str)])
    caplog.set_level(logging.WARNING)
    event = walnats.Event("orders.evolving", new)
    warn_of_schema(event, {"metadata": metadata_of(get_serializer(old))})
    (record,) = caplog.records
    assert f"{record.levelname} {record.name}: {record.getMessage()}".split() == text.split()
