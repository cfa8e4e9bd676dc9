"""The suites of the guide *Testing*: the fixtures with each plugin that runs async tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.docs._blocks import EXAMPLES

pytest_plugins = ["pytester"]

PLUGINS = ("anyio", "pytest_trio.plugin", "pytest_asyncio.plugin", "walnats_anyio.testing.plugin")


def run(*arguments: str) -> str:
    """Run tests of the mailer as a reader would; loading only these plugins takes half the time."""
    plugins = [f"-p{plugin}" for plugin in PLUGINS]
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", "."),
            *("-pno:cacheprovider", "--import-mode=importlib", "-v", *plugins),
            *("-oasyncio_default_fixture_loop_scope=function", *arguments),
        ],
        cwd=EXAMPLES / "testing",
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_all_plugins_side_by_side_in_memory() -> None:
    output = run(".")
    assert "15 passed" in output
    for test in (
        "with_anyio/test_mailer.py::test_an_outage_of_an_hour[asyncio]",
        "with_anyio/test_mailer.py::test_an_outage_of_an_hour[trio]",
        "with_trio/test_on_trio.py::test_an_outage_of_an_hour",
        "with_asyncio/test_on_asyncio.py::test_an_outage_of_an_hour",
    ):
        assert f"{test} PASSED" in output


def test_the_same_tests_on_a_real_server() -> None:
    output = run("--walnats-server=nats", "-rs", "with_anyio", "-k", "mail_is_sent or hour")
    assert "2 passed, 2 skipped" in output
    assert "--walnats-server=nats has no mock clock" in output


def test_without_a_mock_clock_the_error_says_what_to_do(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.anyio
        async def test_it(instant_time):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-pno:cacheprovider", "-pno:asyncio")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*let the fixture anyio_backend return (backend, walnats_clock*"])
