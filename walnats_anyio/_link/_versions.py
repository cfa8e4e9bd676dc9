"""Which version of nats-server there is, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from walnats_anyio._link._link import Link

VERSION = "_nats.ver"
"""Metadata of streams and consumers: the version of the server that keeps them, from 2.11 on."""

METADATA_SINCE = (2, 10)
"""The first nats-server that keeps metadata of streams and consumers."""

TERM_REASON_SINCE = (2, 10, 4)
"""The first nats-server that takes a reason with `+TERM`; earlier ones ignore all of it."""

PERCENT_SINCE = (2, 14, 3)
"""The first nats-server that works with names with `%`.

Earlier ones take the name of stream and consumer as a format: 2.9 sends no event, 2.11 to 2.14.2
send some and take no acknowledgement.
"""


def version_of(link: Link, config: Mapping[str, Any] | None = None) -> str:
    """The version of the server that has JetStream.

    Args:
        link: the connection. Its server may be another one, such as a leafnode.
        config: the configuration of a stream or a consumer, which tells it from 2.11 on.
    """
    metadata = (config or {}).get("metadata") or {}
    return str(metadata.get(VERSION) or link.info.version)


def is_at_least(version: str, since: tuple[int, ...]) -> bool:
    """Whether a version is this or a later one; one that cannot be read counts as the newest."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if numbers is None:
        return True
    return tuple(int(each or 0) for each in numbers.groups())[: len(since)] >= since


def keeps_metadata(link: Link, config: Mapping[str, Any] | None = None) -> bool:
    """Whether the server keeps the metadata of streams and consumers; older ones forget it."""
    return is_at_least(version_of(link, config), METADATA_SINCE)


def takes_reason_of_term(link: Link) -> bool:
    """Whether the server takes `+TERM` with a reason.

    One that is elsewhere, such as the hub of a leafnode, may be older than the one connected to.
    """
    return not link.prefixes.elsewhere and is_at_least(link.info.version, TERM_REASON_SINCE)


def percent_problem(link: Link, config: Mapping[str, Any] | None, *names: str) -> str | None:
    """Say why names of streams and consumers do not work on this server; None where they do.

    Args:
        link: the connection.
        config: the configuration of the stream or the consumer, if there is one.
        names: the names on the server.
    """
    bad = [name for name in names if "%" in name]
    if not bad:
        return None
    version = version_of(link, config)
    if is_at_least(version, PERCENT_SINCE):
        return None
    since = ".".join(map(str, PERCENT_SINCE))
    return (
        f"{bad[0]!r} has a '%', with which nats-server loses events and acknowledgements before "
        f"{since}, and this one is {version}: use '-' or '_' instead, or upgrade the server"
    )
