"""AsyncAPI documents as YAML.

Each text is written with the quotes and escapes of JSON, which is a part of YAML 1.2 and means the
same in YAML 1.1. So a version `1.10`, a country `no` or a name `1e3` stays a text, whichever of the
two a tool reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from walnats_anyio.services._json import is_list, is_object

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Keys that need no quotes."""

_WORDS = {"false", "n", "no", "null", "off", "on", "true", "y", "yes"}
"""What some YAML takes for something else than a text, in capitals as well."""

_RAW = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON does not escape, and YAML takes for no text or for the end of a line."""


def to_yaml(document: Mapping[str, Any]) -> str:
    """Write a document that JSON can hold."""
    return "\n".join(_block(document, "")) + "\n"


def _block(value: Any, indent: str) -> Iterator[str]:
    if is_object(value) and value:
        for key, part in value.items():
            yield from _entry(f"{indent}{_key(key)}:", part, indent)
    elif is_list(value) and value:
        for part in value:
            yield from _entry(f"{indent}-", part, indent)
    else:
        yield indent + _scalar(value)


def _entry(head: str, part: Any, indent: str) -> Iterator[str]:
    if part and (is_object(part) or is_list(part)):
        yield head
        yield from _block(part, f"{indent}  ")
    else:
        yield f"{head} {_scalar(part)}"


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) and key.lower() not in _WORDS else _scalar(key)


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "." not in text:
        # YAML 1.1 knows an exponent only behind a point.
        text = text.replace("e", ".0e")
    return _RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
