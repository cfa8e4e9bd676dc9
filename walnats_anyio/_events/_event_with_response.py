"""An event whose emitter waits for a response."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from walnats_anyio._events._event import BaseEvent, make_codec
from walnats_anyio.serializers import Codec, DecodeError, EncodeError
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, repr=False)
class EventWithResponse(BaseEvent[T], Generic[T, R]):
    """An event that is answered: its actors give a response of type `R`. Made by `with_response`.

        PRICE = Event("price-asked", Item).with_response(Price)

    `ConnectedEvents.request` emits it and waits for the response. It has the same name, subject and
    stream as the event that it was made from, and can be emitted as well; then nobody gets the
    response. An actor that is declared with the plain event handles it and does not answer.
    """

    _: dataclasses.KW_ONLY

    response_schema: TypeForm[R]
    """The type of the response."""

    response_serializer: Codec[R] | None = None
    """What turns responses into bytes and back. None: the one that `get_serializer` picks."""

    _response_codec: Codec[R] = dataclasses.field(init=False, repr=False, compare=False)
    """The serializer in use, made once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        codec = make_codec(
            f"event {self.name!r}: response", self.response_schema, self.response_serializer
        )
        object.__setattr__(self, "_response_codec", codec)

    def __hash__(self) -> int:
        # A dataclass makes one of its own otherwise, and a schema need not have a hash.
        return super().__hash__()

    @property
    def response_codec(self) -> Codec[R]:
        """What encodes and decodes responses: `response_serializer`, or what was picked."""
        return self._response_codec

    def encode_response(self, response: R) -> bytes:
        """Turn a response into what is sent.

        Raises:
            EncodeError: the response does not fit the schema. It is a TypeError and a ValueError.
        """
        try:
            return self._response_codec.encode(response)
        except Exception as error:
            raise EncodeError(
                f"event {self.name!r} is answered with {describe(self.response_schema)}, and what "
                f"the handler returned ({type(response).__qualname__}) does not fit: {error}"
            ) from error

    def decode_response(self, data: bytes) -> R:
        """Turn what was received into a response.

        Raises:
            DecodeError: the data does not fit the schema. It is a ValueError.
        """
        try:
            return self._response_codec.decode(data)
        except Exception as error:
            raise DecodeError(
                f"event {self.name!r} is answered with {describe(self.response_schema)}, and what "
                f"arrived ({len(data)} bytes) does not fit: {error}"
            ) from error


def as_answered(event: BaseEvent[T]) -> EventWithResponse[T, Any] | None:
    """The event, if it is one with a response."""
    return (
        cast("EventWithResponse[T, Any]", event) if isinstance(event, EventWithResponse) else None
    )


def with_response(
    event: BaseEvent[T], schema: TypeForm[R], serializer: Codec[R] | None
) -> EventWithResponse[T, R]:
    """What `Event.with_response` documents."""
    fields: dict[str, Any] = {
        field.name: getattr(event, field.name) for field in dataclasses.fields(event) if field.init
    }
    return EventWithResponse(**fields, response_schema=schema, response_serializer=serializer)
