"""What pydantic writes and reads, as a JSON Schema to compare with another one.

Pydantic's own description says nothing of time zones and of keys that are no text.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import core_schema

from walnats_anyio.serializers._schema_options import text_of

_MOMENTS = {"aware": "date-time", "naive": "date-time-local"}
_TIMES = {"aware": "time", "naive": "time-local"}


class WireDescriber(GenerateJsonSchema):
    """Describes what can be described, and keeps quiet about the rest."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Called with what is left out: a default that is no JSON, an option of a union."""

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> dict[str, Any]:
        """Describe a `datetime`, by whether it has a time zone."""
        form = _MOMENTS.get(str(schema.get("tz_constraint")), "iso-date-time")
        return _with_format(super().datetime_schema(schema), form, schema.get("now_op"))

    def time_schema(self, schema: core_schema.TimeSchema) -> dict[str, Any]:
        """Describe a `time`, by whether it has a time zone."""
        form = _TIMES.get(str(schema.get("tz_constraint")), "iso-time")
        return _with_format(super().time_schema(schema), form, None)

    def date_schema(self, schema: core_schema.DateSchema) -> dict[str, Any]:
        """Describe a `date`, and whether it must be in the past or in the future."""
        return _with_format(super().date_schema(schema), "date", schema.get("now_op"))

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        """Describe a `dict`, and keys that are no text."""
        described = super().dict_schema(schema)
        keys = self.generate_inner(schema["keys_schema"]) if "keys_schema" in schema else {}
        limits = {name: value for name, value in keys.items() if name != "title"}
        if limits and "$ref" not in limits and limits.get("type") != "string":
            described["propertyNames"] = {"format": f"key:{text_of(limits).decode()}"}
        return described


def _with_format(described: dict[str, Any], form: str, bound: str | None) -> dict[str, Any]:
    """Say the format more exactly, unless it is written as a number."""
    if described.get("type") == "string":
        described["format"] = f"{form} in the {bound}" if bound else form
    return described
