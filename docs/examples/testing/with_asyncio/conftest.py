"""A mock clock for pytest-asyncio, where there is no real server."""

import asyncio

from walnats_anyio.testing import MockClockLoop


def pytest_asyncio_loop_factories(config, item):
    real = config.getoption("--walnats-server") == "nats"
    return {"loop": asyncio.new_event_loop if real else MockClockLoop}
