"""A test of the mailer, with pytest-trio."""

import pytest
import trio
from mailer import ACTORS, Provider, pay

from walnats_anyio.testing import drain


@pytest.mark.trio
async def test_an_outage_of_an_hour(
    walnats_url: str, instant_time: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, "outages", 4)
    await pay(walnats_url, 7)
    began = trio.current_time()
    summary = await drain(ACTORS, walnats_url)
    assert (summary.handled, summary.failed) == (2, 4)
    assert trio.current_time() - began > 3600
