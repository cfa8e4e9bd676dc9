"""JSON Schema of what msgspec knows, and of what it hands over."""

from __future__ import annotations

from typing import Any

import msgspec

from walnats_anyio.serializers._customs import parts_of
from walnats_anyio.serializers._json_schema import REF_TEMPLATE

_Json = dict[str, Any] | list[Any] | str | float | bool | None

_PLACE = "walnats:place"
"""The key of what is put in first where the description of another type belongs."""


class _Places:
    """What msgspec has to describe besides the schema itself, as it meets it."""

    def __init__(self, schema: Any) -> None:
        self.schemas: list[Any] = [schema]
        self._found: dict[Any, list[int]] = {}

    def hook(self, kind: type) -> dict[str, Any]:
        """Called by msgspec with a class that it cannot describe."""
        if kind not in self._found:
            start = len(self.schemas)
            self.schemas.extend(parts_of(kind))
            self._found[kind] = list(range(start, len(self.schemas)))
        return {_PLACE: self._found[kind]}


def described(schema: Any) -> dict[str, Any] | None:
    """Describe a schema as JSON Schema. None: it has a part that there is no description of."""
    places = _Places(schema)
    try:
        # A description may add further types, which need one themselves.
        while True:
            known = len(places.schemas)
            found, parts = msgspec.json.schema_components(
                list(places.schemas), schema_hook=places.hook, ref_template=REF_TEMPLATE
            )
            if known == len(places.schemas):
                break
    except TypeError:
        return None
    filler = _Filler(found)
    whole: dict[str, Any] = filler.fill(found[0])
    return whole | ({"$defs": filler.fill(parts)} if parts else {})


class _Filler:
    """Puts descriptions where their places are."""

    def __init__(self, found: tuple[dict[str, Any], ...]) -> None:
        self._found = found
        self._within: list[int] = []

    def fill(self, part: _Json) -> Any:
        if isinstance(part, list):
            return [self.fill(each) for each in part]
        if not isinstance(part, dict):
            return part
        if _PLACE in part:
            options = [self._at(place) for place in part[_PLACE]]
            return options[0] if len(options) == 1 else {"anyOf": options}
        return {key: self.fill(each) for key, each in part.items()}

    def _at(self, place: int) -> Any:
        if place in self._within:
            return {}  # it contains itself, and has no name to refer to: anything goes
        self._within.append(place)
        filled = self.fill(self._found[place])
        self._within.pop()
        return filled
