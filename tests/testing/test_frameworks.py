"""The fixtures with each of the plugins that run async tests, as a user's suite has them."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

pytest_plugins = ["pytester"]

SHOP = """
import anyio
import walnats_anyio as walnats

PAID = walnats.Event("orders.paid", int)
MAILED = walnats.Event("mails.sent", str)
EVENTS = walnats.Events(PAID, MAILED)


async def send_mail(order):
    context = walnats.current_context()
    if context.attempts < 3:
        raise walnats.Retry(context.state)
    await context.emit(MAILED, f"order {order}")


async def archive(mail):
    await anyio.sleep(0.01)


def actors(delay):
    async def lifespan(_):
        yield delay

    from contextlib import asynccontextmanager
    return walnats.Actors(
        walnats.Actor("mail", PAID, send_mail),
        walnats.Actor("archive", MAILED, archive),
        lifespan=asynccontextmanager(lifespan),
    )


async def emit(url, *orders):
    async with EVENTS.connect(url) as events, actors(0).connect(url) as connected:
        await events.register()
        await connected.register()
        for order in orders:
            await events.emit(PAID, order, sync=True)
"""

TESTS = """
import anyio, pytest
from shop import *
from walnats_anyio.testing import drain, record

pytestmark = pytest.mark.{mark}


async def test_a_mail_is_sent(walnats_url):
    async with record(EVENTS, walnats_url) as recording:
        await emit(walnats_url, 7)
        summary = await drain(actors(0.05), walnats_url)
        await recording.assert_emitted(MAILED, "order 7", count=1)
    assert (summary.handled, summary.failed) == (2, 2)


async def test_an_hour_of_retries(walnats_url, instant_time):
    await emit(walnats_url, 7, 8)
    began = anyio.current_time()
    summary = await drain(actors(1800), walnats_url)
    assert (summary.handled, summary.failed) == (4, 4)
    assert 3600 <= anyio.current_time() - began < 3601
"""

CONFTESTS = {
    "anyio": """
        import pytest

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request, walnats_clock):
            return request.param, walnats_clock(request.param)
        """,
    "trio": "",
    "asyncio": """
        import asyncio
        from walnats_anyio.testing import MockClockLoop

        def pytest_asyncio_loop_factories(config, item):
            real = config.getoption("--walnats-server") == "nats"
            return {"loop": asyncio.SelectorEventLoop if real else MockClockLoop}
        """,
}
PLUGINS = {"anyio": "anyio", "trio": "pytest_trio", "asyncio": "pytest_asyncio"}


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(shop=SHOP)
    return pytester


def run(suite: pytest.Pytester, plugin: str, *arguments: str) -> pytest.RunResult:
    """Run the tests as `pytest` would in a program of its own, with one plugin for async tests."""
    if find_spec(PLUGINS[plugin]) is None:
        pytest.skip(f"{PLUGINS[plugin]} is not installed")
    suite.makeconftest(CONFTESTS[plugin])
    suite.makepyfile(test_shop=TESTS.format(mark=plugin))
    others = [f"-pno:{other}" for other in ("trio", "asyncio") if other != plugin]
    return suite.runpytest_subprocess(
        "-pno:cacheprovider", "-pno:hypothesispytest", "-pno:xdist", *others, *arguments
    )


@pytest.mark.parametrize("plugin", PLUGINS)
def test_in_memory_without_waiting(suite: pytest.Pytester, plugin: str) -> None:
    run(suite, plugin).assert_outcomes(passed=4 if plugin == "anyio" else 2)


@pytest.mark.parametrize("plugin", ["asyncio"])
def test_the_same_on_a_real_server(suite: pytest.Pytester, plugin: str) -> None:
    result = run(suite, plugin, "--walnats-server=nats", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*--walnats-server=nats has no mock clock*"])


def test_without_a_mock_clock_the_error_says_what_to_do(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.anyio
        async def test_it(instant_time):
            pass
        """
    )
    result = suite.runpytest_inprocess("-pno:cacheprovider", "-pno:asyncio")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*let the fixture anyio_backend return (backend, walnats_clock*"])
