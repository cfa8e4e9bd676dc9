"""Unions of pydantic models that contain each other, and have no discriminator.

Pydantic tries each model of such a union, with all that is inside, and each of them tries each
model of the union inside: of two models, a message nested 30 times takes 2**30 attempts, be it
right or wrong. So the attempts are counted before a message is validated.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

from pydantic_core import from_json

MAX_ATTEMPTS = 2**15
"""Attempts that a message may take, if it takes many for each of its objects. They take 30 ms, in a
wrong message a second: most of that is its errors."""

MAX_FOR_EACH = 32
"""Attempts for each object, on average, that a message may take however many there are."""

_OBJECTS = frozenset({"dataclass-args", "model-fields", "typed-dict"})
"""Parts of a schema of pydantic-core that have fields."""

_NO_SCHEMAS = frozenset({"config", "default", "expected", "metadata", "serialization"})
"""Keys of such a schema below which there is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nesting:
    """How the attempts of a message grow with each level."""

    options: int
    """How many times as many each level takes as the one around it."""

    names: frozenset[str]
    """The fields that hold the next level."""

    def check(self, data: bytes) -> None:
        """Refuse what would take too long.

        Raises:
            ValueError: it takes too many attempts.
        """
        try:
            message = from_json(data)
        except ValueError:
            return  # pydantic says what is wrong with it
        objects, attempts = self._count(message)
        if attempts > max(MAX_ATTEMPTS, MAX_FOR_EACH * objects):
            raise ValueError(
                f"it takes {attempts:.0e} attempts, as models of a union contain each other in"
                f" {' and '.join(sorted(self.names))}: give the union a discriminator"
            )

    def _count(self, message: object) -> tuple[int, int]:
        """Count the objects of a message, and the attempts to make them."""
        objects = attempts = 0
        stack: list[tuple[object, int]] = [(message, 1)]
        while stack:
            part, factor = stack.pop()
            if isinstance(part, dict):
                objects += 1
                attempts += factor
                for name, value in cast("dict[str, object]", part).items():
                    stack.append((value, factor * self.options if name in self.names else factor))
            elif isinstance(part, list):
                stack.extend((each, factor) for each in cast("list[object]", part))
        return objects, attempts


def nesting_of(schema: Any) -> Nesting | None:
    """Find out whether a schema of pydantic-core has such unions. None: no."""
    if schema["type"] != "definitions":
        return None  # nothing in it contains itself
    return _Unions(schema).nesting()


class _Unions:
    """The unions of one schema."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._definitions: dict[str, Any] = {each["ref"]: each for each in root["definitions"]}

    def nesting(self) -> Nesting | None:
        options, names = 1, set[str]()
        for part in _parts(self._root):
            if part["type"] != "union":
                continue
            for name, count in self._shared_fields(part).items():
                if count > 1:
                    options = max(options, count)
                    names.add(name)
        return Nesting(options, frozenset(names)) if names else None

    def _shared_fields(self, union: Any) -> dict[str, int]:
        """Count the models of a union that have another one of them in a field of a name."""
        models = {ref for choice in union["choices"] for ref in self._models(choice, set())}
        found: defaultdict[str, int] = defaultdict(int)
        for ref in models:
            inside = {
                name
                for names, part in self._fields(ref)
                if not models.isdisjoint(self._reachable(part))
                for name in names
            }
            for name in inside:
                found[name] += 1
        return found

    def _models(self, choice: Any, seen: set[str]) -> Iterator[str]:
        """List the models that a choice may be, or may be a list of."""
        for part in _parts(choice, _OBJECTS):
            if part["type"] != "definition-ref" or part["schema_ref"] in seen:
                continue
            ref = part["schema_ref"]
            seen.add(ref)
            if self._fields(ref):
                yield ref
            else:
                yield from self._models(self._definitions[ref], seen)

    def _fields(self, ref: str) -> list[tuple[set[str], Any]]:
        """List the fields of a definition, each with the names it is read by."""
        found: list[tuple[set[str], Any]] = []
        for part in _parts(self._definitions[ref], _OBJECTS):
            if part["type"] in _OBJECTS:
                found += _named(part["fields"])
        return found

    def _reachable(self, start: Any) -> set[str]:
        """List the definitions that a part refers to, and those that they refer to."""
        found = set[str]()
        stack = [start]
        while stack:
            for part in _parts(stack.pop()):
                if part["type"] == "definition-ref" and part["schema_ref"] not in found:
                    found.add(part["schema_ref"])
                    stack.append(self._definitions[part["schema_ref"]])
        return found


def _named(fields: Any) -> Iterator[tuple[set[str], Any]]:
    # Those of a dataclass are a list, and others a dict.
    for each in fields:
        name: str = each if isinstance(each, str) else each["name"]
        field: Any = fields[each] if isinstance(each, str) else each
        alias = field.get("validation_alias")
        yield {name, alias} if isinstance(alias, str) else {name}, field


def _parts(schema: object, leaves: frozenset[str] = frozenset()) -> Iterator[Any]:
    """List a schema and the ones in it, but not what is in those of the types that are leaves."""
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            keys = cast("dict[str, object]", part)
            kind = keys.get("type")
            if isinstance(kind, str):
                yield keys
            if kind not in leaves:
                stack += [each for key, each in keys.items() if key not in _NO_SCHEMAS]
        elif isinstance(part, list | tuple):
            stack += cast("list[object]", part)
