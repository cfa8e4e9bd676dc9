"""When starting workers again and again is hopeless."""

from __future__ import annotations

import os
import signal

from tests.cli._command import report_in
from tests.cli._supervised import all_ready, replaced, run_two, stops
from tests.cli.conftest import Shop, on_one_loop
from walnats_anyio.testing import NatsServer


@on_one_loop("asyncio")
def test_workers_that_never_become_ready(shop: Shop, nats_url: str, backend: str) -> None:
    for number in (1, 2):
        (shop.directory / f"broken-{number}").touch()
    with run_two(shop, nats_url, backend, "--max-restarts=2", target="fragile:ACTORS") as command:
        assert command.ends() == 1
        assert "ended with exit code 7: not ready in 3 starts in a row, giving up" in command.output
        assert "gave up after" in command.output
        assert command.left_behind() == []
    report = report_in(shop.directory / "report.json", "ended")
    assert (report["how"], report["exit_code"]) == ("gave up", 1)
    assert max(shop.noted("import").count(number) for number in (1, 2)) == 3


def test_a_worker_that_never_becomes_ready_beside_one_that_is(shop: Shop, nats_url: str) -> None:
    with run_two(shop, nats_url, "trio", "--max-restarts=0", target="fragile:ACTORS") as command:
        first, _ = all_ready(command)
        (shop.directory / "broken-1").touch()
        os.kill(first, signal.SIGKILL)
        command.says("ended with exit code 7: replacing it")
        (shop.directory / "broken-1").unlink()
        replaced(command, 1, first)
        stops(command)


@on_one_loop("trio")
def test_a_worker_with_a_wrong_declaration_is_not_tried_again(
    shop: Shop, nats_url: str, backend: str
) -> None:
    with run_two(shop, nats_url, backend, target="fragile:ACTORS") as command:
        first, second = all_ready(command)
        (shop.directory / "undeclared-1").touch()
        os.kill(first, signal.SIGKILL)
        assert command.ends() == 2
        assert "there is no 'ACTORS' in 'fragile'" in command.output
        assert (
            "ended with exit code 2: starting it again does not help, giving up" in command.output
        )
        assert f"worker 2 ({second}): stopped gracefully" in command.output
        assert command.left_behind() == []
    assert report_in(shop.directory / "report.json", "ended")["restarted"] == 1


def test_workers_that_all_fail_at_first_are_not_tried_again(shop: Shop, nats_url: str) -> None:
    with run_two(shop, nats_url, "asyncio", "--no-register") as command:
        assert command.ends() == 1
        assert command.output.count("error: actor 'pack'") == 2
        assert "ended with exit code 1: no worker could start, giving up" in command.output


def test_no_server_is_said_once(shop: Shop, nats_server: NatsServer) -> None:
    nats_server.stop_blocking()
    with run_two(shop, nats_server.url, "trio", "--no-register") as command:
        assert command.ends() == 3
        assert command.output.count(f"cannot connect to {nats_server.url}") == 1


def test_a_server_that_is_gone_for_good_ends_with_3(shop: Shop, nats_server: NatsServer) -> None:
    with run_two(shop, nats_server.url, "asyncio", "--max-restarts=1") as command:
        workers = all_ready(command)
        nats_server.stop_blocking()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert command.ends() == 3
        assert "exit code 3: not ready in 2 starts in a row, giving up" in command.output
