"""Which messages certainly come back as they went out: a quick test, made once for each schema.

Every message has to arrive equal in value and type, or to be refused. To decode it again and to
compare the two always tells, but costs more than encoding does. Most messages need no such proof:
an `int`, a `str`, a list of them, a dataclass of them is the same after JSON, if each part has
exactly the class that the schema names. That is what the tests here look at, and they say "not
certain" (False) to everything else: constraints, subclasses, odd time offsets, infinities.
"""

from __future__ import annotations

import inspect as std_inspect
from keyword import iskeyword
from math import isfinite
from typing import Any, get_origin

from msgspec import inspect

from walnats_anyio.serializers._annotations import is_dataclass_like
from walnats_anyio.serializers._choice import Choice, is_choice
from walnats_anyio.serializers._classes import CONSTRUCTION_HOOKS
from walnats_anyio.serializers._difference import class_of, fields_of
from walnats_anyio.serializers._exact_values import (
    Test,
    is_anything,
    is_finite,
    is_plain_json,
    is_plain_json_list,
    is_plain_json_object,
    leaves,
    value_test,
)

_TEXT = frozenset({str})

_COLLECTIONS: dict[type, type] = {
    inspect.ListType: list,
    inspect.VarTupleType: tuple,
    inspect.SetType: set,
    inspect.FrozenSetType: frozenset,
}


def never(_message: Any) -> bool:
    """Test of a schema of which nothing is certain: what went out is decoded and compared."""
    return False


def exact_test(info: inspect.Type) -> Test:
    """Make the test of a schema: whether a message of it is certain to come back as it went out."""
    return _Tests().make(info)


