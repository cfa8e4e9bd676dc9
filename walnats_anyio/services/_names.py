"""Names that a format takes, for things whose own names may have any character."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable


class UniqueNames:
    """Gives every thing one name of safe characters, and no two things the same.

    Each other character becomes `_`, and a name that is taken gets a number. So nothing has to be
    escaped where a format has names of its own; what people read is a label beside it.

    Args:
        safe: the characters that the format takes, as in a regular expression between `[` and `]`.
        lower: whether the format does not tell `A` from `a`.
    """

    def __init__(self, safe: str, *, lower: bool = False) -> None:
        self._unsafe = re.compile(f"[^{safe}]")
        self._lower = lower
        self._given: dict[Hashable, str] = {}
        self._taken: set[str] = set()

    def give(self, text: str, thing: Hashable) -> str:
        """Give the name of the thing, a new one made from the text for a new thing."""
        if thing in self._given:
            return self._given[thing]
        # `ü` becomes `u`: letters and their accents are apart in this form.
        letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        base = self._unsafe.sub("_", "".join(letters))
        if self._lower:
            base = base.lower()
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        self._given[thing] = name
        return name


def clean(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 can have."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
