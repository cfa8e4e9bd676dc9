"""What an event is: a name, the type of its messages, and how its stream is kept."""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from walnats_anyio._events._arguments import check_seconds, size_of_text
from walnats_anyio._events._kept_schema import metadata_of
from walnats_anyio._events._limits import MIN_SECONDS, NO_LIMITS, Limits
from walnats_anyio._link._names import check_in_namespace, check_name
from walnats_anyio._link._prefixes import NO_PREFIXES, Prefixes
from walnats_anyio.serializers import Codec, DecodeError, EncodeError, get_serializer
from walnats_anyio.serializers._schema import describe

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from walnats_anyio._events._event_with_response import EventWithResponse

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("walnats_anyio.events")

Storage = Literal["file", "memory"]

DEFAULT_DEDUP_WINDOW = 120.0
MAX_REPLICAS = 5
MAX_DESCRIPTION_BYTES = 4096

MAX_REASON = 1000
"""Characters that an error says about a message: some serializers put the whole message in it."""


@dataclasses.dataclass(frozen=True, repr=False)
class BaseEvent(Generic[T]):
    """What every kind of event has.

    `T` is the type of its messages. Make an event with `Event`; this class is for annotations of
    what takes any kind.
    """

    name: str
    """The name, which is the NATS subject and, with `-` for `.`, the JetStream stream.

    1 to 255 bytes of visible characters without spaces, `*`, `>`, `/` and `\\`; parts may be
    separated by single dots; it does not start with `$`. A `%` needs nats-server 2.14.3 or
    later. Choose carefully: under another name it is another event, and what waits in the old
    stream stays there.
    """

    schema: TypeForm[T]
    """The type of the messages: a Struct, a pydantic model, a dataclass, `list[int]`, ..."""

    serializer: Codec[T] | None = None
    """What turns messages into bytes and back: any object with `encode` and `decode`.

    None: the one that `get_serializer` picks for the schema.
    """

    description: str | None = None
    """What people see beside the stream in NATS tools; at most 4096 bytes."""

    limits: Limits = NO_LIMITS
    """How much may wait in the stream before the server drops the oldest events."""

    _: dataclasses.KW_ONLY

    replicas: int = 1
    """How many servers of a cluster keep a copy of the stream: 1 to 5, best an odd number.

    With 3, the stream survives the loss of one server. A server outside a cluster takes only 1.
    """

    storage: Storage = "file"
    """Where the stream is kept: `file` survives a restart of the server, `memory` does not.

    It cannot be changed for a stream that exists.
    """

    dedup_window: float = DEFAULT_DEDUP_WINDOW
    """For how many seconds the stream remembers a `uid` and drops further events with it.

    At least 0.1: the server has no way to switch it off, but an event without a `uid` is never
    compared. It cannot be longer than `limits.age`. Only the default gives way: where `limits.age`
    is shorter than 120 seconds, a window of 120 means as long as `limits.age`.
    """

    delays: bool = False
    """Whether `register` prepares the stream for events that wait in the server until they are due.

    It needs nats-server 2.14; on an older one they wait with their actors. False: the first emit
    with a `delay` prepares it, if its user may change the stream.
    """

    ttl: bool = False
    """Whether `register` has the stream take a time to live for each event; NATS cannot undo it.

    It needs nats-server 2.11. False: the first emit with a `ttl` has it do so, if its user may
    change the stream. From then on walnats 1.2 cannot register the event any more.
    """

    _codec: Codec[T] = dataclasses.field(init=False, repr=False, compare=False)
    """The serializer in use, made once."""

    _prefixes: Prefixes = dataclasses.field(
        default=NO_PREFIXES, init=False, repr=False, compare=False
    )
    """What goes before its names on the server; see `in_namespace`."""

    def __post_init__(self) -> None:
        check_name("event", self.name)
        codec = make_codec(f"event {self.name!r}:", self.schema, self.serializer)
        object.__setattr__(self, "_codec", codec)
        _check_description(self.name, self.description)
        _check_limits(self.name, self.limits)
        _check_replicas(self.name, self.replicas)
        if self.storage not in get_args(Storage):
            raise ValueError(
                f"event {self.name!r}: storage must be 'file' or 'memory', not {self.storage!r}"
            )
        self._check_dedup_window()
        for name in ("delays", "ttl"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(
                    f"event {self.name!r}: {name} must be True or False, not "
                    f"{getattr(self, name)!r}"
                )

    def __hash__(self) -> int:
        # Equal events have equal names, and emitting looks events up: one hash is enough.
        return hash(self.name)

    def __repr__(self) -> str:
        shown = [repr(self.name), describe(self.schema)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.repr and field.name not in ("name", "schema") and value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.init
        }
        # Made anew on the other side, as encoders and decoders cannot be pickled.
        return (functools.partial(type(self), **arguments), ())

    @property
    def subject_name(self) -> str:
        """The NATS subject that the event is emitted to."""
        return self._prefixes.subject(self.name)

    @property
    def stream_name(self) -> str:
        """The JetStream stream that keeps the event: its name with `-` in place of `.`."""
        return self._prefixes.stream(self.name.replace(".", "-"))

    def durable_name(self, actor: str) -> str:
        """The durable consumer of an actor of the event."""
        return self._prefixes.consumer(actor)

    @property
    def codec(self) -> Codec[T]:
        """What encodes and decodes: `serializer`, or what was picked for the schema.

        Its errors do not name the event, as those of `encode` and `decode` do.
        """
        return self._codec

    def encode(self, message: T) -> bytes:
        """Turn a message into what is sent.

        Raises:
            EncodeError: the message does not fit the schema. It is a TypeError and a ValueError.
        """
        try:
            return self._codec.encode(message)
        except Exception as error:  # noqa: BLE001 - serializers may raise what they like
            reason, cause = _reason_of(error)
            raise EncodeError(
                f"event {self.name!r} takes {describe(self.schema)}, and this message"
                f" ({type(message).__qualname__}) does not fit: {reason}"
            ) from cause

    def decode(self, data: bytes) -> T:
        """Turn what was received into a message.

        Raises:
            DecodeError: the data does not fit the schema. It is a ValueError.
        """
        try:
            return self._codec.decode(data)
        except Exception as error:  # noqa: BLE001 - likewise
            reason, cause = _reason_of(error)
            raise DecodeError(
                f"event {self.name!r} takes {describe(self.schema)}, and what arrived"
                f" ({len(data)} bytes) does not fit: {reason}"
            ) from cause

    def stream_config(self) -> dict[str, Any]:
        """Build the configuration of the event's stream, as the JetStream API writes it.

        Durations are in nanoseconds, -1 stands for no limit; for `max_age` it is 0. A stream made
        by walnats for an event of the same name, schema and limits has an equal configuration.
        """
        limits = self.limits
        config: dict[str, Any] = {
            "name": self.stream_name,
            "subjects": [self.subject_name],
            "retention": "interest",
            "storage": self.storage,
            "num_replicas": self.replicas,
            "discard": "old",
            "duplicate_window": _nanoseconds(self._effective_dedup_window()),
            "max_age": _nanoseconds(limits.age or 0),
            "max_consumers": limits.consumers or -1,
            "max_msgs": limits.messages or -1,
            "max_bytes": limits.bytes or -1,
            "max_msg_size": limits.message_size or -1,
        }
        if self.description is not None:
            config["description"] = self.description
        return config

    @functools.cached_property
    def schema_metadata(self) -> dict[str, str]:
        """What `register` keeps of the schema in the metadata of the stream; empty for nothing.

        Made when it is first asked for, which takes some 20 us, of a pydantic model a millisecond.
        """
        try:
            return metadata_of(self._codec)
        except Exception as error:  # noqa: BLE001 - the serializer's own code; nothing depends on it
            logger.warning("event %r: its schema cannot be kept: %r", self.name, error)
            return {}

    def _check_dedup_window(self) -> None:
        check_seconds(f"event {self.name!r}: dedup_window", self.dedup_window, MIN_SECONDS)
        age = self.limits.age
        if age is not None and self._effective_dedup_window() > age:
            raise ValueError(
                f"event {self.name!r}: dedup_window of {self.dedup_window} seconds is longer than"
                f" limits.age of {age}, and NATS takes no such stream:"
                " shorten the one or raise the other"
            )

    def _effective_dedup_window(self) -> float:
        age = self.limits.age
        if age is not None and self.dedup_window == DEFAULT_DEDUP_WINDOW:
            return min(age, self.dedup_window)
        return self.dedup_window


class Event(BaseEvent[T]):
    """An event: what happened, as a message of type `T` under a name.

    A value: frozen, hashable, comparable, picklable, with no connection and no state. Declare
    events once, at the top of a module shared by whoever emits and whoever listens.

        USER_CREATED = Event("user-created", User)

    Args:
        name: the NATS subject and, with `-` for `.`, the stream: 1 to 255 bytes of visible
            characters without spaces, `*`, `>`, slashes and backslashes.
        schema: the type of the messages: a msgspec Struct, a pydantic model, a dataclass,
            `list[int]`, ...
        serializer: an object with `encode` and `decode`. None: `bytes` as they are, `datetime` and
            `date` as ISO 8601 text, everything else as JSON.
        description: what people see beside the stream in NATS tools; at most 4096 bytes.
        limits: how much may wait in the stream before the server drops the oldest events.
            Default: no limits.
        replicas: how many servers of a cluster keep a copy of the stream: 1 (the default) to 5.
        storage: `"file"` (the default) survives a restart of the server, `"memory"` does not.
        dedup_window: for how many seconds the stream drops further events with the same `uid`.
            At least 0.1; default 120, or `limits.age` where that is shorter.
        delays: whether `register` prepares the stream for delayed events. Default: the first emit
            with a `delay` does, if its user may.
        ttl: whether `register` has the stream take a time to live for each event. Default: the
            first emit with a `ttl` does, if its user may.

    Raises:
        TypeError: an argument is of a wrong type, or there is no serializer for the schema.
        ValueError: NATS would not take the name or the configuration of the stream.
    """

    def with_response(
        self, schema: TypeForm[R], serializer: Codec[R] | None = None
    ) -> EventWithResponse[T, R]:
        """Give the same event with a response, for `ConnectedEvents.request`.

        Declare actors that answer with what this gives, and put it into the registry of the
        program that requests.

        Args:
            schema: the type of the response: what the handlers return.
            serializer: an object with `encode` and `decode`. None: as for an event.

        Raises:
            TypeError: there is no serializer for the schema, or `serializer` is none.
        """
        from walnats_anyio._events._event_with_response import with_response

        return with_response(self, schema, serializer)


E = TypeVar("E", bound=BaseEvent[Any])


def in_namespace(event: E, prefixes: Prefixes) -> E:
    """Give the event as one connection has it: its names on the server have the namespace.

    It is equal to the event, and differs in `subject_name`, `stream_name` and `durable_name`. So
    whatever reads those is right under every namespace, and nothing is worked out for each message.

    Raises:
        ValueError: NATS, or the library, does not take the name with the namespace before it.
    """
    if not prefixes.namespace:
        return event
    check_in_namespace("event", event.name, prefixes.subject(event.name))
    placed = copy.copy(event)
    object.__setattr__(placed, "_prefixes", prefixes)
    return placed


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 10**9)


