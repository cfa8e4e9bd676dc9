"""Keeping the schemas of events on the server, and warning of those that do not fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._kept_schema import Verdict, verdict, with_schema
from walnats_anyio._link import Link, ServerError, api, keeps_metadata

logger = logging.getLogger("walnats_anyio.events")

MAX_BREAKS = 5
"""Breaks of a schema that are named in the log."""


class SchemaKeeper:
    """Puts schemas into the metadata of streams, during one `register`.

    Once it was not able to, it does not try again: a user who may not update one stream may update
    none, and a server may take seconds to say so.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._able = keeps_metadata(link)

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

    async def keep(self, event: BaseEvent[Any], config: dict[str, Any]) -> bool:
        """Update a stream for nothing but the schema, and what else it can do without.

        Args:
            event: whose stream.
            config: all of its new configuration.

        Returns:
            Whether it is kept.
        """
        if not self._able:
            return False
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
        return self._able


def warn_of_schema(
    event: BaseEvent[Any], config: Mapping[str, Any], reader: str = "this version"
) -> None:
    """Log a warning where messages that wait in the stream may not fit the event's schema.

    Args:
        event: the event as it is declared here.
        config: what its stream has.
        reader: who reads, for the log.
    """
    found = _verdict(event, config)
    if found.breaks:
        logger.warning("event %r: %s", event.name, _breaks(found, reader))
    elif found.unknown:
        logger.info(
            "event %r: its schema has changed, and cannot be compared with the one registered "
            "before: %s",
            event.name,
            found.unknown,
        )


def schema_warnings(
    event: BaseEvent[Any], config: Mapping[str, Any], reader: str = "this version"
) -> tuple[str, ...]:
    """Give the warnings that `warn_of_schema` logs, without the name of the event."""
    found = _verdict(event, config)
    return (_breaks(found, reader),) if found.breaks else ()


def _verdict(event: BaseEvent[Any], config: Mapping[str, Any]) -> Verdict:
    metadata = config.get("metadata")
    return verdict(metadata, event.schema_metadata) if metadata else Verdict()


def _breaks(found: Verdict, reader: str) -> str:
    told = "; ".join(map(str, found.breaks[:MAX_BREAKS]))
    more = len(found.breaks) - MAX_BREAKS
    return (
        f"{reader} cannot read all messages of the version registered before: {told}"
        f"{f'; and {more} more' if more > 0 else ''}"
    )
