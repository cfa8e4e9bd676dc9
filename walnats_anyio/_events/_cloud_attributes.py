"""The types of CloudEvents attributes, and their text: section "Type System" of CloudEvents 1.0."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

AttributeValue: TypeAlias = bool | int | str | bytes | datetime
"""What an attribute can be: Boolean, Integer, String (also a URI), Binary, Timestamp."""

MAX_INTEGER: Final = 2**31 - 1
MIN_INTEGER: Final = -(2**31)

_NAME = re.compile("[a-z0-9]+")
_INTEGER = re.compile("-?(0|[1-9][0-9]*)")

# Control characters, lone surrogates and what Unicode calls noncharacters.
_NOT_IN_STRING = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane + end) for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))
    + "]"
)

# RFC 3986, section 2: unreserved, reserved, and % with two hexadecimal digits.
_URI_REFERENCE = re.compile(r"([A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+\-.]*:{_URI_REFERENCE.pattern}")

# RFC 2045, section 5.1: a token is ASCII but for control characters, spaces and ()<>@,;:\"/[]?=
_TOKEN = r"[!#$%&'*+\-.^_`{|}~A-Za-z0-9]+"
_QUOTED = r'"(?:[^"\\\r\n]|\\[^\r\n])*"'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(\s*;\s*{_TOKEN}\s*=\s*({_TOKEN}|{_QUOTED}))*\s*")
_JSON_TYPE = re.compile(rf"{_TOKEN}/({_TOKEN}\+)?json\s*(;.*)?", re.IGNORECASE | re.DOTALL)

_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)

# What a header value must not have as it is: see section 3.1.3.2 of the NATS binding.
_TO_ESCAPE = re.compile("[^!#$&-~]")
_ESCAPED = re.compile("(?:%[0-9A-Fa-f]{2})+")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def check_attribute_name(name: object) -> None:
    """Refuse what is no name of an extension attribute.

    Raises:
        TypeError: it is not a string.
        ValueError: it is not made of a to z and 0 to 9, or is `data`.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of an extension must be a str, not {type(name).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the name of an extension is made of a to z and 0 to 9 only, not {name!r}: "
            "drop what else there is"
        )
    if name in ("data", "data_base64"):
        raise ValueError(f"an extension cannot have the name {name!r}, as it stands for the data")


def check_value(name: str, value: object) -> None:
    """Refuse what an attribute cannot be.

    Raises:
        TypeError: it is of a type that CloudEvents do not have.
        ValueError: it is out of range, has characters that are not allowed, or no time zone.
    """
    if isinstance(value, bool | bytes):
        return
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ValueError(
                f"{name} must be an integer of 32 bits, {MIN_INTEGER} to {MAX_INTEGER}, not "
                f"{value!r}: pass a larger one as a str"
            )
    elif isinstance(value, str):
        check_string(name, value)
    elif isinstance(value, datetime):
        check_timestamp(name, value)
    else:
        raise TypeError(
            f"{name} must be a bool, int, str, bytes or datetime, not {type(value).__name__}: "
            f"{value!r}"
        )


