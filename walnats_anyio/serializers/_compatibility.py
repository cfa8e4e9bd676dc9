"""Whether messages of an old schema can be read with a new one. Pure: no decoder is asked.

Theory of operation. Both schemas become lists of options (see `_schema_options`). Each option of
the old one must fit into one of the new one, down to the last part of a message. A pair of parts
that is being compared already counts as fitting, as parts may contain themselves; that is taken
back if it turns out otherwise.

What the old side writes is less than what its schema lets through in one point: an object with
`properties` has these and no others, and a list with `prefixItems` no further items, unless the
schema says something about others. Writers make messages from classes with fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from walnats_anyio.serializers._schema_options import (
    ALWAYS_WRITTEN,
    ANY,
    CONSTANT,
    MAX_DEPTH,
    NO_TEXT,
    NOT_COMPARED,
    UNCLEAR,
    Document,
    Option,
    Schema,
    TooLargeError,
    accepts,
    is_number,
    is_of,
    limits_of,
    same,
    shown,
    text_of,
)

MAX_STEPS = 10_000
"""Pairs of parts and of options that are compared: some 50 ms. Real schemas need tens of them."""

MAX_NAME = 80
"""Characters of a field's name that are told."""

WIDER_FORMATS = {
    "date-time": {"iso-date-time"},
    "date-time-local": {"iso-date-time"},
    "decimal": {"any-decimal"},
    "ipv4": {"ipvanyaddress"},
    "ipv6": {"ipvanyaddress"},
    "time": {"iso-time"},
    "time-local": {"iso-time"},
    **{f"uuid{version}": {"uuid"} for version in range(1, 9)},
}
"""Formats that take all texts of another one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Break:
    """Something that was written with an old schema and cannot be read with a new one."""

    path: str
    """Where in the message: `$` is all of it, `$.items[...].price` a field of each item."""

    reason: str
    """What was, and what is required now; a part of a sentence."""

    def __str__(self) -> str:
        return f"{self.reason} - at `{self.path}`"


def compatibility(
    old_schema: Mapping[str, Any] | bool, new_schema: Mapping[str, Any] | bool
) -> list[Break]:
    """Find out what a reader with a new schema cannot read of a writer with an old one.

    The other direction, old readers and new writers, is `compatibility(new_schema, old_schema)`.

    An empty list means: each message that a program with the old schema writes can be read. This
    holds for what `json_schema` makes of msgspec Structs, dataclasses, TypedDict, pydantic models
    and the types in them, as far as JSON Schema tells: it does not tell validators of your own,
    how long `bytes` are, and whole numbers that are too large for a `float`. A break
    may be a false alarm: a field that always was written and may be missing by the schema, or a
    keyword that is not compared (`not`, `if`, another `pattern`).

    Args:
        old_schema: the JSON Schema of the writer, such as `json_schema` gives.
        new_schema: that of the reader.

    Raises:
        TypeError: one of them is not plain JSON.
    """
    old, new = text_of(old_schema), text_of(new_schema)
    return [] if old == new else compare_texts(old, new)


def compare_texts(old: bytes, new: bytes) -> list[Break]:
    """Compare two schemas as they are stored.

    Raises:
        ValueError: one of them is not JSON.
    """
    try:
        return _Comparison(msgspec.json.decode(old), msgspec.json.decode(new)).breaks()
    except (TooLargeError, RecursionError):
        return [Break("$", "the schemas are too large or too deep to be compared")]


class _Comparison:
    """One comparison of two schemas."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old_root, self._new_root = old, new
        self._old = Document(old, is_old=True)
        self._new = Document(new, is_old=False)
        self._fitting: dict[tuple[int, int], None] = {}
        """Pairs of schemas that fit, and those that are being compared."""
        self._kept: list[Schema] = []
        """Schemas made here, as they are known by their addresses."""
        self._steps = 0
        self._depth = 0

    def breaks(self) -> list[Break]:
        return list(dict.fromkeys(self._compare(self._old_root, self._new_root, "$")))

    def _compare(self, old: Schema, new: Schema, path: str) -> list[Break]:
        """Compare two parts."""
        old, new = self._old.target(old), self._new.target(new)
        pair = (id(old), id(new))
        self._step()
        if pair in self._fitting:
            return []
        before = len(self._fitting)
        self._fitting[pair] = None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooLargeError
        found = list(self._misfits(self._old.options(old), self._new.options(new), path))
        self._depth -= 1
        if found:
            # What was found to fit meanwhile may have relied on it.
            while len(self._fitting) > before:
                self._fitting.popitem()
        return found

    def _step(self, count: int = 1) -> None:
        self._steps += count
        if self._steps > MAX_STEPS:
            raise TooLargeError

    def _misfits(self, olds: list[Option], news: list[Option], path: str) -> Iterator[Break]:
        """Compare each option with all that there are now."""
        # A decoder that has a place for whole numbers does not look for another one.
        whole = [option for option in news if _is_whole(option)]
        may_be_whole = whole and not any(map(_is_whole, olds))
        # One by one, two schemas with a thousand constants each would take a million steps.
        constants = {text_of(option.value) for option in news if option.type == CONSTANT}
        for old in olds:
            if old.type == CONSTANT and text_of(old.value) in constants:
                continue
            yield from self._misfits_among(old, whole if whole and _is_whole(old) else news, path)
            if may_be_whole and old.type == "number":
                integer = dataclasses.replace(old, type="integer")
                yield from self._misfits_among(integer, whole, path)

    def _misfits_among(self, old: Option, options: list[Option], path: str) -> list[Break]:
        """Compare one option with some; the best of them counts."""
        if old.type == CONSTANT:
            self._step()
            others = (option for option in options if option.type != CONSTANT)
            fits = any(accepts(option, old.value) for option in others)
            return [] if fits else [_other_type(old, options, path)]
        candidates = [option for option in options if _may_take(option, old)]
        attempts: list[tuple[Option, list[Break]]] = []
        for candidate in candidates:
            self._step()
            breaks = self._differences(old, candidate, path)
            if not breaks:
                return []
            attempts.append((candidate, breaks))
        if not attempts:
            return [_other_type(old, options, path)]
        if len(attempts) > 1:
            alike = [each for each in attempts if self._tagged_alike(old, each[0])]
            if not alike:
                return [Break(path, f"may be {self._tagged(old)}, which fits nowhere now")]
            attempts = alike
        return min((breaks for _, breaks in attempts), key=len)

    def _tagged_alike(self, old: Option, new: Option) -> bool:
        """Whether both are objects with the same constant in a field."""
        if old.type != "object":
            return False
        olds, news = _schemas(old, "properties"), _schemas(new, "properties")
        return any(
            self._is_constant(olds[name]) and not self._compare(olds[name], news[name], "")
            for name in olds.keys() & news.keys()
        )

    def _tagged(self, old: Option) -> str:
        """Name an option, an object by its first constant."""
        if old.type == "object":
            for name, schema in _schemas(old, "properties").items():
                if self._is_constant(schema):
                    values = " or ".join(map(str, self._old.options(schema)))
                    return f"an object with {shown(name)}: {values}"
        return str(old)

    def _is_constant(self, schema: Schema) -> bool:
        options = self._old.options(schema)
        return bool(options) and all(option.type == CONSTANT for option in options)

    def _differences(self, old: Option, new: Option, path: str) -> list[Break]:
        """Compare two options of one type."""
        if new.type == ANY:
            return []
        found = [
            Break(path, f"`{name}` is used now, which cannot be compared")
            for name in limits_of(new)
            if name in NOT_COMPARED
        ]
        match new.type:
            case "string":
                found += _strings(old, new, path)
            case "integer" | "number":
                found += _numbers(old, new, path)
            case "array":
                found += self._arrays(old, new, path)
            case "object":
                found += self._objects(old, new, path)
            case _:
                pass
        return found

    def _arrays(self, old: Option, new: Option, path: str) -> Iterator[Break]:
        yield from _at_least(old, new, "minItems", path)
        yield from _at_most(old, new, "maxItems", path, _most_items(old))
        if new.limits.get("uniqueItems") is True and old.limits.get("uniqueItems") is not True:
            yield _changed(old, new, "uniqueItems", path)
        firsts, new_firsts = _prefix(old), _prefix(new)
        rest, new_rest = _rest(old), _rest(new)
        most = _most_items(old)
        known = max(len(firsts), len(new_firsts))
        for index in range(known if most is None else min(known, int(most))):
            yield from self._compare(
                firsts[index] if index < len(firsts) else rest,
                new_firsts[index] if index < len(new_firsts) else new_rest,
                f"{path}[{index}]",
            )
        if most is None or most > known:
            yield from self._compare(rest, new_rest, f"{path}[...]")

    def _objects(self, old: Option, new: Option, path: str) -> Iterator[Break]:
        fields, new_fields = _schemas(old, "properties"), _schemas(new, "properties")
        others, new_others = _others(old), new.limits.get("additionalProperties", True)
        always = {*_names(old, "required"), *_names(old, ALWAYS_WRITTEN)}
        for name in dict.fromkeys(_names(new, "required")):
            if name not in always:
                may = "may be missing" if name in fields else "does not exist in the old version"
                yield Break(_field(path, name), f"is required now, and {may}")
        for name, schema in fields.items():
            yield from self._compare(schema, new_fields.get(name, new_others), _field(path, name))
        if others is not False:
            for name, schema in new_fields.items():
                if name not in fields:
                    yield from self._compare(others, schema, _field(path, name))
            yield from self._compare(others, new_others, f"{path}[...]")
        yield from self._property_names(old, new, fields, others, path)
        fewest = max(len(always), _count(old, "minProperties"))
        if fewest < _count(new, "minProperties"):
            yield _changed(old, new, "minProperties", path)
        most = len(fields) if others is False else None
        yield from _at_most(old, new, "maxProperties", path, most)

    def _property_names(
        self, old: Option, new: Option, fields: Mapping[str, Any], others: Schema, path: str
    ) -> Iterator[Break]:
        if "propertyNames" not in new.limits and "propertyNames" not in old.limits:
            return
        wanted = self._name_schema(new)
        options = self._new.options(wanted)
        for name in fields:
            if not any(accepts(option, name) for option in options):
                yield Break(_field(path, name), "is a name that is not taken any more")
        if others is not False:
            yield from self._compare(self._name_schema(old), wanted, f"{path}.keys()")

    def _name_schema(self, option: Option) -> Schema:
        """Names are text, which their schema need not say; `true` is anything, in MessagePack."""
        names: Schema = option.limits.get("propertyNames", {})
        made: Schema = {"type": "string", "allOf": [names]} if isinstance(names, dict) else names
        self._kept.append(made)
        return made


