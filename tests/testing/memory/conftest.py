"""A server in memory for each test, and an event."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from walnats_anyio import Event
from walnats_anyio.testing import MemoryServer


@pytest.fixture
async def server() -> AsyncIterator[MemoryServer]:
    async with MemoryServer() as server:
        yield server


@pytest.fixture
def url(memory_url: str) -> str:
    return memory_url


@pytest.fixture
def event() -> Event[int]:
    return Event("numbers", int)
