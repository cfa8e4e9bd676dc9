"""The header block of a message (ADR-4): a version line, a line for each header, an empty line.

The version line of a message that the server itself sends also holds a status code and mostly a
description, for instance `NATS/1.0 408 Request Timeout`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

VERSION = b"NATS/1.0"
END = b"\r\n\r\n"


class HeaderError(ValueError):
    """A header block that does not follow ADR-4. It spoils its message, and nothing else."""


class Status(NamedTuple):
    """The status of a message that the server itself sent."""

    code: str
    """Three digits, such as "408"; empty for a message of a client."""

    description: str
    """What the server says about it; may be empty."""


def header_block(headers: Mapping[str, str]) -> bytes:
    """Build the header block of a message; empty for no headers.

    Names and values must have been checked: a line break in one of them would break the message.
    """
    if not headers:
        return b""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def parse_status(block: bytes) -> Status:
    """Read the status in the version line.

    Raises:
        HeaderError: the block does not begin with a version line of UTF-8 text.
    """
    line, found, _ = block.partition(b"\r\n")
    if not found or not line.startswith(VERSION):
        raise HeaderError(f"a header block begins with NATS/1.0 and a line break, not {_cut(line)}")
    rest = line[len(VERSION) :]
    if rest and not rest[:1].isspace():
        raise HeaderError(f"a header block begins with NATS/1.0, not {_cut(line)}")
    code, *description = _text(rest).split(None, 1) or [""]
    return Status(code, "".join(description).rstrip())


def parse_headers(block: bytes) -> dict[str, str]:
    """Read the headers of a message, without its status.

    A name that comes twice has its first value, which is what `Get` of the Go client gives.

    Raises:
        HeaderError: the block does not follow ADR-4, or is no UTF-8.
    """
    if not block:
        return {}
    parse_status(block)
    if not block.endswith(END):
        raise HeaderError("a header block ends with an empty line")
    headers: dict[str, str] = {}
    for line in block[: -len(END)].split(b"\r\n")[1:]:
        name, found, value = line.partition(b":")
        if not found or not name.strip():
            raise HeaderError(f"a header is a name, a colon and a value, not {_cut(line)}")
        headers.setdefault(_text(name).strip(), _text(value).strip())
    return headers


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise HeaderError(f"a header is UTF-8 text, not {_cut(data)}") from None


def _cut(data: bytes) -> str:
    """What is shown of bytes that a stranger may have chosen."""
    return repr(data[:200])
