"""What all tests share: every async test runs on both event loops."""

from __future__ import annotations

import signal
import threading

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loop of an async test, one after the other."""
    return str(request.param)


# A shell has what runs in the background ignore Ctrl-C, and programs that tests start inherit that.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)
