"""Each test on both event loops, with a mock clock where there is no real server."""

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request, walnats_clock):
    return request.param, walnats_clock(request.param)