def _is_whole(option: Option) -> bool:
    """Whether it takes whole numbers and no others."""
    return option.type == "integer" or (option.type == CONSTANT and is_of(option.value, "integer"))


def _may_take(new: Option, old: Option) -> bool:
    if new.type == ANY or new.type == old.type:
        return new.type != CONSTANT
    return new.type == "number" and old.type == "integer"


def _other_type(old: Option, options: list[Option], path: str) -> Break:
    unclear = [option.value for option in options if option.type == UNCLEAR]
    if unclear:
        return Break(path, f"`{unclear[0]}` is used now, which cannot be compared")
    if not options:
        return Break(path, "is not taken any more")
    taken = " or ".join(dict.fromkeys(str(option) for option in options[:MAX_SHOWN]))
    more = " or something else" if len(options) > MAX_SHOWN else ""
    return Break(path, f"may be {old}, and must be {taken}{more} now")


MAX_SHOWN = 5
"""Options that are named in a reason."""


def _strings(old: Option, new: Option, path: str) -> Iterator[Break]:
    for name in ("format", "contentEncoding", "contentMediaType", "contentSchema", "pattern"):
        if name not in new.limits or same(old.limits.get(name), new.limits[name]):
            continue
        if name == "format" and _is_wider(old.limits.get(name), new.limits[name]):
            continue
        yield _changed(old, new, name, path)
    if old.limits.get("contentEncoding") == NO_TEXT and "contentEncoding" not in new.limits:
        yield Break(path, f"may be {old}, which is no text in this format, and must be text now")
    yield from _at_least(old, new, "minLength", path)
    yield from _at_most(old, new, "maxLength", path)


