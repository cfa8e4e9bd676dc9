"""A page that a person can read, made from the AsyncAPI document.

It has no script and loads nothing, and its Content-Security-Policy says so: whatever stands in a
description, a browser would not run it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from walnats_anyio._actors import Actor
from walnats_anyio._events import BaseEvent, as_answered
from walnats_anyio.services._flow import Flow, Service
from walnats_anyio.services._json import is_object
from walnats_anyio.services._markup import Markup, join, tag
from walnats_anyio.services._names import UniqueNames
from walnats_anyio.services._picture import picture
from walnats_anyio.services._style import STYLE
from walnats_anyio.services._table import table
from walnats_anyio.services._types import Types, reference, referred

LIMITS = {
    "max_age": "age",
    "max_msgs": "messages",
    "max_bytes": "bytes",
    "max_msg_size": "bytes of a message",
    "max_consumers": "actors",
}
"""Fields of a stream that limit it, and what they limit."""


def page(document: dict[str, Any], flow: Flow) -> str:
    """Write the page of a document, whose services and events the flow has."""
    return _Page(document, flow).write()


class _Page:
    def __init__(self, document: dict[str, Any], flow: Flow) -> None:
        self._document = document
        self._flow = flow
        self._ids = UniqueNames("A-Za-z0-9_.-")
        components = document.get("components", {})
        self._messages: dict[str, Any] = components.get("messages", {})
        self._schemas: dict[str, Any] = components.get("schemas", {})
        # Channels are in the order of the events; that of the responses is behind its event.
        channels = iter(document.get("channels", {}).items())
        self._channels: dict[str, tuple[str, Any]] = {}
        self._responses: dict[str, Any] = {}
        for event in flow.events:
            self._channels[event.name] = next(channels)
            if as_answered(event) is not None:
                self._responses[event.name] = self._messages[next(channels)[0]]
        self._listed = self._types_to_list()
        self._types = Types(self._schemas, set(self._listed))

    def write(self) -> str:
        title = str(self._document["info"]["title"])
        digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag(
                "meta",
                http_equiv="Content-Security-Policy",
                content=f"default-src 'none'; style-src 'sha256-{digest}'",
            ),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", STYLE),
        )
        body = tag(
            "body",
            tag("a", "Skip to the content", href="#content", class_="skip"),
            self._contents(),
            tag(
                "main",
                self._header(),
                self._section("flow", "Flow", [self._picture()]),
                self._section("services", "Services", map(self._service, self._flow.services)),
                self._section("events", "Events", map(self._event, self._flow.events)),
                self._section("types", "Types", map(self._type, self._listed)),
                id="content",
            ),
        )
        return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"

    def _types_to_list(self) -> list[str]:
        """Types that others are made of; that of a message is shown with its event."""
        messages = [message.get("payload") for message in self._messages.values()]
        inside = [part for part in messages if reference(part) is None]
        used = {name for part in (*inside, *self._schemas.values()) for name in referred(part)}
        return [name for name in self._schemas if name in used]

    def _id(self, kind: str, name: str) -> str:
        return f"{kind}-{self._ids.give(name, (kind, name))}"

    def _link(self, kind: str, name: str) -> Markup:
        return tag("a", name, href=f"#{self._id(kind, name)}")

    def _section(self, name: str, title: str, parts: Any) -> Markup:
        found = list(parts)
        if not found:
            return join()
        return tag("section", tag("h2", title, id=name), *found, aria_labelledby=name)

    def _contents(self) -> Markup:
        services = [self._link("service", service.name) for service in self._flow.services]
        events = [self._link("event", event.name) for event in self._flow.events]
        types = [tag("a", name, href=f"#type-{name}") for name in self._listed]
        named = (("services", "Services", services), ("events", "Events", events))
        parts = [
            tag("li", tag("a", title, href=f"#{name}"), _list(links))
            for name, title, links in (*named, ("types", "Types", types))
            if links
        ]
        return tag("nav", tag("ul", *parts), aria_label="Contents")

    def _header(self) -> Markup:
        info = self._document["info"]
        servers = [
            join(tag("b", name), " ", tag("code", _url(server)))
            for name, server in self._document.get("servers", {}).items()
        ]
        return tag(
            "header",
            tag("h1", info["title"]),
            tag("p", f"Version {info['version']}", class_="soft"),
            _text(info.get("description")),
            join(tag("p", "Servers:", class_="soft"), _list(servers)) if servers else join(),
        )

    def _picture(self) -> Markup:
        drawing = picture(self._flow, self._id)
        return tag("div", drawing, class_="wide", tabindex="0", role="region", aria_label="Diagram")

    def _service(self, service: Service) -> Markup:
        emits = [self._link("event", event.name) for event in service.events]
        return tag(
            "article",
            tag("h3", service.name, id=self._id("service", service.name)),
            tag("p", f"Version {service.version}", class_="soft"),
            _text(service.description),
            join(tag("h4", "Emits"), _list(emits)) if emits else join(),
            self._actors(service.actors) if service.actors else join(),
            class_="card service",
        )

    def _actors(self, actors: tuple[Actor[Any, Any], ...]) -> Markup:
        rows = [
            (
                tag("code", actor.name),
                self._link("event", actor.event.name),
                str(actor.max_attempts or "until handled"),
                f"{actor.job_timeout:g} s",
                actor.description or "",
            )
            for actor in actors
        ]
        columns = ("Actor", "Handles", "Attempts", "Timeout", "Description")
        return join(tag("h4", "Actors"), table(columns, rows))

    def _event(self, event: BaseEvent[Any]) -> Markup:
        key, channel = self._channels[event.name]
        message = self._messages[key]
        facts = self._facts(event, channel, message)
        terms = [join(tag("dt", term), tag("dd", fact)) for term, fact in facts if fact]
        return tag(
            "article",
            tag("h3", event.name, id=self._id("event", event.name)),
            _text(event.description),
            tag("dl", *terms),
            self._payload("Message", message),
            self._payload("Response", self._responses.get(event.name, {})),
            class_="card event",
        )

    def _facts(
        self, event: BaseEvent[Any], channel: dict[str, Any], message: dict[str, Any]
    ) -> list[tuple[str, str]]:
        stream = channel["x-jetstream-stream"]
        response = self._responses.get(event.name)
        emitters = [self._link("service", service.name) for service in self._flow.emitters(event)]
        handlers = [
            join(tag("code", actor.name), " of ", self._link("service", service.name))
            for service, actor in self._flow.handlers(event)
        ]
        return [
            ("Subject", tag("code", stream["subjects"][0])),
            ("Stream", tag("code", stream["name"])),
            ("Limits", _limits(stream)),
            ("Message", tag("code", message["title"])),
            ("Sent as", message.get("contentType", "")),
            ("Response", tag("code", response["title"]) if response else ""),
            ("Emitted by", join(*emitters, between=", ")),
            ("Handled by", join(*handlers, between=", ")),
        ]

    def _payload(self, title: str, message: dict[str, Any]) -> Markup:
        if "payload" not in message:
            return join()
        schema = self._types.resolved(message["payload"])
        return join(
            tag("h4", title),
            _text(_described(schema)),
            self._types.table(schema),
            _raw(schema),
        )

    def _type(self, name: str) -> Markup:
        schema = self._schemas[name]
        return tag(
            "article",
            tag("h3", name, id=f"type-{name}"),
            _text(_described(schema)),
            self._types.table(schema),
            _raw(schema),
            class_="card",
        )


def _url(server: dict[str, Any]) -> str:
    return f"{server['protocol']}://{server['host']}{server.get('pathname', '')}"


def _text(text: Any) -> Markup:
    return tag("p", str(text), class_="text") if text else join()


def _described(schema: Any) -> Any:
    return schema.get("description") if is_object(schema) else None


def _list(items: list[Markup]) -> Markup:
    return tag("ul", *(tag("li", item) for item in items))


def _raw(schema: Any) -> Markup:
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    return tag("details", tag("summary", "JSON Schema"), tag("pre", tag("code", text)))


def _limits(stream: dict[str, Any]) -> str:
    shown = [
        f"{stream[field] / 10**9:g} s of age"
        if field == "max_age"
        else f"{stream[field]} {limited}"
        for field, limited in LIMITS.items()
        if stream.get(field, -1) > 0
    ]
    return ", ".join(shown)
