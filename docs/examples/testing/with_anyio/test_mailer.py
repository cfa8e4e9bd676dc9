"""Tests of the mailer, with the plugin of anyio."""

import anyio
import pytest
from mailer import ACTORS, ARCHIVE, EVENTS, MAILED, PAID, SEND_MAIL, Provider, pay

from walnats_anyio.testing import MemoryServer, NatsServer, dead_letters, drain, record, run_job

pytestmark = pytest.mark.anyio


async def test_a_mail_is_sent(walnats_url: str) -> None:
    async with record(EVENTS, walnats_url) as recording:
        await pay(walnats_url, 7)
        summary = await drain(ACTORS, walnats_url)
        await recording.assert_emitted(PAID, 7, uid="order-7", count=1)
        await recording.assert_emitted(MAILED, lambda mail: "order 7" in mail, count=1)
    assert summary.handled == 2


async def test_a_wrong_order_is_a_dead_letter(walnats_url: str) -> None:
    async with record(EVENTS, walnats_url) as recording:
        await pay(walnats_url, -1)
        summary = await drain(ACTORS, walnats_url)
        await recording.assert_nothing_emitted(MAILED)
    assert summary.dead_lettered == 1
    (letter,) = await dead_letters(walnats_url, SEND_MAIL)
    assert (letter.reason, letter.error) == ("rejected", "there is no order -1")


async def test_an_outage_of_an_hour(
    walnats_url: str, instant_time: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, "outages", 4)
    await pay(walnats_url, 7)
    began = anyio.current_time()
    summary = await drain(ACTORS, walnats_url)
    assert (summary.handled, summary.failed) == (2, 4)
    assert anyio.current_time() - began == pytest.approx(1 + 60 + 600 + 3600, abs=1)


async def test_the_last_attempt() -> None:
    provider = Provider()
    provider.outages = 1
    run = await run_job(SEND_MAIL, 7, attempt=7, state=provider)
    assert (run.verdict, run.reason) == ("dead letter", "exhausted")


async def test_an_acknowledgement_is_lost(
    memory_server: MemoryServer, instant_time: object
) -> None:
    await pay(memory_server.url, 7)
    memory_server.drop("$JS.ACK.orders-paid.>")
    async with record(EVENTS, memory_server.url) as recording:
        summary = await drain(ACTORS, memory_server.url)
        # It was run again after `ack_wait`, and its mail was dropped as a duplicate.
        await recording.assert_emitted(MAILED, count=1)
    assert [(each.actor, each.handled) for each in summary.actors] == [
        (SEND_MAIL.name, 2),
        (ARCHIVE.name, 1),
    ]


async def test_the_server_restarts(walnats_server: MemoryServer | NatsServer) -> None:
    await pay(walnats_server.url, 7)
    await walnats_server.restart()
    summary = await drain(ACTORS, walnats_server.url)
    assert summary.handled == 2
