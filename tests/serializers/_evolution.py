"""Schemas that change: a schema, a later version of it, and messages; for Hypothesis.

A schema is a `Shape`, a plain description. It becomes a type of msgspec or of pydantic, so the same
change can be tried with both.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, Union
from uuid import UUID

import msgspec
import pydantic
from hypothesis import strategies as st

NAMES = ("a", "b", "type", "odd name")
TAGS = ("cat", "dog", "cow")
_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of an object."""

    shape: Shape
    default: str = "none"
    """`none`: it is required; `value`: it has a default; `unset`: it may be left out."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """One part of a schema."""

    kind: str
    parts: tuple[Shape, ...] = ()
    fields: tuple[tuple[str, Field], ...] = ()
    options: tuple[Any, ...] = ()


# Shapes


def plain(kind: str, *options: Any) -> Shape:
    return Shape(kind, options=options)


BOUNDS = st.one_of(st.none(), st.integers(0, 4))
TEXTS = st.one_of(
    st.builds(lambda low, high: plain("str", low, high), BOUNDS, BOUNDS).filter(
        lambda shape: None in shape.options or shape.options[0] <= shape.options[1]
    ),
    st.sampled_from(
        ["datetime", "aware", "naive", "date", "time", "uuid", "decimal", "duration"]
    ).map(plain),
    st.just(plain("bytes")),
)
NUMBERS = st.one_of(
    st.just(plain("float")),
    st.builds(lambda low, high: plain("int", low, high), BOUNDS, BOUNDS).filter(
        lambda shape: None in shape.options or shape.options[0] <= shape.options[1]
    ),
)
CHOICES = st.builds(
    plain,
    st.sampled_from(["literal", "enum"]),
    st.frozensets(st.sampled_from(["x", "yy", "zzz"]), min_size=1),
) | st.builds(
    plain,
    st.sampled_from(["literal", "enum"]),
    st.frozensets(st.sampled_from([1, 2, 9]), min_size=1),
)  # fmt: skip
LEAVES = st.one_of(TEXTS, NUMBERS, CHOICES, st.sampled_from(["bool", "none", "any"]).map(plain))
KEYS = [
    *(plain("str", low, high) for low, high in ((None, None), (1, None), (None, 3))),
    *(plain(kind) for kind in ("any", "date", "uuid")),
    plain("int", None, None),
    plain("literal", frozenset({"x", "yy"})),
    plain("literal", frozenset({"x"})),
]


def fields_of(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[tuple[tuple[str, Field], ...]]:
    field = st.builds(Field, shapes, st.sampled_from(["none", "none", "value", "unset"]))
    return st.dictionaries(st.sampled_from(NAMES), field, max_size=3).map(
        lambda fields: tuple(fields.items())
    )


def objects(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    options = st.sampled_from([(), (), ("forbid",), ("omit",), ("array",), ("array", "forbid")])
    return st.builds(
        lambda fields, options: Shape("object", fields=fields, options=options),
        fields_of(shapes),
        options,
    )


def tagged(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    """A union of objects with a tag each."""
    return st.lists(st.sampled_from(TAGS), min_size=1, max_size=3, unique=True).flatmap(
        lambda tags: st.tuples(*(fields_of(shapes) for _ in tags)).map(
            lambda fields: Shape(
                "tagged",
                parts=tuple(
                    Shape("object", fields=each, options=("tag", tag))
                    for tag, each in zip(tags, fields, strict=True)
                ),
            )
        )
    )


GROUPS = {"str": "str", "bytes": "str", "int": "int", "float": "float", "bool": "bool",
          "list": "list", "dict": "object", "tagged": "object", "none": "none"}  # fmt: skip


def group_of(shape: Shape) -> str | None:
    """What msgspec cannot tell apart. None: it takes no such part of a union."""
    if shape.kind in ("literal", "enum"):
        return "int" if all(isinstance(value, int) for value in shape.options[0]) else "str"
    return GROUPS.get(shape.kind)


def unions(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    """What msgspec can tell apart."""
    return (
        st.lists(shapes, max_size=3, unique_by=lambda shape: group_of(shape) or "")
        .map(lambda parts: (*parts, plain("none")))
        .filter(is_union)
        .map(lambda parts: Shape("union", parts=parts))
    )


def is_union(parts: tuple[Shape, ...]) -> bool:
    groups = [group_of(part) for part in parts]
    return None not in groups and len(set(groups)) == len(groups) > 1


def containers(shapes: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    return st.one_of(
        st.builds(lambda part: Shape("list", (part,)), shapes),
        st.builds(lambda parts: Shape("tuple", tuple(parts)), st.lists(shapes, max_size=2)),
        st.builds(lambda key, part: Shape("dict", (key, part)), st.sampled_from(KEYS), shapes),
        st.builds(lambda part: Shape("set", (part,)), NUMBERS | TEXTS),
        objects(shapes),
        objects(shapes),
        tagged(shapes),
        unions(shapes),
    )


SHAPES = st.recursive(LEAVES, containers, max_leaves=6)


@st.composite
def later(draw: st.DrawFn, shape: Shape, chance: int = 4) -> Shape:
    """A later version of a schema: something of it is another."""
    what = draw(st.integers(0, 9))
    if what < 1:
        return draw(SHAPES)
    if what < chance:
        return draw(st.sampled_from(relatives(shape)))
    parts = tuple(draw(later(part, 2)) for part in shape.parts)
    if not _may_have(shape.kind, parts):
        parts = shape.parts
    fields: list[tuple[str, Field]] = []
    for name, field in shape.fields:
        what = draw(st.integers(0, 11))
        if what == 0:
            continue
        default = draw(st.sampled_from(["none", "value", "unset"])) if what < 3 else field.default
        fields.append((name, Field(draw(later(field.shape, 2)), default)))
    if shape.kind == "object" and draw(st.integers(0, 3)) == 0:
        name, default = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["value", "none"]))
        if name not in dict(fields):
            fields.append((name, Field(draw(LEAVES), default)))
    return Shape(shape.kind, parts, tuple(fields), shape.options)


def _may_have(kind: str, parts: tuple[Shape, ...]) -> bool:
    """Whether a shape of this kind may have these parts."""
    match kind:
        case "union":
            return is_union(parts)
        case "dict":
            return parts[0] in KEYS
        case "set":
            return False  # not all can be hashed
        case "tagged":
            return all("tag" in part.options for part in parts)
        case _:
            return True


def relatives(shape: Shape) -> list[Shape]:
    """Shapes that are a little wider or narrower, and others."""
    found = [plain("any"), plain("str", None, None), plain("int", None, None), plain("float")]
    found += _relatives_of(shape)
    if group_of(shape) not in (None, "none"):
        found += [Shape("union", (shape, plain("none")))] * 3
    return [each for each in found if "tag" not in shape.options or "tag" in each.options] or [
        shape
    ]


def _relatives_of(shape: Shape) -> list[Shape]:
    """Those of its own kind."""
    found: list[Shape] = []
    match shape.kind:
        case "int" | "str":
            low, high = shape.options
            found += [plain(shape.kind, None, high), plain(shape.kind, low, None)]
            found += [plain(shape.kind, 1, 4), plain(shape.kind, None, None)]
        case "literal" | "enum":
            (values,) = shape.options
            found += [plain("literal", values), plain("enum", values)]
            found += [plain("literal", frozenset(sorted(values)[:1]))]
            if all(isinstance(value, str) for value in values):
                found.append(plain("literal", frozenset({"x", "yy", "zzz"})))
        case "tagged":
            found += [
                Shape("tagged", shape.parts[:1]),
                Shape("tagged", shape.parts[1:] or shape.parts),
            ]
            missing = [tag for tag in TAGS if tag not in [part.options[1] for part in shape.parts]]
            if missing:
                new = Shape("object", options=("tag", missing[0]))
                found += [Shape("tagged", (*shape.parts, new))] * 3
        case "list" | "set":
            found += [Shape("list", shape.parts), Shape("tuple", shape.parts)]
        case "object":
            if "tag" not in shape.options:
                options: tuple[tuple[str, ...], ...] = ((), ("forbid",), ("omit",), ("array",))
                found += [dataclasses.replace(shape, options=each) for each in options]
        case "datetime" | "aware" | "naive":
            found += [plain("datetime"), plain("aware"), plain("naive")]
        case _:
            pass
    return found


# Types of msgspec

LEAF_TYPES: dict[str, Any] = {
    "bool": bool, "none": None, "any": Any, "float": float, "bytes": bytes, "datetime": datetime,
    "date": date, "time": time, "uuid": UUID, "decimal": Decimal, "duration": timedelta,
}  # fmt: skip


def struct_type(shape: Shape) -> Any:
    """The shape as msgspec has it."""
    match shape.kind:
        case "int":
            low, high = shape.options
            return Annotated[int, msgspec.Meta(ge=low, le=high)]
        case "str":
            low, high = shape.options
            return Annotated[str, msgspec.Meta(min_length=low, max_length=high)]
        case "aware" | "naive":
            return Annotated[datetime, msgspec.Meta(tz=shape.kind == "aware")]
        case "object":
            return _struct(shape)
        case _:
            return _common(shape, struct_type)


def _common(shape: Shape, make: Callable[[Shape], Any]) -> Any:
    parts = [make(part) for part in shape.parts]
    match shape.kind:
        case "literal":
            return Literal[tuple(sorted(shape.options[0]))]
        case "enum":
            return enum.Enum("E", {f"m{value}": value for value in sorted(shape.options[0])})
        case "list":
            return list[parts[0]]  # type: ignore[valid-type]
        case "set":
            return set[parts[0]]  # type: ignore[valid-type]
        case "tuple":
            return tuple[tuple(parts)]  # type: ignore[misc]
        case "dict":
            return dict[parts[0], parts[1]]  # type: ignore[valid-type]
        case "union" | "tagged":
            return either(*parts)
        case _:
            return LEAF_TYPES[shape.kind]


def either(*types: Any) -> Any:
    """A union, also of what has no `|`."""
    return Union[types]  # noqa: UP007 - of a tuple


def _default(shape: Shape) -> Any:
    return {"int": 1, "str": "d", "float": 0.5, "bool": True}.get(shape.kind)


def _struct(shape: Shape) -> Any:
    fields: list[Any] = []
    for index, (_, field) in enumerate(shape.fields):
        made = struct_type(field.shape)
        if field.default == "none":
            fields.append((f"f{index}", made))
        elif field.default == "unset" and "array" not in shape.options:
            fields.append((f"f{index}", either(made, msgspec.UnsetType), msgspec.UNSET))
        else:
            default = _default(field.shape)
            fields.append(
                (f"f{index}", made if default is not None else either(made, None), default)
            )
    fields.sort(key=len)
    rename = {f"f{index}": name for index, (name, _) in enumerate(shape.fields)}
    tag = shape.options[1] if "tag" in shape.options else None
    return msgspec.defstruct(
        f"S{next(_numbers)}",
        fields,
        rename=rename,
        tag=tag,
        tag_field="type of it" if tag else None,
        forbid_unknown_fields="forbid" in shape.options,
        omit_defaults="omit" in shape.options,
        array_like="array" in shape.options,
    )


def model_type(shape: Shape) -> Any:
    """The shape as pydantic has it."""
    match shape.kind:
        case "int":
            low, high = shape.options
            return Annotated[int, pydantic.Field(ge=low, le=high)]
        case "str":
            low, high = shape.options
            return Annotated[str, pydantic.Field(min_length=low, max_length=high)]
        case "aware":
            return pydantic.AwareDatetime
        case "naive":
            return pydantic.NaiveDatetime
        case "object":
            return _model(shape)
        case "tagged" if len(shape.parts) > 1:
            return Annotated[_common(shape, model_type), pydantic.Field(discriminator="type_")]
        case _:
            return _common(shape, model_type)


def _model(shape: Shape) -> Any:
    fields: dict[str, Any] = {}
    for index, (name, field) in enumerate(shape.fields):
        made = model_type(field.shape)
        if field.default == "none":
            fields[f"f{index}"] = (made, pydantic.Field(alias=name))
        else:
            default = _default(field.shape)
            made = made if default is not None else either(made, None)
            fields[f"f{index}"] = (made, pydantic.Field(default, alias=name))
    if "tag" in shape.options:
        tag = shape.options[1]
        fields["type_"] = (Literal[tag], pydantic.Field(tag, alias="type of it"))
    extra: Literal["forbid", "ignore"] = "forbid" if "forbid" in shape.options else "ignore"
    return pydantic.create_model(
        f"M{next(_numbers)}",
        __config__=pydantic.ConfigDict(extra=extra, populate_by_name=False),
        **fields,
    )


# Messages

OFFSETS = st.sampled_from(
    [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))]
)
PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=3,
)


ANY_KEYS = st.text(max_size=3)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """What a program might put there; objects as dicts with the names that are written."""
    match shape.kind:
        case "int":
            low, high = shape.options
            return st.integers(-(10**9) if low is None else low, 10**9 if high is None else high)
        case "str":
            low, high = shape.options
            return st.text(min_size=low or 0, max_size=6 if high is None else high).filter(is_utf8)
        case "literal" | "enum":
            return st.sampled_from(sorted(shape.options[0]))
        case "list":
            return st.lists(values(shape.parts[0]), max_size=3)
        case "set":
            return st.lists(values(shape.parts[0]), max_size=3, unique_by=repr)
        case "tuple":
            return st.tuples(*map(values, shape.parts)).map(list)
        case "dict":
            keys = ANY_KEYS if shape.parts[0].kind == "any" else values(shape.parts[0])
            return st.dictionaries(keys, values(shape.parts[1]), max_size=2)
        case "union" | "tagged":
            return st.one_of(*map(values, shape.parts))
        case "object":
            return _object_values(shape)
        case _:
            return LEAF_VALUES[shape.kind]


MOMENTS = st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2100-01-01"))

LEAF_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "none": st.none(),
    "any": PLAIN_JSON,
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bytes": st.binary(max_size=5),
    "aware": st.builds(lambda moment, offset: moment.replace(tzinfo=offset), MOMENTS, OFFSETS),
    "naive": MOMENTS,
    "datetime": MOMENTS
    | st.builds(lambda moment, offset: moment.replace(tzinfo=offset), MOMENTS, OFFSETS),
    "date": st.dates(),
    "time": st.times(),
    "uuid": st.uuids(),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=2),
    "duration": st.timedeltas(timedelta(0), timedelta(days=900)),
}


def is_utf8(text: str) -> bool:
    return text.isprintable()


def _object_values(shape: Shape) -> st.SearchStrategy[Any]:
    required = {name: values(f.shape) for name, f in shape.fields if f.default == "none"}
    optional = {name: values(f.shape) for name, f in shape.fields if f.default != "none"}
    made = st.fixed_dictionaries(required, optional=optional)
    if "tag" in shape.options:
        return made.map(lambda fields: fields | {"type of it": shape.options[1]})
    if "array" in shape.options:
        order = sorted(shape.fields, key=lambda each: each[1].default != "none")
        return made.map(lambda fields: _in_order(fields, [name for name, _ in order]))
    return made


def _in_order(fields: dict[str, Any], names: list[str]) -> list[Any]:
    found: list[Any] = []
    for name in names:
        if name not in fields:
            break
        found.append(fields[name])
    return found
