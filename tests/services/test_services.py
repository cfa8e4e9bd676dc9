"""Describing services: what is taken, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import walnats_anyio as walnats
from walnats_anyio.services import Service

PLACED = walnats.Event("order.placed", int)
SENT = walnats.Event("parcel.sent", int)


async def handle(message: int) -> None:
    """Do nothing."""


PACK = walnats.Actor("pack", PLACED, handle)


@pytest.fixture
def services() -> walnats.Services:
    services = walnats.Services()
    services.add("checkout", emits=walnats.Events(PLACED))
    services.add("warehouse", defines=walnats.Actors(PACK))
    return services


def test_services_are_there_in_their_order(services: walnats.Services) -> None:
    assert [service.name for service in services] == ["checkout", "warehouse"]
    assert len(services) == 2
    assert repr(services) == "Services('checkout', 'warehouse')"
    checkout = services.get("checkout")
    assert isinstance(checkout, Service)
    assert (checkout.version, checkout.description) == ("0.0.0", None)
    assert (checkout.events, checkout.actors) == ((PLACED,), ())
    assert services.get("nobody") is None


def test_many_services_are_not_all_named() -> None:
    services = walnats.Services()
    for number in range(12):
        services.add(f"s{number}")
    assert repr(services).endswith("'s9', and 2 more)")


def test_some_of_the_services() -> None:
    services = walnats.Services(title="Shop", servers={"main": "nats://a"}, namespace="x")
    services.add("one", emits=walnats.Events(PLACED))
    services.add("two", emits=walnats.Events(SENT))
    document = services.only(["two"]).get_async_api()
    assert document["info"]["title"] == "Shop"
    assert list(document["servers"]) == ["main"]
    assert [each["address"] for each in document["channels"].values()] == ["x.parcel.sent"]


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        (["nobody"], ValueError, "no service 'nobody': there is 'checkout', 'warehouse'"),
        ([], ValueError, "at least one"),
        ("checkout", TypeError, r"\['checkout'\]"),
    ],
)
def test_some_that_are_not_there(
    services: walnats.Services, names: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        services.only(names)


OTHER = walnats.Event("order.placed", str)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "says"),
    [
        ("checkout", {}, ValueError, "'checkout' is there already"),
        ("", {}, ValueError, "service name must be visible"),
        ("a\nb", {}, ValueError, "in one line"),
        (3, {}, TypeError, "service name must be a str, not int"),
        ("a", {"version": ""}, ValueError, "service 'a': version"),
        ("a", {"version": 1.1}, TypeError, "service 'a': version must be a str, not float"),
        ("a", {"description": 3}, TypeError, "description must be a str or None, not int"),
        ("a", {"emits": SENT}, TypeError, r"write emits=Events\(\.\.\.\)"),
        ("a", {"emits": [SENT]}, TypeError, r"write emits=Events\(\*\.\.\.\)"),
        ("a", {"defines": PACK}, TypeError, r"write defines=Actors\(\.\.\.\)"),
        ("a", {"defines": walnats.Events(SENT)}, TypeError, "must be Actors or None"),
        ("a", {"emits": walnats.Events(OTHER)}, ValueError, "declared in two ways"),
        (
            "a",
            {"emits": walnats.Events(walnats.Event("order-placed", int))},
            ValueError,
            "share the stream 'order-placed'",
        ),
        (
            "a",
            {"defines": walnats.Actors(PACK)},
            ValueError,
            "'warehouse' and 'a' both define the actor 'pack'",
        ),
    ],
)
def test_a_service_that_is_wrong_is_refused_and_not_added(
    services: walnats.Services, name: Any, arguments: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        services.add(name, **arguments)
    assert len(services) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"title": ""}, ValueError, "Services: title"),
        ({"version": None}, TypeError, "Services: version must be a str"),
        ({"description": b""}, TypeError, "Services: description"),
        ({"namespace": "a b"}, ValueError, "namespace"),
        ({"servers": "nats://a"}, TypeError, "mapping of names to URLs"),
        ({"servers": {"a b": "nats://a"}}, ValueError, "the name 'a b'"),
        ({"servers": {"a": "http://a"}}, ValueError, "must begin with"),
        ({"servers": {"a": 3}}, TypeError, "must be a URL"),
    ],
)
def test_arguments_that_are_wrong(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        walnats.Services(**arguments)


@pytest.mark.parametrize("url", ["nats://kim:secret@a", "nats://secret@a"])
def test_documents_have_no_passwords(url: str) -> None:
    with pytest.raises(ValueError, match="leave user, password and token out") as raised:
        walnats.Services(servers={"main": url})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"emits": walnats.Events(walnats.Event("e" * 200, int))},
        {"defines": walnats.Actors(walnats.Actor("a" * 200, PLACED, handle))},
    ],
    ids=["event", "actor"],
)
def test_a_name_that_is_too_long_in_its_namespace_is_refused_at_once(arguments: Any) -> None:
    services = walnats.Services(namespace="n" * 100)
    with pytest.raises(ValueError, match="in its namespace"):
        services.add("a", **arguments)


@pytest.mark.parametrize("method", ["get_d2", "get_mermaid"])
def test_there_are_four_directions(services: walnats.Services, method: str) -> None:
    drawn = {getattr(services, method)(each) for each in ("right", "left", "down", "up")}
    assert len(drawn) == 4
    with pytest.raises(ValueError, match="'right', 'left', 'down', 'up', not 'north'"):
        getattr(services, method)("north")
