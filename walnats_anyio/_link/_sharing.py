"""One connection for several registries: who emits in a service of actors needs no second one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walnats_anyio._link._prefixes import Prefixes

if TYPE_CHECKING:
    from walnats_anyio._link._link import Link


class Connected:
    """Has a connection that another registry can be connected over."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link


def link_of(connected: Connected) -> Link:
    """The connection that is shared."""
    return connected._link


def prefixes_for(server: object, domain: object, js_prefix: object, namespace: object) -> Prefixes:
    """Check what `connect` was given; a connection that is shared has its prefixes already.

    Raises:
        TypeError: one of them is neither a text nor None.
        ValueError: one of them is no part of a subject, both `domain` and `js_prefix` are given, or
            they differ from what the shared connection has.
    """
    prefixes = Prefixes.of(domain, js_prefix, namespace)
    if not isinstance(server, Connected):
        return prefixes
    shared = link_of(server).prefixes
    given = {"domain": domain, "js_prefix": js_prefix, "namespace": namespace}
    for name, value in given.items():
        if value is not None and getattr(prefixes, _FIELDS[name]) != getattr(shared, _FIELDS[name]):
            raise ValueError(
                f"{name}={value!r} differs from what the shared connection has "
                f"({getattr(shared, _FIELDS[name])!r}): leave it out, or connect by a URL"
            )
    return shared


_FIELDS = {"domain": "domain", "js_prefix": "api", "namespace": "namespace"}
"""What becomes of the arguments in `Prefixes`."""
