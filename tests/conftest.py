"""What all tests share: every async test runs on both event loops."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings

from tests.support.memory import (
    add_option,
    keep_what_runs_in_memory,
    memory_server,
    memory_url,
)

__all__ = ["memory_server", "memory_url"]

# How long an example takes to make or to run says how busy the machine is.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    # Should pytest rename what it uses, each process compiles for itself.
    with suppress(ImportError):
        from tests.support.bytecode import CompileFirst

        config.pluginmanager.register(CompileFirst())
    # Nearly all that is made until the tests begin stays.
    gc.disable()


def pytest_collection_finish() -> None:
    # Thousands of tests and hundreds of modules would take each full collection of a test, and of
    # the interpreter, a quarter of a second.
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_what_runs_in_memory(config, items)


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

# Tests start hundreds of programs that import the library, and pytest rewrites the asserts of every
# file in every worker. Without files of bytecode, which images of containers often switch off, each
# of them compiles all of it again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