def _is_wider(old: object, new: object) -> bool:
    """Whether a format takes all texts of another one."""
    if not isinstance(old, str):
        return False
    # What limits a format stands behind it: "date in the past" is a "date".
    plain = old.partition(" ")[0]
    return new == plain or new in WIDER_FORMATS.get(plain, ())


def _numbers(old: Option, new: Option, path: str) -> Iterator[Break]:
    yield from _bounded(old, new, "minimum", "exclusiveMinimum", 1, path)
    yield from _bounded(old, new, "maximum", "exclusiveMaximum", -1, path)
    if "multipleOf" in new.limits:
        was, now = old.limits.get("multipleOf"), new.limits["multipleOf"]
        multiple = isinstance(was, int) and isinstance(now, int) and now > 0 and was % now == 0
        if not multiple and not same(was, now):
            yield _changed(old, new, "multipleOf", path)


def _bounded(
    old: Option, new: Option, bound: str, exclusive: str, sign: int, path: str
) -> Iterator[Break]:
    for name in (bound, exclusive):
        if name not in new.limits:
            continue
        wanted = new.limits[name]
        fits = is_number(wanted) and any(
            # A bound that is exclusive now takes the place of an equal one only if that was so too.
            is_number(was) and (sign * was, own == exclusive) >= (sign * wanted, name == exclusive)
            for own, was in ((own, old.limits.get(own)) for own in (bound, exclusive))
        )
        if not fits:
            yield _changed(old, new, name, path)


