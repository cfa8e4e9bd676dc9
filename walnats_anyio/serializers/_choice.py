"""A union of classes that are all objects on the wire: which one was it?"""

from __future__ import annotations

import dataclasses
import sys
import threading
import typing
from hashlib import blake2b
from typing import Any, TypeGuard, cast

import msgspec
from msgspec import inspect

from walnats_anyio.serializers._classes import CONSTRUCTION_HOOKS, classes_of
from walnats_anyio.serializers._parts import parts
from walnats_anyio.serializers._wire import Hook, Wire

_LONGEST_PROBLEM = 200
"""Characters of an error that are told: it may have those of the unions inside."""


@dataclasses.dataclass(frozen=True)
class Option:
    """One of the types of a union, which the wire does not name."""

    schema: Any

    fields: frozenset[str] | None
    """What its objects may have, by the names on the wire. None: it is no object, or a dict."""

    decoders: dict[Wire, Any]

    runs_code: bool
    """Whether code of the user runs when such an object is made."""

    def distance(self, found: Any) -> int:
        """Say how far what arrived is from an object with exactly these fields.

        A dict, which takes any object, is asked last.
        """
        if not isinstance(found, dict):
            return 0
        if self.fields is None:
            return sys.maxsize
        return len(self.fields.symmetric_difference(cast("dict[str, Any]", found)))


@dataclasses.dataclass
class _Outcome:
    """Which option some data is of."""

    decoder: Any
    """Of the option. None: it is of none."""

    problem: str = ""
    """Why it is of none."""

    spare: list[Any] = dataclasses.field(default_factory=list[Any])
    """Objects made of the data that nobody has."""


class _Attempts:
    """What is known of the unions inside of the one that is being decoded.

    An option that contains unions decodes all that is inside, and the next option does so again.
    Without this, a message nested 40 times would take 2**40 attempts.
    """

    def __init__(self) -> None:
        self._outcomes: dict[tuple[type[Choice], Wire, bytes], _Outcome] = {}
        """By the union, the format and a digest of the data."""
        self._made: list[tuple[_Outcome, Any]] = []
        """The objects that belong to the attempt under way."""

    def decode(self, choice: type[Choice], found: Any, wire: Wire) -> Any:
        """Make an object of what arrived; see `Choice.decode`."""
        # Encoded again for a decoder that knows the class: msgspec.convert would ask the class, and
        # what it says now is not what it said when it was fit for msgspec.
        data = wire.library.encode(found)
        key = (choice, wire, blake2b(data, digest_size=16).digest())
        outcome = self._outcomes.get(key)
        if outcome is None:
            outcome = self._outcomes[key] = self._decided(choice, found, data, wire)
        if outcome.decoder is None:
            raise ValueError(outcome.problem)
        # Never one object twice: two equal parts of a message are two objects.
        made = outcome.spare.pop() if outcome.spare else self._again(outcome.decoder, data)
        self._made.append((outcome, made))
        return made

    def _again(self, decoder: Any, data: bytes) -> Any:
        outer, self._made = self._made, []  # what is inside of it belongs to it
        try:
            return decoder.decode(data)
        finally:
            self._made = outer

    def _decided(self, choice: type[Choice], found: Any, data: bytes, wire: Wire) -> _Outcome:
        problems: list[str] = []
        for option in sorted(choice.options, key=lambda option: option.distance(found)):
            decoder = option.decoders[wire]
            outer, self._made = self._made, []
            try:
                return _Outcome(decoder, spare=[decoder.decode(data)])
            except msgspec.ValidationError as error:
                problems.append(f"{_name_of(option.schema)}: {_shortened(str(error))}")
                if not option.runs_code:  # which might have changed them
                    for outcome, made in self._made:
                        outcome.spare.append(made)
            finally:
                self._made = outer
        return _Outcome(None, f"it is none of the union ({'; '.join(problems)})")


class _UnderWay(threading.local):
    attempts: _Attempts | None = None
    """Of the outermost union that this thread is decoding."""


_under_way = _UnderWay()


class _ChoiceMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        # msgspec asks this of what its hook returned. Someone else's decoder of a Struct that has
        # been adapted has no hook: there it refuses what has not been decoded.
        return any(isinstance(instance, classes_of(each)) for each in cast("Any", cls).types)


class Choice(metaclass=_ChoiceMeta):
    """Stands for a union of dataclasses, attrs classes, TypedDicts and others, as one type.

    On the wire there is nothing that names the class, as with every dataclass. What arrives is of
    the class whose fields are those of the object; among several, of the first that fits. So a
    message arrives as it was if its fields, or their types, tell its class; where they do not, the
    serializer refuses to encode it, as it compares.
    """

    types: tuple[Any, ...] = ()
    """The types of the union, without None."""

    options: tuple[Option, ...] = ()
    """The same, once `prepare` has been called."""

    @classmethod
    def of(cls, types: tuple[Any, ...]) -> type[Choice]:
        """Make the stand-in of a union."""
        return type("Choice", (Choice,), {"types": types})

    @classmethod
    def prepare(cls, hooks: dict[Wire, Hook]) -> None:
        """Make the decoders of the options, while their classes are fit for it."""
        cls.options = tuple(
            Option(
                each,
                _fields_of(each),
                {wire: wire.library.Decoder(each, dec_hook=hook) for wire, hook in hooks.items()},
                _runs_code(each),
            )
            for each in cls.types
        )

    @classmethod
    def decode(cls, found: Any, wire: Wire) -> Any:
        """Make an object of what arrived.

        Raises:
            ValueError: it is none of the union.
        """
        if _under_way.attempts is not None:
            return _under_way.attempts.decode(cls, found, wire)
        _under_way.attempts = attempts = _Attempts()
        try:
            return attempts.decode(cls, found, wire)
        finally:
            _under_way.attempts = None


def is_choice(kind: object) -> TypeGuard[type[Choice]]:
    """Whether it stands for a union."""
    return isinstance(kind, type) and Choice in kind.__mro__  # isinstance says yes to everything


def _fields_of(schema: Any) -> frozenset[str] | None:
    info = inspect.type_info(schema)
    if isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.DataclassType | inspect.TypedDictType):
        return frozenset(field.encode_name for field in info.fields)
    if isinstance(info, inspect.StructType) and not info.array_like:
        tag = [] if info.tag_field is None else [info.tag_field]
        return frozenset([*tag, *(field.encode_name for field in info.fields)])
    return None


def _runs_code(schema: Any) -> bool:
    for part in parts(inspect.type_info(schema)):
        cls: object = getattr(part, "cls", None)
        cls = typing.get_origin(cls) or cls
        if any(hasattr(cls, hook) for hook in CONSTRUCTION_HOOKS):
            return True
        if isinstance(part, inspect.CustomType) and not is_choice(part.cls):
            return True  # a subclass of `dict`, say, is called with what arrives
    return False


def _name_of(schema: Any) -> str:
    return getattr(schema, "__qualname__", None) or str(schema)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_PROBLEM else f"{text[:_LONGEST_PROBLEM]}..."
