"""A nats-server of some version, and what the tries of features need on it."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import walnats_anyio as walnats
from tests.support.servers import DEBIAN, NEWEST_WITHOUT_SCHEDULES, server_binary
from walnats_anyio.testing import NatsServer

T = TypeVar("T")

DOMAIN = "hub"

INSTALLED = ""
"""Stands for the nats-server of this environment, the newest."""

COLUMNS = {
    "2.9": DEBIAN,
    "2.11": "2.11.11",
    "2.12": NEWEST_WITHOUT_SCHEDULES,
    "2.14": "2.14.6",
    "2.15": INSTALLED,
}
"""The columns of the table in the docs, and the server of each that the suite tries."""


class Outcome(enum.StrEnum):
    """What becomes of a feature on a server, as the table of the docs says it."""

    WORKS = "yes"
    """It does what its page says."""

    FALLS_BACK = "otherwise"
    """It does the same in another way, or a part of it; the last column says which."""

    REFUSED = "refused"
    """It is an error, at the call, that names the version which is needed."""

    NOTHING = "no"
    """It does nothing, and says nothing."""


@dataclass(frozen=True)
class Site:
    """A server, and names of one try alone."""

    server: NatsServer
    unique: str

    @property
    def url(self) -> str:
        return self.server.url

    def event(self, schema: type[T], **options: Any) -> walnats.Event[T]:
        """An event of this try alone."""
        return walnats.Event(f"event.{self.unique}", schema, **options)


@dataclass(frozen=True)
class Feature:
    """A row of the table."""

    name: str
    """What it is, with a link to its page."""

    older: str
    """What happens where it does not work; empty where it works on all."""

    try_on: Callable[[Site], Awaitable[Outcome]]
    """Tries it on a server, and asserts that it does as `older` says."""


FEATURES: list[Feature] = []
"""The rows of the table, in order."""

Try = Callable[[Site], Awaitable[Outcome]]


def feature(name: str, older: str = "", *, when: bool = True) -> Callable[[Try], Try]:
    """Make a row of a function that tries a feature, when the library has it."""

    def add(try_on: Try) -> Try:
        if when:
            FEATURES.append(Feature(name, older, try_on))
        return try_on

    return add


async def refusal_of(
    act: Callable[[], Awaitable[object]], error: type[Exception], *parts: str
) -> bool:
    """Whether this is refused, with an error that says all of this."""
    try:
        await act()
    except error as refused:
        missing = [part for part in parts if part not in str(refused)]
        if missing:
            raise AssertionError(f"it does not say {missing}") from refused
        return True
    return False


def binary_of(version: str) -> str | None:
    """The program of a version, None for the installed one. Skips where it cannot be had."""
    return None if version == INSTALLED else str(server_binary(version))


@contextmanager
def server_of(version: str) -> Iterator[NatsServer]:
    """Run a server of a version, with a domain of its own."""
    config = f"jetstream {{ domain: {DOMAIN} }}"
    with NatsServer(binary=binary_of(version), config=config) as server:
        yield server


def site_on(server: NatsServer) -> Site:
    return Site(server, secrets.token_hex(6))
