"""JSON Schema of what msgspec knows, and of what it hands over."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import msgspec

from walnats_anyio.serializers._customs import parts_of
from walnats_anyio.serializers._json_schema import REF_TEMPLATE

_UNKNOWN = object()
"""In place of a default that cannot be written as JSON: it is left out."""

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE = "walnats:place"
"""The key of what is put in first where the description of another type belongs."""


class _Places:
    """What msgspec has to describe besides the schema itself, as it meets it."""

    def __init__(self, schema: Any) -> None:
        self.schemas: list[Any] = [schema]
        self._found: dict[Any, list[int]] = {}

    def hook(self, kind: type) -> dict[str, Any]:
        """Called by msgspec with a class that it cannot describe."""
        if kind is object:
            return {_PLACE: []}
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

    def fill(self, part: Any) -> Any:
        if isinstance(part, list | tuple):
            return [self.fill(each) for each in cast("Sequence[Any]", part)]
        if isinstance(part, dict):
            return self._fill_object(cast("dict[str, Any]", part))
        return _plain(part)

    def _fill_object(self, part: dict[str, Any]) -> dict[str, Any]:
        options = [self._at(place) for place in part.get(_PLACE, ())]
        filled = {key: self.fill(each) for key, each in part.items() if key != _PLACE}
        # Beside the description of a union or a subclass there may be a default, or a title.
        rest = {key: each for key, each in filled.items() if each is not _UNKNOWN}
        if len(options) > 1:
            return {"anyOf": options} | rest
        return options[0] | rest if options else rest

    def _at(self, place: int) -> Any:
        if place in self._within:
            return {}  # it contains itself, and has no name to refer to: anything goes
        self._within.append(place)
        filled = self.fill(self._found[place])
        self._within.pop()
        return filled


def _plain(default: Any) -> Any:
    """Make JSON of what stands in a description: defaults may be anything."""
    if isinstance(default, float) and not isfinite(default):
        return _UNKNOWN
    try:
        return msgspec.to_builtins(default)
    except (TypeError, ValueError):
        return _UNKNOWN
