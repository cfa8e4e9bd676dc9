"""AsyncAPI 3.0 documents (https://www.asyncapi.com/docs/reference/specification/v3.0.0).

An event is a channel with one message. A service that emits it has an operation that sends, and
each actor is an operation that receives. What AsyncAPI has no words for, because it belongs to
JetStream or to this library, stands in extensions: `x-jetstream-stream` and `x-jetstream-consumer`
as the JetStream API writes them, `x-walnats-actor` with the arguments of `Actor`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from walnats_anyio._actors import Actor
from walnats_anyio._actors.declare._actor import on_server
from walnats_anyio._events import HEADER_ID, HEADER_TRACE, BaseEvent, in_namespace
from walnats_anyio._link import Prefixes
from walnats_anyio.serializers import json_schema
from walnats_anyio.services._flow import Flow, Service, schema_name
from walnats_anyio.services._names import UniqueNames, clean
from walnats_anyio.services._schemas import Schemas

VERSION = "3.0.0"

SAFE = "A-Za-z0-9_.-"
"""Characters of keys, so that references to them need no escaping."""

TRAIT = "event"
"""The key of what all messages have."""

HEADERS = {
    HEADER_ID: "Identifies the event: its stream drops further ones with the same.",
    HEADER_TRACE: "The trace that the event belongs to.",
}
"""The headers that a message may have, and what they say."""

ACTOR_FIELDS = ("max_attempts", "job_timeout", "max_jobs", "dead_letters")
"""Arguments of `Actor` that somebody outside the service wants to know."""


def document(
    info: Mapping[str, Any],
    services: Sequence[Service],
    servers: Mapping[str, Any],
    prefixes: Prefixes,
) -> dict[str, Any]:
    """Build the document of some services.

    Raises:
        TypeError: a serializer gives no JSON Schema where it should.
        ValueError: a JSON Schema of a serializer is wrong.
    """
    building = _Document(prefixes)
    flow = Flow(services)
    for event in flow.events:
        building.add_event(event)
    for service in services:
        building.add_operations(service)
    whole: dict[str, Any] = {"asyncapi": VERSION, "info": dict(info)}
    if servers:
        whole["servers"] = dict(servers)
    if building.channels:
        whole["channels"] = building.channels
        whole["operations"] = building.operations
        whole["components"] = {
            "messages": building.messages,
            "messageTraits": {TRAIT: _trait()},
            "schemas": building.schemas,
        }
    return whole


class _Document:
    """What is collected for one document."""

    def __init__(self, prefixes: Prefixes) -> None:
        self._prefixes = prefixes
        self._keys = UniqueNames(SAFE)
        self._operation_keys = UniqueNames(SAFE)
        self._schemas = Schemas(UniqueNames(SAFE))
        self.channels: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}

    @property
    def schemas(self) -> dict[str, Any]:
        return self._schemas.components

    def add_event(self, event: BaseEvent[Any]) -> None:
        """Add the channel of an event, and its message."""
        key = self._key(event)
        placed = in_namespace(event, self._prefixes)
        config = placed.stream_config()
        config.pop("metadata", None)  # the schema stands elsewhere in the document
        self.channels[key] = {
            # Braces would be a parameter, and cannot be escaped: then the address is unknown.
            "address": None if "{" in placed.subject_name else placed.subject_name,
            "title": event.name,
            **_description(event.description),
            "messages": {key: {"$ref": f"#/components/messages/{key}"}},
            "x-jetstream-stream": config,
        }
        self.messages[key] = self._message(event)

    def add_operations(self, service: Service) -> None:
        """Add what a service does with events."""
        for event in service.events:
            key = self._operation_keys.give(
                f"{service.name}.emit.{event.name}", (service.name, event.name)
            )
            self.operations[key] = self._operation("send", service, event, event.name)
        for actor in service.actors:
            key = self._operation_keys.give(
                f"{service.name}.{actor.name}", (service.name, actor.event.name, actor.name)
            )
            self.operations[key] = {
                **self._operation("receive", service, actor.event, actor.name),
                **_description(actor.description),
                "x-jetstream-consumer": self._consumer(actor),
                "x-walnats-actor": _arguments(actor),
            }

    def _operation(
        self, action: str, service: Service, event: BaseEvent[Any], title: str
    ) -> dict[str, Any]:
        key = self._key(event)
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{key}"},
            "title": title,
            "tags": [{"name": clean(service.name)}],
            "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}],
        }

    def _message(self, event: BaseEvent[Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"name": event.name, "title": schema_name(event)}
        kind = getattr(event.codec, "content_type", None)
        if isinstance(kind, str):  # a serializer of the user's need not have it
            message["contentType"] = clean(kind)
        message["traits"] = [{"$ref": f"#/components/messageTraits/{TRAIT}"}]
        payload = self._payload(event)
        if payload is not None:
            message["payload"] = payload
        return message

    def _payload(self, event: BaseEvent[Any]) -> dict[str, Any] | None:
        # A class has a name worth showing; `list[int]` says what it is by itself.
        name = schema_name(event) if isinstance(event.schema, type) else None
        try:
            schema = json_schema(event.codec)
            return None if schema is None else self._schemas.add(schema, name)
        except (TypeError, ValueError) as error:
            # Not its own class, which may take other arguments, as those of pydantic do.
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"event {event.name!r}: {error}") from error

    def _consumer(self, actor: Actor[Any, Any]) -> dict[str, Any]:
        config = on_server(actor, self._prefixes).consumer_config()
        config.pop("metadata", None)  # a fingerprint, which says nothing to people
        return config

    def _key(self, event: BaseEvent[Any]) -> str:
        return self._keys.give(event.name, event.name)


def _trait() -> dict[str, Any]:
    headers = {name: {"type": "string", "description": text} for name, text in HEADERS.items()}
    return {
        "headers": {"type": "object", "properties": headers},
        "correlationId": {"location": f"$message.header#/{HEADER_TRACE}"},
    }


def _description(text: str | None) -> dict[str, str]:
    return {"description": clean(text)} if text else {}


def _arguments(actor: Actor[Any, Any]) -> dict[str, Any]:
    arguments = {name: getattr(actor, name) for name in ACTOR_FIELDS}
    if actor.auto is not None:
        arguments["max_jobs"] = "auto"
    if not callable(actor.retry_delay):
        arguments["retry_delay"] = list(actor.retry_delay)
    return arguments
