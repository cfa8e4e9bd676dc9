"""Mutants that may survive, each with the reason: `survivors.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILE = Path(__file__).parent / "survivors.toml"


SAME = "same:"
"""How a reason begins where nothing can be seen of the change: it is an equivalent mutant."""


def known_survivors() -> dict[str, str]:
    """The reason for each mutant that may survive, by its key."""
    listed = tomllib.loads(FILE.read_text())
    reasons: dict[str, str] = {}
    for path, mutants in listed.items():
        for mutant, reason in mutants.items():
            reasons[f"{path}: {mutant}"] = reason
    return reasons