def make_codec(this: str, schema: TypeForm[T], serializer: Codec[T] | None) -> Codec[T]:
    """What encodes and decodes: the serializer, or what is picked for the schema.

    Raises:
        TypeError: there is none for the schema, or it is no serializer; begins with `this`.
    """
    if serializer is None:
        try:
            return get_serializer(schema)
        except LookupError as error:
            raise TypeError(f"{this} {error}") from error
    methods = [getattr(serializer, method, None) for method in ("encode", "decode")]
    if isinstance(serializer, type) or not all(map(callable, methods)):
        raise TypeError(
            f"{this} serializer must be an object with the methods encode and decode,"
            f" not {serializer!r}"
        )
    return serializer


def _reason_of(error: Exception) -> tuple[str, Exception | None]:
    """What an error of a serializer says, and the error itself, unless a log should not have it."""
    reason = str(error)
    if len(reason) <= MAX_REASON:
        return reason, error
    return f"{reason[:MAX_REASON]}... ({len(reason)} characters)", None


def _check_description(name: str, description: object) -> None:
    if description is None:
        return
    if not isinstance(description, str):
        raise TypeError(
            f"event {name!r}: description must be a str or None, not {type(description).__name__}"
        )
    size = size_of_text(f"event {name!r}: description", description)
    if size > MAX_DESCRIPTION_BYTES:
        raise ValueError(
            f"event {name!r}: description is {size} bytes long, NATS takes at most"
            f" {MAX_DESCRIPTION_BYTES}"
        )


def _check_limits(name: str, limits: object) -> None:
    if not isinstance(limits, Limits):
        raise TypeError(f"event {name!r}: limits must be Limits(...), not {limits!r}")


def _check_replicas(name: str, replicas: object) -> None:
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise TypeError(f"event {name!r}: replicas must be an int, not {replicas!r}")
    if not 1 <= replicas <= MAX_REPLICAS:
        raise ValueError(f"event {name!r}: replicas must be 1 to {MAX_REPLICAS}, not {replicas}")