def _at_least(old: Option, new: Option, name: str, path: str) -> Iterator[Break]:
    if name in new.limits and not _count(old, name) >= _number(new.limits[name], float("inf")):
        yield _changed(old, new, name, path)


def _at_most(
    old: Option, new: Option, name: str, path: str, most: float | None = None
) -> Iterator[Break]:
    if name not in new.limits:
        return
    bounds = [each for each in (old.limits.get(name), most) if is_number(each)]
    if not bounds or min(bounds) > _number(new.limits[name], float("-inf")):
        yield _changed(old, new, name, path)


def _number(value: Any, otherwise: float) -> float:
    return value if is_number(value) else otherwise


def _count(option: Option, name: str) -> float:
    return _number(option.limits.get(name), 0)


def _changed(old: Option, new: Option, name: str, path: str) -> Break:
    was = shown(old.limits[name]) if name in old.limits else "nothing"
    return Break(path, f"`{name}` is {shown(new.limits[name])} now, and was {was}")


def _schemas(option: Option, name: str) -> dict[str, Any]:
    found: object = option.limits.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _names(option: Option, keyword: str) -> list[str]:
    names: object = option.limits.get(keyword)
    if not isinstance(names, list):
        return []
    return [each for each in cast("list[object]", names) if isinstance(each, str)]


def _others(old: Option) -> Schema:
    """What an old object may hold beside its fields."""
    limits = old.limits
    if "patternProperties" in limits:
        return True
    others: Schema = limits.get("additionalProperties", "properties" not in limits)
    return others


def _prefix(option: Option) -> list[Any]:
    found: object = option.limits.get("prefixItems")
    return cast("list[object]", found) if isinstance(found, list) else []


def _rest(option: Option) -> Schema:
    rest: Schema = option.limits.get("items", True)
    return rest


def _most_items(old: Option) -> float | None:
    """How many items an old list has at most; None: there is no limit."""
    limit = old.limits.get("maxItems")
    firsts = _prefix(old)
    closed = bool(firsts) and old.limits.get("items", False) is False
    bounds = [float(limit)] if is_number(limit) else []
    if closed or old.limits.get("items") is False:
        bounds.append(len(firsts))
    return min(bounds) if bounds else None


def _field(path: str, name: str) -> str:
    # Names of an old schema come from strangers, and go to logs.
    name = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
    return f"{path}.{name}" if name.isidentifier() else f"{path}[{name!r}]"
