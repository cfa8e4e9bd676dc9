"""What pydantic writes and reads, as a JSON Schema to compare with another one.

Pydantic's own description says nothing of time zones and of keys that are no text.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import core_schema

from walnats_anyio.serializers._enums import values_schema
from walnats_anyio.serializers._schema_options import ALSO_READ, text_of

_MOMENTS = {"aware": "date-time", "naive": "date-time-local"}
_TIMES = {"aware": "time", "naive": "time-local"}

_BOUNDS = ("gt", "ge", "lt", "le")
_DIGITS = ("max_digits", "decimal_places")

_CHANGES = ("strip_whitespace", "to_lower", "to_upper")
_LIMITED = frozenset({"maxLength", "minLength", "pattern"})
"""What a text may be before it is changed, and not be afterwards, or the other way round."""


class WireDescriber(GenerateJsonSchema):
    """Describes what can be described, and keeps quiet about the rest."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Called with what is left out: a default that is no JSON, an option of a union."""

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> dict[str, Any]:
        """Describe a `datetime`, by whether it has a time zone."""
        form = _MOMENTS.get(str(schema.get("tz_constraint")), "iso-date-time")
        return _with_format(super().datetime_schema(schema), form, schema)

    def time_schema(self, schema: core_schema.TimeSchema) -> dict[str, Any]:
        """Describe a `time`, by whether it has a time zone."""
        form = _TIMES.get(str(schema.get("tz_constraint")), "iso-time")
        return _with_format(super().time_schema(schema), form, schema)

    def date_schema(self, schema: core_schema.DateSchema) -> dict[str, Any]:
        """Describe a `date`, and between which others it must be."""
        return _with_format(super().date_schema(schema), "date", schema)

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> dict[str, Any]:
        """Describe a `timedelta`, and between which others it must be."""
        return _with_format(super().timedelta_schema(schema), "duration", schema)

    def complex_schema(self, schema: core_schema.ComplexSchema) -> dict[str, Any]:
        """Describe a `complex`, which is text, or a number."""
        return {"type": "string", "format": "complex", ALSO_READ: [{"type": "number"}]}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        """Describe a `Decimal`, which is written as text, and read as a number as well."""
        base = "any-decimal" if schema.get("allow_inf_nan") else "decimal"
        form = _with_limits(base, schema, (*_BOUNDS, "multiple_of", *_DIGITS))
        described: dict[str, Any] = {"type": "string", "format": form}
        if any(name in schema for name in _DIGITS):
            return described  # how many digits a number has its schema does not tell
        number = super().decimal_schema(schema).get("anyOf", [{}])[0]
        return described | ({ALSO_READ: [number]} if number else {})

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        """Describe an `Enum`, and all that flags may be."""
        kind = schema["cls"]
        is_flag = issubclass(kind, enum.Flag)
        return values_schema(kind) if is_flag else super().enum_schema(schema)

    def str_schema(self, schema: core_schema.StringSchema) -> dict[str, Any]:
        """Describe a `str`, and whether its limits are those of a text that is changed first."""
        described = super().str_schema(schema)
        changes = [name for name in _CHANGES if schema.get(name)]
        if changes and not _LIMITED.isdisjoint(described):
            described["format"] = " ".join(("text", *changes))
        return described

    def model_field_schema(self, schema: core_schema.ModelField) -> dict[str, Any]:
        """Describe a field, and whether it is always written."""
        return _with_default(super().model_field_schema(schema), schema)

    def dataclass_field_schema(self, schema: core_schema.DataclassField) -> dict[str, Any]:
        """Likewise."""
        return _with_default(super().dataclass_field_schema(schema), schema)

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        """Describe a `dict`, and keys that are no text."""
        described = super().dict_schema(schema)
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        limits = {name: value for name, value in keys.items() if name != "title"}
        if limits and "$ref" not in limits and limits.get("type") != "string":
            described["propertyNames"] = {"format": f"key:{text_of(limits).decode()}"}
        return described


def _with_format(described: dict[str, Any], form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Say the format more exactly, unless it is written as a number."""
    if described.get("type") == "string":
        bound = schema.get("now_op")
        form = f"{form} in the {bound}" if bound else form
        described["format"] = _with_limits(form, schema, _BOUNDS)
    return described


def _with_limits(form: str, schema: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Add limits to a format, for which JSON Schema has no keywords where it is text."""
    limits = [f"{name}={schema[name]}" for name in names if schema.get(name) is not None]
    return " ".join((form, *limits))


def _with_default(described: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Have a default in what is always written although it may be missing, and only there."""
    others = {name: value for name, value in described.items() if name != "default"}
    if schema.get("serialization_exclude") or "serialization_exclude_if" in schema:
        return others
    # Also one that a function makes, or that is no JSON.
    return others | ({"default": None} if schema["schema"]["type"] == "default" else {})
