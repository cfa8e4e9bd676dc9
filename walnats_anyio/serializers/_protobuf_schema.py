"""Descriptors of Protocol Buffers as JSON Schema, as messages look in the JSON format of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from walnats_anyio.serializers._json_schema import REF_TEMPLATE

_Kind = FieldDescriptor

_LONG: dict[str, Any] = {"type": ["integer", "string"], "pattern": r"^-?[0-9]+$"}
_FLOAT: dict[str, Any] = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_INT: dict[str, Any] = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_BYTES: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}

_SCALARS: dict[int, dict[str, Any]] = {
    **dict.fromkeys((_Kind.TYPE_INT32, _Kind.TYPE_SINT32, _Kind.TYPE_SFIXED32), _INT),
    **dict.fromkeys((_Kind.TYPE_UINT32, _Kind.TYPE_FIXED32), _UINT),
    **dict.fromkeys((_Kind.TYPE_INT64, _Kind.TYPE_SINT64, _Kind.TYPE_SFIXED64), _LONG),
    **dict.fromkeys((_Kind.TYPE_UINT64, _Kind.TYPE_FIXED64), _LONG),
    **dict.fromkeys((_Kind.TYPE_FLOAT, _Kind.TYPE_DOUBLE), _FLOAT),
    _Kind.TYPE_BOOL: {"type": "boolean"},
    _Kind.TYPE_STRING: {"type": "string"},
    _Kind.TYPE_BYTES: _BYTES,
}

# Messages that have a form of their own in JSON.
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "BoolValue": {"type": "boolean"},
    "BytesValue": _BYTES,
    "DoubleValue": _FLOAT,
    "Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
    "FieldMask": {"type": "string"},
    "FloatValue": _FLOAT,
    "Int32Value": _INT,
    "Int64Value": _LONG,
    "ListValue": {"type": "array"},
    "StringValue": {"type": "string"},
    "Struct": {"type": "object"},
    "Timestamp": {"type": "string", "format": "date-time"},
    "UInt32Value": _UINT,
    "UInt64Value": _LONG,
    "Value": {},
}


def schema_of(descriptor: Descriptor) -> dict[str, Any]:
    """Describe the messages of a descriptor, the ones inside them in `$defs`."""
    parts = _Parts()
    root = parts.message(descriptor)
    return root | ({"$defs": parts.described} if parts.described else {})


def may_be_incomplete(descriptor: Descriptor) -> bool:
    """Whether a message may lack a required field, its own or one of a message inside it."""
    # What an extension holds is not known here.
    return any(
        part.is_extendable or any(map(_is_required, part.fields)) for part in _reachable(descriptor)
    )


def _reachable(root: Descriptor) -> Iterator[Descriptor]:
    seen: set[str] = set()
    stack = [root]
    while stack:
        part = stack.pop()
        if part.full_name not in seen:
            seen.add(part.full_name)
            yield part
            stack += [field.message_type for field in part.fields if field.message_type is not None]


class _Parts:
    """The messages inside one message, which may contain itself."""

    def __init__(self) -> None:
        self.described: dict[str, Any] = {}

    def message(self, descriptor: Descriptor) -> dict[str, Any]:
        package, _, name = descriptor.full_name.rpartition(".")
        if package == "google.protobuf" and name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        name = descriptor.full_name
        if name not in self.described:
            described: dict[str, Any] = {"title": descriptor.name, "type": "object"}
            self.described[name] = described
            described["properties"] = {
                field.json_name: self._field(field) for field in descriptor.fields
            }
            required = [field.json_name for field in descriptor.fields if _is_required(field)]
            if required:
                described["required"] = required
        return {"$ref": REF_TEMPLATE.format(name=name)}

    def _field(self, field: FieldDescriptor) -> dict[str, Any]:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            values = self._single(kind.fields_by_name["value"])
            return {"type": "object", "additionalProperties": values}
        if _is_repeated(field):
            return {"type": "array", "items": self._single(field)}
        return self._single(field)

    def _single(self, field: FieldDescriptor) -> dict[str, Any]:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return _enum(field.enum_type)
        return dict(_SCALARS[field.type])


def _enum(descriptor: EnumDescriptor) -> dict[str, Any]:
    if descriptor.full_name == "google.protobuf.NullValue":
        return {"type": "null"}
    names = {"enum": [value.name for value in descriptor.values]}
    # What has no name is kept as its number.
    return names if descriptor.is_closed else {"anyOf": [names, {"type": "integer"}]}


def _is_label(name: str, label: int) -> Callable[[FieldDescriptor], bool]:
    def is_label(field: FieldDescriptor) -> bool:
        # Newer versions of protobuf have the first, and warn of the second.
        found = getattr(field, name, None)
        return getattr(field, "label", None) == label if found is None else bool(found)

    return is_label


_is_repeated = _is_label("is_repeated", _Kind.LABEL_REPEATED)
_is_required = _is_label("is_required", _Kind.LABEL_REQUIRED)
