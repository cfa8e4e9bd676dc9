"""A mock clock for pytest-asyncio, where there is no real server."""

import asyncio
from collections.abc import Callable

import pytest

from walnats_anyio.testing import MockClockLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    real = config.getoption("--walnats-server") == "nats"
    return {"loop": asyncio.new_event_loop if real else MockClockLoop}
