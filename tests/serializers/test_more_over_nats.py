"""Protobuf, marshmallow and the wrappers on their way through a real server."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from typing import Any

import anyio
import marshmallow
import pytest
from cryptography.fernet import Fernet
from google.protobuf.timestamp_pb2 import Timestamp
from marshmallow import fields

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE
from walnats_anyio.dead_letters import DeadLetters
from walnats_anyio.serializers import (
    FernetSerializer,
    GZipSerializer,
    HMACSerializer,
    MarshmallowSerializer,
)
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

KEY = Fernet.generate_key()
SECRET = b"a secret that nobody may see"
SEALED = FernetSerializer(
    str, GZipSerializer(str, HMACSerializer(str, key=SECRET)), key=[KEY, Fernet.generate_key()]
)


class OrderSchema(marshmallow.Schema):
    number = fields.Integer(required=True, data_key="orderNumber")
    note = fields.String()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with NatsServer() as server:
        yield server.url


def named(what: str) -> str:
    return f"{what}-{secrets.token_hex(6)}"


async def test_they_arrive_as_they_were_emitted(url: str) -> None:
    got: list[Any] = []

    async def handle(message: Any) -> None:
        got.append(message)

    messages: dict[walnats.Event[Any], Any] = {
        walnats.Event(named("opened"), Timestamp): Timestamp(seconds=5, nanos=1),
        walnats.Event(named("placed"), dict[str, Any], MarshmallowSerializer(OrderSchema)): {
            "number": 1
        },
        walnats.Event(named("sealed"), str, SEALED): "Kim " * 1000,
    }
    actors = walnats.Actors(*(walnats.Actor("a", event, handle) for event in messages))
    async with (
        walnats.Events(*messages).connect(url) as emitting,
        actors.connect(url) as listening,
    ):
        await emitting.register()
        await listening.register()
        for event, message in messages.items():
            await emitting.emit(event, message, sync=True)
        with anyio.fail_after(DEADLINE):
            await listening.listen(burst=True)
    assert len(got) == len(messages)
    for message in messages.values():
        [back] = [one for one in got if type(one) is type(message)]
        assert back == message


async def test_what_was_forged_is_dead_lettered_and_no_secret_is_told(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name = named("sealed")
    event, raw = walnats.Event(name, str, SEALED), walnats.Event(name, bytes)
    forged = FernetSerializer(
        str, GZipSerializer(str, HMACSerializer(str, key=b"a guess")), key=KEY
    )
    got: list[str] = []

    async def handle(message: str) -> None:
        got.append(message)

    actors = walnats.Actors(walnats.Actor("a", event, handle))
    async with (
        walnats.Events(raw).connect(url) as emitting,
        actors.connect(url) as listening,
        DeadLetters.connect(url) as dead,
    ):
        await emitting.register()
        await listening.register()
        await emitting.emit(raw, b"rubbish", sync=True)
        await emitting.emit(raw, forged.encode("give me money"), sync=True)
        with anyio.fail_after(DEADLINE):
            await listening.listen(burst=True)
        letters = [letter async for letter in dead.letters(event=event)]
    assert got == []
    assert sorted(letter.error or "" for letter in letters) == sorted(
        f"event {name!r} takes str, and what arrived ({size} bytes) does not fit:"
        f" it was not {what} with any of the keys, or was changed afterwards"
        for what, size in [("encrypted", 7), ("signed", len(forged.encode("give me money")))]
    )
    assert [(letter.error_type or "").rpartition(".")[2] for letter in letters] == [
        "DecodeError"
    ] * 2
    told = "\n".join([caplog.text, *(repr(letter) for letter in letters)])
    assert name in told
    assert KEY.decode() not in told
    assert SECRET.decode() not in told