class _Tests:
    """The tests of the parts of one schema, which may contain itself."""

    def __init__(self) -> None:
        self._made: dict[int, Test] = {}
        self._under_way: set[int] = set()
        self._choices: dict[type[Choice], Test] = {}
        self._kept: list[inspect.Type] = []

    def make(self, info: inspect.Type) -> Test:
        key = id(info)
        made = self._made
        if key in made:
            return made[key]
        if key in self._under_way:

            def is_exact(message: Any) -> bool:
                return made[key](message)

            return is_exact
        self._under_way.add(key)
        test = made[key] = value_test(info) or self._container(info) or never
        return test

    def _container(self, info: inspect.Type) -> Test | None:
        match info:
            case inspect.UnionType():
                return self._union(info)
            case inspect.CollectionType(min_length=None, max_length=None):
                return self._collection(info)
            case inspect.TupleType():
                return self._tuple(info)
            case inspect.DictType(min_length=None, max_length=None):
                return self._dict(info)
            case inspect.TypedDictType():
                return self._typed_dict(info)
            case inspect.StructType() | inspect.DataclassType() | inspect.NamedTupleType():
                return self._object(info)
            case inspect.CustomType() if is_choice(info.cls):
                return self._choice(info.cls)
            case _:
                return None

    def _union(self, info: inspect.UnionType) -> Test:
        for part in info.types:
            if is_anything(part):
                return is_plain_json  # nothing else is decoded then
            if isinstance(part, inspect.DecimalType):
                return never  # which of them a number comes back as is not obvious
        tests = [self.make(part) for part in info.types]

        def is_exact(message: Any) -> bool:
            for test in tests:  # noqa: SIM110 - any() with a generator takes three times as long
                if test(message):
                    return True
            return False

        return is_exact

    def _choice(self, cls: type[Choice]) -> Test:
        # Dataclasses and attrs classes write all of their fields: different ones tell the class.
        fields = [option.fields for option in cls.options if is_dataclass_like(option.schema)]
        if len(set(fields)) < len(cls.options):
            return never
        made = self._choices
        if cls in made:
            return lambda message: made[cls](message)  # noqa: PLW0108 - it may not be known yet
        made[cls] = never  # until it is known; it may contain itself
        infos = [inspect.type_info(option.schema) for option in cls.options]
        self._kept += infos  # tests are found by the id of what they are of
        tests = [self.make(info) for info in infos]
        made[cls] = lambda message: any(test(message) for test in tests)
        return made[cls]

    def _collection(self, info: inspect.CollectionType) -> Test:
        cls = _COLLECTIONS[type(info)]
        if isinstance(info.item_type, inspect.AnyType) and cls is list:
            return is_plain_json_list
        kinds, test = leaves(info.item_type), self.make(info.item_type)
        if test is never:
            return never

        def is_exact(message: Any) -> bool:
            if class_of(message) is not cls:
                return False
            if kinds is not None:
                return kinds.issuperset(map(class_of, message))
            return all(map(test, message))

        return is_exact

    def _tuple(self, info: inspect.TupleType) -> Test:
        tests = [self.make(part) for part in info.item_types]
        if never in tests:
            return never

        def is_exact(message: Any) -> bool:
            if class_of(message) is not tuple or len(message) != len(tests):
                return False
            return all(test(item) for test, item in zip(tests, message, strict=True))

        return is_exact

    def _dict(self, info: inspect.DictType) -> Test:
        both = (info.key_type, info.value_type)
        if all(isinstance(part, inspect.AnyType) for part in both):
            return is_plain_json_object
        keys, test = leaves(info.key_type), self.make(info.value_type)
        # Every key is text in JSON: of several kinds it is not certain which one it was.
        if keys is None or len(keys) > 1 or test is never:
            return never

        def is_exact(message: Any) -> bool:
            return (
                class_of(message) is dict
                and keys.issuperset(map(class_of, message))
                and all(map(test, message.values()))
            )

        return is_exact

    def _typed_dict(self, info: inspect.TypedDictType) -> Test:
        tests = {field.encode_name: self.make(field.type) for field in info.fields}
        required = {field.encode_name for field in info.fields if field.required}

        def is_exact(message: Any) -> bool:
            if class_of(message) is not dict or not required.issubset(message):
                return False
            # A key of a class derived from `str` is equal to the name, and would not arrive.
            return _TEXT.issuperset(map(class_of, message)) and all(
                tests.get(key, never)(item) for key, item in message.items()
            )

        return is_exact

    def _object(
        self, info: inspect.StructType | inspect.DataclassType | inspect.NamedTupleType
    ) -> Test:
        cls: type = get_origin(info.cls) or info.cls
        names = [field.name for field in info.fields]
        if not _holds_what_it_is_given(cls, names):
            return never
        if never in [self.make(field.type) for field in info.fields]:
            return never
        # Written as source, as dataclasses write their methods: a call for each field would take
        # three times as long, and then decoding would cost less than the test.
        known: dict[str, Any] = {"cls": cls, "isfinite": isfinite}
        source = ["type(m) is cls"]
        for index, field in enumerate(info.fields):
            part, of = f"m.{field.name}", f"of{index}"
            kinds = leaves(field.type)
            if kinds is None:
                known[of] = self.make(field.type)
                is_float = known[of] is is_finite
                source.append(
                    f"type(x := {part}) is float and isfinite(x)" if is_float else f"{of}({part})"
                )
            elif len(kinds) == 1:
                [known[of]] = kinds
                source.append(f"type({part}) is {of}")
            else:
                known[of] = kinds
                source.append(f"type({part}) in {of}")
        test: Test = eval(f"lambda m: {' and '.join(source)}", known)
        return test


def _holds_what_it_is_given(cls: type, names: list[str]) -> bool:
    """Whether decoding makes an object with the very values of its fields, and no others."""
    if any(not name.isidentifier() or iskeyword(name) for name in names):
        return False  # such a class was not written by hand, and there is no source for its test
    if sorted(fields_of(cls) or ()) != sorted(names):
        return False
    if tuple in cls.__mro__[2:]:
        return False  # derived from a named tuple, and may have a __new__ of its own
    if any(hasattr(cls, hook) for hook in CONSTRUCTION_HOOKS):
        return False
    # msgspec leaves private fields of attrs classes out.
    private = any(name.startswith("_") for name in names) and hasattr(cls, "__attrs_attrs__")
    return not private and all(_is_plain_attribute(cls, name) for name in names)


def _is_plain_attribute(cls: type, name: str) -> bool:
    # A property may give something else than what it was set to.
    attribute = std_inspect.getattr_static(cls, name, None)
    if not hasattr(attribute, "__get__"):
        return True
    # Of a class with slots, or of a named tuple.
    return std_inspect.ismemberdescriptor(attribute) or tuple in cls.__mro__
