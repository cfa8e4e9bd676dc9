"""Keeping the schemas of events on the server, and warning of those that do not fit."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._kept_schema import verdict, with_schema
from walnats_anyio._link import Link, ServerError, api

logger = logging.getLogger("walnats_anyio.events")

MAX_BREAKS = 5
"""Breaks of a schema that are named in the log."""

METADATA_SINCE = (2, 10)
"""The version of nats-server that was the first to keep metadata."""


class SchemaKeeper:
    """Puts schemas into the metadata of streams, during one `register`.

    Once it was not able to, it does not try again: a user who may not update one stream may update
    none, and a server may take seconds to say so.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._able = _keeps_metadata(link.info.version)

    def missing_in(self, config: Mapping[str, Any], event: BaseEvent[Any]) -> dict[str, Any]:
        """Give the field of a stream's configuration that it needs to keep the event's schema.

        Args:
            config: what the stream has.
            event: the event.

        Returns:
            `{"metadata": ...}`, with what others keep there; empty where nothing is missing.
        """
        if not self._able:
            return {}
        metadata = with_schema(config.get("metadata"), event.schema_metadata)
        return {} if metadata is None else {"metadata": metadata}

    async def keep(self, event: BaseEvent[Any], config: dict[str, Any]) -> None:
        """Update a stream for nothing but the schema, and what else it can do without.

        Args:
            event: whose stream.
            config: all of its new configuration.
        """
        if not self._able:
            return
        try:
            await api(
                self._link,
                f"STREAM.UPDATE.{event.stream_name}",
                config,
                replicas=event.replicas,
                optional=True,
            )
        except ServerError as error:
            self._able = False
            logger.debug("event %r: its schema is not kept: %s", event.name, error)


def warn_of_schema(
    event: BaseEvent[Any], config: Mapping[str, Any], reader: str = "this version"
) -> None:
    """Log a warning where messages that wait in the stream may not fit the event's schema.

    Args:
        event: the event as it is declared here.
        config: what its stream has.
        reader: who reads, for the log.
    """
    metadata = config.get("metadata")
    if not metadata:
        return
    found = verdict(metadata, event.schema_metadata)
    if found.breaks:
        told = "; ".join(map(str, found.breaks[:MAX_BREAKS]))
        more = len(found.breaks) - MAX_BREAKS
        logger.warning(
            "event %r: %s cannot read all messages of the version registered before: %s%s",
            event.name,
            reader,
            told,
            f"; and {more} more" if more > 0 else "",
        )
    elif found.unknown:
        logger.info(
            "event %r: its schema has changed, and cannot be compared with the one registered "
            "before: %s",
            event.name,
            found.unknown,
        )


def _keeps_metadata(version: str) -> bool:
    """Whether a server keeps metadata of streams; older ones forget it."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= METADATA_SINCE
