"""Changes made by hand, `changes.toml`: what no test noticed once, and one does today."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "changes.toml"


@dataclass(frozen=True)
class Change:
    """One change, and the tests that must notice it."""

    says: str
    """The behaviour that it breaks."""

    path: str
    """The file, from the root of the repository."""

    before: str
    """A text that stands there once."""

    after: str
    """What takes its place."""

    tests: tuple[str, ...]
    """The tests that are run, of which one must fail."""

    quick: bool = False
    """Whether it is one of the sample that `.ci/run` tries."""

    def apply(self, source: bytes) -> bytes:
        """The file with the change.

        Raises:
            ValueError: `before` does not stand there exactly once.
        """
        before = self.before.encode()
        if source.count(before) != 1:
            raise ValueError(
                f"{self.path} has {source.count(before)} times what is changed to break "
                f"{self.says!r}: correct it in {FILE}:\n{self.before}"
            )
        return source.replace(before, self.after.encode())


def changes_by_hand() -> list[Change]:
    """All of them, in the order of the file."""
    listed = tomllib.loads(FILE.read_text())["change"]
    return [Change(**(each | {"tests": tuple(each["tests"])})) for each in listed]
