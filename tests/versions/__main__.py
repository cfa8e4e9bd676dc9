"""`python -m tests.versions [--write]`: all features on many servers, on both event loops.

Prints a line for each server, and with `--write` makes the table of docs/guides/versions.md from
what came out. `nox -s versions` runs it; it takes a minute.
"""

from __future__ import annotations

import sys

import anyio

from tests.versions._rows import FEATURES
from tests.versions._site import COLUMNS, INSTALLED, Outcome, server_of
from tests.versions._table import write
from tests.versions._trying import try_all

OTHERS = ("2.10.26", "2.11.0", "2.12.0", "2.14.0", "2.14.2", "2.14.3", "2.15.0")
"""More servers: the first and the last of a minor version, and those where something changed."""


def main() -> int:
    """Try everything; gives the exit code."""
    for number, feature in enumerate(FEATURES, 1):
        print(f"{number}. {feature.name}")
    found: dict[str, dict[str, Outcome]] = {}
    codes = [0]
    older = {*COLUMNS.values(), *OTHERS} - {INSTALLED}
    for version in (*sorted(older, key=_numbers), INSTALLED):
        with server_of(version) as server:
            one = anyio.run(try_all, server, backend="asyncio")
            other = anyio.run(try_all, server, backend="trio")
        codes.append(int(one != other))
        found[version] = one
        told = [f"{one[feature.name].value:10}" for feature in FEATURES]
        print(f"{version or 'installed':10}", *told, "" if one == other else f"trio: {other}")
    if "--write" in sys.argv:
        write({column: found[version] for column, version in COLUMNS.items()})
    return max(codes)


def _numbers(version: str) -> list[int]:
    return [int(each) for each in version.split(".")]


if __name__ == "__main__":
    sys.exit(main())
