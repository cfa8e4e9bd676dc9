"""The services of a system: who emits which events, and who handles them.

What writes documents, diagrams and pages is imported when it is used: programs that only emit or
listen need not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._actors.declare._actor import on_server
from walnats_anyio._events import BaseEvent, Events, in_namespace
from walnats_anyio._link import Prefixes
from walnats_anyio.services._flow import Flow, Service
from walnats_anyio.services._names import clean
from walnats_anyio.services._servers import check_servers

Direction = Literal["right", "left", "down", "up"]
"""Where a diagram goes on from the services that come first."""

MAX_SHOWN = 10
"""How many services a registry shows of itself."""


class Services:
    """The services of a system, for documents and diagrams of it.

        SERVICES = Services(title="Shop")
        SERVICES.add("checkout", emits=Events(ORDER_PLACED))
        SERVICES.add("mail", defines=Actors(SEND_RECEIPT))

    Nothing in the library depends on it: it only describes. Iterating gives the services in the
    order they were added.

    Args:
        title: what the whole system is called. Default "application".
        version: the version of the whole. Default "0.0.0".
        description: what it is for; CommonMark in AsyncAPI documents. None: nothing.
        servers: the URLs of its servers under names, such as
            `{"production": "nats://one.example.com:4222"}`; a list of URLs for a cluster. They must
            not have a user, a password or a token. None: documents name no server.
        namespace: what `connect` has as `namespace`, for the subjects, streams and consumers in
            documents. None: nothing goes before the names.

    Raises:
        TypeError: an argument is of a wrong type.
        ValueError: a text is empty, a server cannot be described, or NATS does not take the
            namespace.
    """

    def __init__(
        self,
        *,
        title: str = "application",
        version: str = "0.0.0",
        description: str | None = None,
        servers: Mapping[str, str | list[str]] | None = None,
        namespace: str | None = None,
    ) -> None:
        _check_text("Services: title", title)
        _check_text("Services: version", version)
        _check_description("Services", description)
        self.title = title
        self.version = version
        self.description = description
        self._servers = check_servers(servers)
        self._prefixes = Prefixes.of(None, None, namespace)
        self._services: dict[str, Service] = {}

    def add(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        emits: Events | None = None,
        defines: Actors | None = None,
        description: str | None = None,
    ) -> None:
        """Add a service.

        Args:
            name: what people call it.
            version: the version of what it emits and handles. Default "0.0.0".
            emits: the events that it emits. None: none.
            defines: the actors that it runs. None: none.
            description: what it is for; CommonMark in AsyncAPI documents. None: nothing.

        Raises:
            TypeError: an argument is of a wrong type.
            ValueError: a service of this name is there already, an event is declared differently
                than for another service, or another service runs the same actor; or the name or the
                version is empty.
        """
        _check_text("service name", name)
        this = f"service {name!r}"
        _check_text(f"{this}: version", version)
        _check_description(this, description)
        _check_registry(this, "emits", emits, Events, BaseEvent)
        _check_registry(this, "defines", defines, Actors, Actor)
        if name in self._services:
            raise ValueError(f"{this} is there already: give this one another name")
        service = Service(name, version, emits, defines, description)
        self._check_events(service)
        self._check_actors(service)
        self._services[name] = service

    def get(self, name: str) -> Service | None:
        """Find a service by its name; None if there is none of that name."""
        return self._services.get(name)

    def only(self, names: Iterable[str]) -> Services:
        """Give these services alone, with the same title, version, servers and namespace.

        Raises:
            TypeError: it is not a list of names.
            ValueError: there is no service of such a name, or none is named.
        """
        if isinstance(names, str):
            raise TypeError(f"names must be a list of names, such as [{names!r}], not {names!r}")
        chosen = set(names)
        for name in chosen:
            if name not in self._services:
                known = ", ".join(map(repr, self._services)) or "none"
                raise ValueError(f"there is no service {name!r}: there is {known}")
        if not chosen:
            raise ValueError("names has no name: give at least one")
        some = Services(title=self.title, version=self.version, description=self.description)
        some._servers = self._servers
        some._prefixes = self._prefixes
        some._services = {service.name: service for service in self if service.name in chosen}
        return some

    def get_d2(self, direction: Direction = "right", *, colors: bool = True) -> str:
        """Write a diagram for D2 (https://d2lang.com).

            print(SERVICES.get_d2())    # python services.py | d2 - services.svg

        Args:
            direction: where it goes on from the first services: "right" (the default), "left",
                "down" or "up".
            colors: give services, events and actors colors. False: those of the theme of D2.

        Raises:
            ValueError: there is no such direction.
        """
        from walnats_anyio.services._d2 import d2

        _check_direction(direction)
        return d2(Flow(tuple(self)), direction, colors)

    def get_mermaid(self, direction: Direction = "right", *, colors: bool = True) -> str:
        """Write a diagram for Mermaid (https://mermaid.js.org), which GitHub and many wikis draw.

        Args:
            direction: where it goes on from the first services: "right" (the default), "left",
                "down" or "up".
            colors: give services, events and actors colors. False: those of the theme of Mermaid.

        Raises:
            ValueError: there is no such direction.
        """
        from walnats_anyio.services._mermaid import mermaid

        _check_direction(direction)
        return mermaid(Flow(tuple(self)), direction, colors)

    def get_async_api(self) -> dict[str, Any]:
        """Build the AsyncAPI 3.0 document of all services together.

        Events are channels, with the JSON Schema of their messages where the serializer has one.
        What a service emits is an operation that sends, an actor is one that receives. The value is
        plain JSON, and new at each call: add to it what you like.

        Raises:
            TypeError: a serializer's `json_schema` gives no JSON Schema.
            ValueError: a JSON Schema refers to a definition that it does not have.
        """
        return self._document(self._info(), tuple(self))

    def get_async_apis(self) -> list[dict[str, Any]]:
        """Build one AsyncAPI 3.0 document for each service, in their order.

        `info` has the name, the version and the description of the service.

        Raises:
            TypeError: a serializer's `json_schema` gives no JSON Schema.
            ValueError: a JSON Schema refers to a definition that it does not have.
        """
        return [
            self._document(_info(service.name, service.version, service.description), (service,))
            for service in self
        ]

    def get_html(self) -> str:
        """Write a page that a person can read: who emits and handles what, and the messages.

        The page is one file that loads nothing and runs no script. It is made to be read in a
        browser, light or dark, narrow or wide, and to be printed.

        Raises:
            TypeError: a serializer's `json_schema` gives no JSON Schema.
            ValueError: a JSON Schema refers to a definition that it does not have.
        """
        from walnats_anyio.services._page import page

        return page(self.get_async_api(), Flow(tuple(self)))

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def __len__(self) -> int:
        return len(self._services)

    def __repr__(self) -> str:
        names = [repr(service.name) for service in self]
        if len(names) > MAX_SHOWN:
            names[MAX_SHOWN:] = [f"and {len(names) - MAX_SHOWN} more"]
        return f"Services({', '.join(names)})"

    def _document(self, info: dict[str, Any], services: tuple[Service, ...]) -> dict[str, Any]:
        from walnats_anyio.services._async_api import document

        return document(info, services, self._servers, self._prefixes)

    def _info(self) -> dict[str, Any]:
        return _info(self.title, self.version, self.description)

    def _check_events(self, service: Service) -> None:
        known = {event.name: event for event in Flow(tuple(self)).events}
        streams = {event.stream_name: event.name for event in known.values()}
        for event in (*service.events, *(actor.event for actor in service.actors)):
            in_namespace(event, self._prefixes)
            if known.setdefault(event.name, event) != event:
                raise ValueError(
                    f"service {service.name!r}: event {event.name!r} is declared in two ways, as "
                    f"{known[event.name]!r} and {event!r}: declare it once, in a module that all "
                    "its services import"
                )
            other = streams.setdefault(event.stream_name, event.name)
            if other != event.name:
                raise ValueError(
                    f"service {service.name!r}: the events {other!r} and {event.name!r} would "
                    f"share the stream {event.stream_name!r}: rename one"
                )

    def _check_actors(self, service: Service) -> None:
        owners = {
            (actor.event.name, actor.name): other.name for other in self for actor in other.actors
        }
        for actor in service.actors:
            on_server(actor, self._prefixes)
            owner = owners.get((actor.event.name, actor.name))
            if owner is not None:
                raise ValueError(
                    f"services {owner!r} and {service.name!r} both define the actor {actor.name!r} "
                    f"of event {actor.event.name!r}, and would share one consumer: rename one, or "
                    "leave it to one service"
                )


def _info(title: str, version: str, description: str | None) -> dict[str, Any]:
    info = {"title": clean(title), "version": clean(version)}
    if description:
        info["description"] = clean(description)
    return info


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}: {text!r}")
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{what} must be visible characters in one line, not {text!r}")


def _check_description(this: str, text: object) -> None:
    if text is not None and not isinstance(text, str):
        raise TypeError(f"{this}: description must be a str or None, not {type(text).__name__}")


def _check_registry(
    this: str, argument: str, value: object, registry: type, item: type[Any]
) -> None:
    if value is None or isinstance(value, registry):
        return
    one = isinstance(value, item)
    remedy = f"{registry.__name__}({'...' if one else '*...'})"
    raise TypeError(
        f"{this}: {argument} must be {registry.__name__} or None, not {type(value).__name__}: "
        f"write {argument}={remedy}"
    )


def _check_direction(direction: object) -> None:
    if direction not in get_args(Direction):
        known = ", ".join(map(repr, get_args(Direction)))
        raise ValueError(f"direction must be one of {known}, not {direction!r}")
