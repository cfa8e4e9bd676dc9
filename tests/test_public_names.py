"""Public things show the module that people import them from."""

from __future__ import annotations

import dataclasses
import pickle
from types import ModuleType
from typing import Any

import pytest

import walnats_anyio
from walnats_anyio import dead_letters, middlewares, serializers, types

MODULES = [walnats_anyio, dead_letters, middlewares, serializers, types]
EVENT = walnats_anyio.Event("names", int)


@dataclasses.dataclass
class Point:
    x: int


async def handle(message: int) -> None: ...


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_public_class_shows_a_private_module(module: ModuleType) -> None:
    public = [getattr(module, name) for name in module.__all__]
    shown = {thing.__qualname__: thing.__module__ for thing in public if isinstance(thing, type)}
    assert [name for name, where in shown.items() if "._" in where] == []


def test_classes_of_the_root_show_the_root() -> None:
    assert walnats_anyio.Retry.__module__ == "walnats_anyio"
    assert walnats_anyio.ExecuteIn.__module__ == "walnats_anyio"
    assert middlewares.Middleware.__module__ == "walnats_anyio.middlewares"
    assert types.Summary.__module__ == "walnats_anyio.types"


@pytest.mark.parametrize(
    "value",
    [
        EVENT,
        walnats_anyio.Limits(age=5),
        walnats_anyio.Actor("a", EVENT, handle),
        walnats_anyio.ExecuteIn.THREAD,
        walnats_anyio.Priority.HIGH,
        serializers.MsgspecSerializer(int),
        serializers.BytesSerializer(),
        serializers.GZipSerializer(int),
        serializers.HMACSerializer(int, key=b"secret"),
        serializers.FernetSerializer(int, key=b"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="),
        serializers.MessagePackSerializer(int),
        serializers.DataclassSerializer(Point),
        serializers.PydanticSerializer(int),
    ],
    ids=repr,
)
def test_values_can_still_be_pickled(value: Any) -> None:
    data = pickle.dumps(value)
    assert pickle.loads(data) == value
    assert b"walnats_anyio._" not in data


@pytest.mark.parametrize(
    "error",
    [
        walnats_anyio.Retry(2),
        walnats_anyio.Reject("why"),
        walnats_anyio.EmitError("why"),
        serializers.EncodeError("why"),
    ],
    ids=repr,
)
def test_errors_can_still_be_pickled(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
