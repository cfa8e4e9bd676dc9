"""Which codes are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from walnats_anyio.linter._codes import CODES, Finding


@dataclass(frozen=True)
class Selection:
    """The codes that are wanted and those that are not, each in full or by its first characters.

    A code that is not looked for by default has to be selected in full.

    Raises:
        ValueError: one of them is the beginning of no code.
    """

    select: tuple[str, ...] = ("WNS",)
    """What is looked for. Default: everything that is looked for by default."""

    extend_select: tuple[str, ...] = ()
    """What is looked for besides."""

    ignore: tuple[str, ...] = ()
    """What is left out, whatever is selected."""

    def __post_init__(self) -> None:
        for prefix in (*self.select, *self.extend_select, *self.ignore):
            if not any(code.startswith(prefix) for code in CODES):
                raise ValueError(f"no code begins with {prefix!r}: there are {', '.join(CODES)}")

    def wanted(self, found: Iterable[Finding]) -> list[Finding]:
        """Leave out what is not wanted."""
        return [each for each in found if self.has(each.code)]

    def has(self, code: str) -> bool:
        """Whether a code is wanted."""
        chosen = (*self.select, *self.extend_select)
        named = code in chosen or (CODES[code].by_default and code.startswith(chosen))
        return named and not code.startswith(self.ignore)
