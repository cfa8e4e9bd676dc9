"""A test of the mailer, with pytest-asyncio."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from mailer import ACTORS, EVENTS, MAILED, Provider, pay

from walnats_anyio.testing import Recording, drain, record


@pytest.fixture
def recorded(walnats_url: str) -> AbstractAsyncContextManager[Recording]:
    """What the test enters; pytest-asyncio would leave it in another task."""
    return record(EVENTS, walnats_url)


@pytest.mark.asyncio
async def test_a_mail_is_sent(
    walnats_url: str, recorded: AbstractAsyncContextManager[Recording]
) -> None:
    async with recorded as recording:
        await pay(walnats_url, 7)
        await drain(ACTORS, walnats_url)
        await recording.assert_emitted(MAILED, "order 7 is paid", count=1)


@pytest.mark.asyncio
async def test_an_outage_of_an_hour(
    walnats_url: str, instant_time: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, "outages", 4)
    await pay(walnats_url, 7)
    began = asyncio.get_running_loop().time()
    summary = await drain(ACTORS, walnats_url)
    assert (summary.handled, summary.failed) == (2, 4)
    assert asyncio.get_running_loop().time() - began > 3600
