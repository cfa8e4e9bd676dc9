"""What the AsyncAPI initiative says about a document: the JSON Schema that it publishes.

`asyncapi/` has the file of the npm package `@asyncapi/specs` 6.11.1 unchanged, with its licence
(Apache-2.0) and its notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

_OFFICIAL = Draft7Validator(
    json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text())
)


def problems(document: dict[str, Any]) -> list[str]:
    """What is wrong with a document: for the official schema, and with its references."""
    wrong = [f"{error.json_path}: {error.message}" for error in _OFFICIAL.iter_errors(document)]
    return wrong + [
        f"{reference} is not there"
        for reference in references(document)
        if resolved(document, reference) is None
    ]


def references(part: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        target = part.get("$ref")
        if isinstance(target, str):
            yield target
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolved(document: dict[str, Any], reference: str) -> Any:
    """What a reference refers to; None: nothing."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"))
        if found is None:
            return None
    return found


def accepts(document: dict[str, Any], event: str, message: Any) -> bool:
    """Whether the payload schema of an event's message takes a message, by JSON Schema draft 07."""
    payload = document["components"]["messages"][event]["payload"]
    # References of the payload start at the root of the document.
    validator = Draft7Validator({**document, "allOf": [payload]})
    return bool(validator.is_valid(message))
