"""Where and with what the figures were taken."""

from __future__ import annotations

import os
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


def machine() -> dict[str, str]:
    """Processor, cores, memory, operating system, and how busy it was before the first run."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def processor() -> str:
    """Name of the processor as the kernel knows it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


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
