"""Each test on both event loops, with a mock clock where there is no real server."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(
    request: pytest.FixtureRequest, walnats_clock: Callable[[str], dict[str, Any]]
) -> tuple[str, dict[str, Any]]:
    return request.param, walnats_clock(request.param)
