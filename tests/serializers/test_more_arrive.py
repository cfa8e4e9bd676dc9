"""The law again: of unions of classes, subclasses of primitives, models, and in MessagePack."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serializers import _messages as plain
from tests.serializers._messages import ANYTHING, LAW, check_law, fitting, same
from tests.serializers._models import INVOICES, MODELS, OBJECTS, ODD, SUBCLASSES, Invoice
from walnats_anyio import Event
from walnats_anyio.serializers import DecodeError, MessagePackSerializer, PydanticSerializer

FEW = settings(LAW, max_examples=int(os.environ.get("WALNATS_EXAMPLES", "5")))
OF_MSGSPEC = OBJECTS | SUBCLASSES | {"subclasses in a dataclass": (Invoice, INVOICES)}
ALL = OF_MSGSPEC | MODELS
IN_MESSAGE_PACK: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    **{str(schema): (schema, fitting(schema)) for schema in plain.SCHEMAS},
    **{
        str(schema): (schema, st.from_type(schema))
        for schema in (dict[tuple[int, int], str], dict[bool | None, bytes], bytearray)
    },
    **OF_MSGSPEC,
}


@pytest.mark.parametrize("label", ALL)
def test_what_must_arrive_arrives(label: str) -> None:
    schema, messages = ALL[label]
    event = Event("x", schema)
    assert isinstance(event._codec, PydanticSerializer) is (label in MODELS)

    @FEW
    @given(messages)
    def check(message: Any) -> None:
        back = event.decode(event.encode(message))
        assert same(message, back), f"{message!r} arrived as {back!r}"

    check()


@pytest.mark.parametrize("label", OF_MSGSPEC)
def test_what_must_arrive_arrives_in_message_pack(label: str) -> None:
    schema, messages = OF_MSGSPEC[label]
    event = Event("x", schema, MessagePackSerializer(schema))

    @FEW
    @given(messages)
    def check(message: Any) -> None:
        assert same(message, event.decode(event.encode(message)))

    check()


@pytest.mark.parametrize("label", ALL)
def test_anything_arrives_as_it_is_or_is_refused(label: str) -> None:
    event = Event("x", ALL[label][0])
    FEW(given(ANYTHING)(lambda message: check_law(event, message)))()


@pytest.mark.parametrize("label", ODD)
def test_odd_messages_arrive_as_they_are_or_are_refused(label: str) -> None:
    schema, messages = ODD[label]
    event = Event("x", schema)
    LAW(given(messages)(lambda message: check_law(event, message)))()


@pytest.mark.parametrize("label", IN_MESSAGE_PACK)
def test_message_pack_keeps_the_law(label: str) -> None:
    schema, messages = IN_MESSAGE_PACK[label]
    event = Event("x", schema, MessagePackSerializer(schema))
    FEW(given(messages | ANYTHING)(lambda message: check_law(event, message)))()


@pytest.mark.parametrize("label", ALL)
def test_rubbish_is_a_decode_error_or_a_message(label: str) -> None:
    schema = ALL[label][0]
    readers = [Event("x", schema)]
    if label not in MODELS:
        readers.append(Event("x", schema, MessagePackSerializer(schema)))
    for data in (b"", b"{", b"[]", b"{}", b"null", b'{"radius":"x"}', b'"x"', b"1", b"\xff\xc1"):
        for reader in readers:
            try:
                message = reader.decode(data)
            except DecodeError:
                continue
            assert same(message, reader.decode(reader.encode(message)))
