"""A message among the dead letters that is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class UnreadableLetter:
    """A message in the stream of dead letters that cannot be read as one.

    No actor writes such. It was written by another program or a newer version, was damaged, or is
    somebody's attempt to do harm: trust nothing in it.
    """

    number: int
    """Its number in the stream of dead letters."""

    subject: str
    """The subject that it is kept under."""

    headers: bytes
    """Its header block as it is stored; empty where there is none."""

    payload: bytes
    """Its payload as it is stored."""

    stored_at: datetime
    """When the stream took it, in UTC."""

    problem: str
    """Why it cannot be read."""
