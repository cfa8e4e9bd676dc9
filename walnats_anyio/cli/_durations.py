"""How long something takes, as people type it: `30s`, `10m`, `2h`, `3d`, `1w`."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def duration(text: str) -> timedelta | None:
    """Read a number and a unit; None for what is not that.

    Raises:
        OverflowError: it is longer than 2.7 million years.
    """
    found = DURATION.fullmatch(text)
    return None if found is None else timedelta(**{UNITS[found[2]]: float(found[1])})
