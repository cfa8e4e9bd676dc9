"""Where and with what the figures were taken."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "walnats-anyio",
    "anyio",
    "nats-py",
    "msgspec",
    "trio",
    "trio-asyncio",
    "natsio",
    "walnats",
    "faststream",
    "taskiq",
    "taskiq-nats",
    "pydantic",
)


def versions(nats_server: str, against: Path | None = None) -> dict[str, str]:
    """Versions of all that takes part; a package that is missing is left out.

    ``before`` is the commit of the other checkout, if there is one.
    """
    found = {"python": platform.python_version(), "nats-server": nats_server}
    if against:
        found["before"] = commit_of(against)
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit_of(checkout: Path) -> str:
    """What git calls the commit of a checkout; its path where git does not know it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return str(checkout)
