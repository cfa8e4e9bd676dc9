"""Values of `domain`, `js_prefix` and `namespace` that are of no use, at the call of `connect`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import walnats_anyio as walnats
from walnats_anyio.dead_letters import DeadLetters

EVENT = walnats.Event("orders.placed", int)


async def handle(message: int) -> None:
    """Not called."""


ACTORS = walnats.Actors(walnats.Actor("pack", EVENT, handle))

CONNECTS: list[Callable[..., Any]] = [
    walnats.Events(EVENT).connect,
    ACTORS.connect,
    DeadLetters.connect,
    ACTORS.run,
]


@pytest.mark.parametrize("connect", CONNECTS, ids=["events", "actors", "dead letters", "run"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"domain": ""}, r"domain '' is empty: leave it out"),
        ({"domain": "a*"}, r"domain 'a\*' contains '\*', which is a wildcard"),
        ({"domain": "a b"}, r"domain 'a b' contains ' ': a subject has no spaces"),
        ({"domain": "a\r\nPUB x 0"}, r"contains '\\r'"),
        ({"domain": "hub."}, r"domain 'hub\.' has an empty part"),
        ({"domain": "$JS.hub.API"}, r"pass the prefix of all subjects as js_prefix"),
        ({"js_prefix": ""}, r"js_prefix '' is empty: leave it out"),
        ({"js_prefix": "hub.API."}, r"js_prefix 'hub\.API\.' has an empty part: no '\.' at"),
        ({"js_prefix": "hub.API.>"}, r"js_prefix 'hub\.API\.>' contains '>'"),
        (
            {"domain": "hub", "js_prefix": "x.API"},
            r"domain='hub' and js_prefix='x\.API' both say .* js_prefix='\$JS\.hub\.API'",
        ),
        ({"namespace": ""}, r"namespace '' is empty"),
        ({"namespace": "a..b"}, r"namespace 'a\.\.b' has an empty part"),
        ({"namespace": "a/b"}, r"namespace 'a/b' contains '/'"),
        ({"namespace": "$JS"}, r"namespace '\$JS' starts with '\$'"),
        ({"namespace": "_INBOX.a"}, r"namespace '_INBOX\.a' starts with '_INBOX'"),
        ({"namespace": "n" * 101}, r"101 bytes long.* at most 100"),
    ],
    ids=repr,
)
def test_a_wrong_value_is_named_with_its_remedy(
    connect: Callable[..., Any], given: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        connect("nats://127.0.0.1:1", **given)


@pytest.mark.parametrize("connect", CONNECTS, ids=["events", "actors", "dead letters", "run"])
@pytest.mark.parametrize("name", ["domain", "js_prefix", "namespace"])
def test_a_wrong_type_is_named(connect: Callable[..., Any], name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name} must be a str or None, not int: 5"):
        connect("nats://127.0.0.1:1", **{name: 5})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("n" * 250, "which is 256 bytes long: NATS takes at most 255"),
        ("letters", r"becomes 'walnats-dead\.letters' in its namespace, .*keeps for itself"),
    ],
)
def test_an_event_that_does_not_go_into_a_namespace(name: str, said: str) -> None:
    namespace = "north" if len(name) > 200 else "walnats-dead"
    event = walnats.Event(name, int)
    with pytest.raises(ValueError, match=said):
        walnats.Events(event).connect(namespace=namespace)
    with pytest.raises(ValueError, match=said):
        walnats.Actors(walnats.Actor("pack", event, handle)).connect(namespace=namespace)


def test_an_event_of_the_librarys_own_subjects() -> None:
    with pytest.raises(ValueError, match=r"is under walnats\.dead\.>"):
        walnats.Events(walnats.Event("dead.a", int)).connect(namespace="walnats")


def test_an_actor_that_does_not_go_into_a_namespace() -> None:
    actors = walnats.Actors(walnats.Actor("a" * 250, EVENT, handle))
    with pytest.raises(ValueError, match=r"actor name 'a+'\.\.\. becomes 'north-a+'\.\.\. in its"):
        actors.connect(namespace="north")
