"""Configurations as the server reads and writes them: typed, with Go's rules for JSON."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from walnats_anyio.testing._memory._answers import ApiError

T = TypeVar("T")

API_LEVEL = 5
"""What nats-server 2.15 calls its level of features."""


def parse(data: bytes) -> dict[str, Any]:
    """Read the body of a request.

    Raises:
        ApiError: it is no JSON object.
    """
    try:
        return _object.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise invalid_json(error) from error


def convert(body: object, kind: type[T]) -> T:
    """Give a part of a request its type; null is as if it were not there.

    Raises:
        ApiError: a field that there is not, or of another type.
    """
    try:
        return msgspec.convert(_without_null(body), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise invalid_json(error) from error


def invalid_json(reason: object) -> ApiError:
    """What cannot be read."""
    return ApiError(400, 10025, f"invalid JSON: {reason}")


def without_empty(config: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Leave out what Go leaves out when it is empty."""
    return {name: value for name, value in config.items() if value or name not in names}


def with_level(metadata: dict[str, str], level: int) -> dict[str, str]:
    """The metadata of an asset, with the level of features that it needs."""
    kept = {name: text for name, text in metadata.items() if name not in _SHOWN}
    return kept | {"_nats.req.level": str(level)}


def with_version(config: dict[str, Any], version: str) -> dict[str, Any]:
    """A configuration as answers show it: with what the server says of itself."""
    said = {"_nats.ver": version, "_nats.level": str(API_LEVEL)}
    return config | {"metadata": (config.get("metadata") or {}) | said}


_SHOWN = {"_nats.ver", "_nats.level"}


def _without_null(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    known = cast("dict[str, Any]", body)
    return {name: _without_null(value) for name, value in known.items() if value is not None}


_object = msgspec.json.Decoder(dict[str, Any])