def check_string(name: str, value: object, *, empty: bool = True) -> None:
    """Refuse what is no `String`.

    Args:
        name: of the attribute.
        value: what was given.
        empty: whether an empty one is taken.

    Raises:
        TypeError: it is not a `str`.
        ValueError: it is empty, or has a character that is not allowed.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}: {value!r}")
    if not value and not empty:
        raise ValueError(f"{name} must not be empty")
    found = _NOT_IN_STRING.search(value)
    if found is not None:
        raise ValueError(
            f"{name} has the character {found.group()!r}, and CloudEvents take no control "
            f"characters, lone surrogates and noncharacters: {value!r}"
        )


def check_uri_reference(name: str, value: object) -> None:
    """Refuse what is no `URI-reference` (RFC 3986, section 4.1), or an empty one.

    Raises:
        TypeError: it is not a `str`.
        ValueError: it is none.
    """
    check_string(name, value, empty=False)
    if not _URI_REFERENCE.fullmatch(str(value)):
        raise ValueError(
            f"{name} must be a URI or a relative reference, such as '/orders', not {value!r}: "
            "percent-encode other characters with urllib.parse.quote"
        )


def check_uri(name: str, value: object) -> None:
    """Refuse what is no absolute `URI` (RFC 3986, section 4.3), or an empty one.

    Raises:
        TypeError: it is not a `str`.
        ValueError: it is none.
    """
    check_string(name, value, empty=False)
    if not _URI.fullmatch(str(value)):
        raise ValueError(
            f"{name} must be an absolute URI, such as 'https://example.com/order.json', not "
            f"{value!r}"
        )


def check_media_type(name: str, value: object) -> None:
    """Refuse what is no media type (RFC 2046).

    Raises:
        TypeError: it is not a `str`.
        ValueError: it is none.
    """
    check_string(name, value, empty=False)
    if not _MEDIA_TYPE.fullmatch(str(value)):
        raise ValueError(f"{name} must be a media type, such as 'application/json', not {value!r}")


def check_timestamp(name: str, value: object) -> None:
    """Refuse what is no `Timestamp`.

    Raises:
        TypeError: it is not a `datetime`.
        ValueError: it has no time zone, or one that is no whole number of minutes from UTC.
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}: {value!r}")
    offset = value.utcoffset()
    if offset is None:
        raise ValueError(f"{name} needs a time zone, such as datetime.UTC: {value!r}")
    if offset % timedelta(minutes=1):
        raise ValueError(
            f"{name} must be a whole number of minutes from UTC, as RFC 3339 writes it: {value!r}"
        )


def is_json(media_type: str) -> bool:
    """Whether it declares JSON: `*/json`, `*/*+json` (section 3.1.1 of the JSON format)."""
    return _JSON_TYPE.fullmatch(media_type) is not None


# the canonical text of a value


def to_text(value: AttributeValue) -> str:
    """Write a value as its canonical text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, datetime):
        return write_timestamp(value)
    return str(value)


def write_timestamp(value: datetime) -> str:
    """Write a time as RFC 3339 does, with Z for UTC."""
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def read_timestamp(name: str, text: object) -> datetime:
    """Read a time of RFC 3339. What is shorter than a microsecond is dropped.

    Raises:
        ValueError: it is none.
    """
    found = _TIMESTAMP.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{name} must be a time of RFC 3339 with its time zone, not {text!r}")
    date, minutes, seconds, fraction, zone = found.groups()
    # Python has no leap second: it is taken for the end of the second before.
    second, micro = ("59", "999999") if seconds == "60" else (seconds, (fraction or "")[:6])
    zone = "+00:00" if zone in "Zz" else zone
    try:
        time = datetime.fromisoformat(f"{date}T{minutes}:{second}.{micro:0<6}{zone}")
    except ValueError as error:
        raise ValueError(f"{name}: there is no such time as {text!r} ({error})") from None
    return time.astimezone(UTC) if time.utcoffset() == timedelta(0) else time


def read_integer(name: str, text: object) -> int:
    """Read an `Integer`, also where a format kept its type.

    Raises:
        ValueError: it is none.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if isinstance(text, str) and len(text) <= len(str(MIN_INTEGER)) and _INTEGER.fullmatch(text):
        return int(text)
    raise ValueError(f"{name} must be an integer of 32 bits, not {text!r}")


def read_base64(name: str, text: object) -> bytes:
    """Read a `Binary`.

    Raises:
        ValueError: it is not base64.
    """
    if isinstance(text, str):
        try:
            return b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise ValueError(f"{name} must be base64 text")


# header values: section 3.1.3.2 of the NATS binding


def escape(text: str) -> str:
    """Percent-encode what a header value must not have: spaces, `"`, `%`, all but visible ASCII."""
    return _TO_ESCAPE.sub(_escaped, text)


def unescape(name: str, value: str) -> str:
    """Undo `escape`, and the quotes that older versions of the binding used.

    A `%` that no hexadecimal digits follow stays: walnats sends it as it is.

    Raises:
        ValueError: what was encoded is no UTF-8.
    """
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    try:
        return _ESCAPED.sub(lambda found: unquote_to_bytes(found.group()).decode(), value)
    except UnicodeDecodeError:
        raise ValueError(f"header {name} is percent-encoded and no UTF-8: {value!r}") from None


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode())
