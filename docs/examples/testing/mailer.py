"""A mailer: who pays gets a mail, which a provider sends that is not always there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import walnats_anyio as walnats
from walnats_anyio.types import ConnectedActors

PAID = walnats.Event("orders.paid", int)
MAILED = walnats.Event("mails.sent", str)
EVENTS = walnats.Events(PAID, MAILED)


class Provider:
    """What sends mails: an outage can be pretended."""

    outages = 0

    async def send(self, text: str) -> None:
        """Send a mail, unless there is an outage."""
        if self.outages:
            self.outages -= 1
            raise ConnectionError("the provider is not there")


async def send_mail(order: int) -> None:
    if order < 1:
        raise walnats.Reject(f"there is no order {order}")
    context = walnats.current_context()
    await context.state.send(f"order {order} is paid")
    await context.emit(MAILED, f"order {order} is paid")


async def archive(mail: str) -> None:
    """Keep a mail, somewhere."""


@asynccontextmanager
async def lifespan(_: ConnectedActors) -> AsyncIterator[Provider]:
    yield Provider()


SEND_MAIL = walnats.Actor(
    "send-mail", PAID, send_mail, max_attempts=7, retry_delay=(1, 60, 600, 3600)
)
ARCHIVE = walnats.Actor("archive", MAILED, archive)
ACTORS = walnats.Actors(SEND_MAIL, ARCHIVE, lifespan=lifespan)


async def pay(url: str, *orders: int) -> None:
    """What the application under test does: register, and emit."""
    async with EVENTS.connect(url) as events, ACTORS.connect(url) as actors:
        await events.register()
        await actors.register()
        for order in orders:
            await events.emit(PAID, order, uid=f"order-{order}", sync=True)
