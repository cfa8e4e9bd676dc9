"""`run --health-port`, its pages, and a worker that is recycled meanwhile."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.cli._command import Command, report_in, started, until
from tests.cli.conftest import MORE, Shop, once
from walnats_anyio.testing import NatsServer

Emit = Callable[[range], None]

COUNTING = """
import prometheus_client
import shop

PACKED = prometheus_client.Counter("packed", "Orders that were packed.")
RUNNING = prometheus_client.Gauge("packing", "Orders.", multiprocess_mode="livesum")

async def pack(number):
    with RUNNING.track_inprogress():
        await shop.pack(number)
    PACKED.inc()

ACTORS = shop.walnats.Actors(shop.walnats.Actor("pack", shop.PLACED, pack, ack_wait=30))
"""


def run_one(
    shop: Shop, nats_url: str, backend: str, *options: str
) -> AbstractContextManager[Command]:
    """Run one worker, with a health port; all that is logged is JSON."""
    (shop.directory / "counting.py").write_text(COUNTING)
    words = ("run", "counting:ACTORS", "--backend", backend, "--health-port=0", *options)
    report = str(shop.directory / "report.json")
    return started(
        shop.directory,
        *words,
        NATS_SERVER=nats_url,
        WALNATS_LOG_FORMAT="json",
        WALNATS_JSON=report,
    )


class Pages:
    """The pages of a command."""

    def __init__(self, shop: Shop) -> None:
        self._port = report_in(shop.directory / "report.json", "running")["health_port"]

    def get(self, page: str) -> tuple[int, str]:
        """The status and the text of a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{page}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def json(self, page: str) -> Any:
        """What a page says."""
        return json.loads(self.get(page)[1])

    def metric(self, name: str) -> float | None:
        """The value of a metric, its labels left out."""
        for line in self.get("metrics")[1].splitlines():
            if line.startswith((f"{name} ", f"{name}{{")):
                return float(line.rsplit(" ", 1)[1])
        return None


@once("asyncio")
def test_the_pages_while_a_worker_is_recycled(
    shop: Shop, emit: Emit, nats_url: str, backend: str
) -> None:
    with run_one(shop, nats_url, backend, "--max-jobs-per-worker=4", "--max-jobs=2") as command:
        pages = Pages(shop)
        until(lambda: pages.get("readyz")[0] == 200, lambda: command.output)
        assert pages.json("livez") == {"live": True, "hanging": []}
        [worker] = pages.json("readyz")["workers"]
        emit(range(6))
        shop.until_started(2)
        until(lambda: pages.metric("walnats_run_running") == 2)
        assert pages.metric("packing") == 2
        until(lambda: pages.json("scale")["running"] == 2)
        scale = pages.json("scale")
        assert (scale["waiting"], scale["total"]) == (4, 6)
        assert scale["actors"]["pack"]["oldest"] > 0
        shop.let_go()
        # Whatever process it was that did them.
        until(lambda: pages.metric("walnats_run_handled_total") == 6, lambda: command.output)
        until(lambda: pages.metric("walnats_run_recycled_total") == 1, lambda: command.output)
        assert pages.metric("packed_total") == 6
        until(lambda: pages.get("readyz")[0] == 200)
        [new] = pages.json("readyz")["workers"]
        assert new["pid"] != worker["pid"]
        assert pages.get("nothing")[0] == 404
        command.send(signal.SIGTERM)
        assert command.ends() == 0, command.output
        assert command.left_behind() == []
    report = report_in(shop.directory / "report.json", "ended")
    assert (report["recycled"], report["restarted"], report["how"]) == (1, 0, "stopped gracefully")
    assert report["summary"]["handled"] == 6
    assert sorted(shop.noted("done")) == [*range(6)]
    # All that was said was said in JSON, by whatever process.
    said = [json.loads(line) for line in command.output.splitlines()]
    assert {worker["pid"], new["pid"], command.process.pid} == {each["process"] for each in said}
    assert f"worker 1 ({worker['pid']}) has done" in " ".join(each["message"] for each in said)


@pytest.mark.skipif(not os.environ.get(MORE), reason=f"{MORE}=1 runs it: it takes seconds")
def test_a_worker_without_nats_is_not_ready_and_one_that_hangs_is_replaced(
    shop: Shop, nats_server: NatsServer
) -> None:
    with run_one(shop, nats_server.url, "trio", "--hang-timeout=3") as command:
        pages = Pages(shop)
        until(lambda: pages.get("readyz")[0] == 200, lambda: command.output)
        nats_server.kill()
        until(lambda: pages.get("readyz")[0] == 503)
        # Which is no reason to start the program again.
        assert pages.get("livez")[0] == 200
        [worker] = pages.json("readyz")["workers"]
        assert (worker["ready"], worker["connected"]) == (True, False)
        assert pages.metric("walnats_consumer_up") == 0
        assert pages.get("scale")[0] == 503
        os.kill(worker["pid"], signal.SIGSTOP)
        command.says("sent no heartbeat for 3 s and was killed")


def test_a_port_that_is_taken_is_said_before_anything_is_done(
    shop: Shop, nats_server: NatsServer
) -> None:
    taken = nats_server.url.rpartition(":")[2]
    words = (f"--health-port={taken}", "--debug")
    with run_one(shop, nats_server.url, "asyncio", *words) as command:
        assert command.ends() == 1
        [said] = command.output.splitlines()
    told = json.loads(said)
    assert told["level"] == "ERROR"
    assert told["message"].startswith(f"--health-port {taken} cannot be used on 127.0.0.1: ")
    assert "0 takes a free one" in told["hint"]
    assert "Traceback" in told["exception"]  # which is in the same line
