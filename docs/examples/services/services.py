from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

import walnats_anyio as walnats


@dataclass
class Line:
    """One product in an order."""

    product: Annotated[str, Meta(min_length=1, description="The number in the catalogue.")]
    pieces: Annotated[int, Meta(ge=1)] = 1


@dataclass
class Order:
    """What a customer has bought."""

    id: int
    email: Annotated[str, Meta(description="Where the receipt goes.")]
    lines: list[Line]


@dataclass
class Refund:
    """Money that goes back to a customer."""

    order_id: int
    cents: Annotated[int, Meta(gt=0)]
    reason: Literal["broken", "late", "unwanted"] = "unwanted"


@dataclass
class Parcel:
    """A parcel that has left."""

    order_id: int
    tracking_code: str
    lines: list[Line]


PLACED = walnats.Event("order.placed", Order, description="A customer has paid.")
REFUNDED = walnats.Event("order.refunded", Refund)
SENT = walnats.Event("parcel.sent", Parcel, limits=walnats.Limits(age=7 * 24 * 3600))


async def pack(order: Order) -> None: ...


async def send_receipt(order: Order) -> None: ...


async def send_apology(refund: Refund) -> None: ...


async def send_tracking(parcel: Parcel) -> None: ...


SERVICES = walnats.Services(
    title="Shop",
    version="2.1.0",
    description="From the click of a customer to the parcel at the door.",
    servers={"production": "nats://nats.example.com:4222"},
)
SERVICES.add(
    "checkout",
    version="3.0.0",
    description="Takes the money, and gives it back.",
    emits=walnats.Events(PLACED, REFUNDED),
)
SERVICES.add(
    "warehouse",
    version="1.4.2",
    emits=walnats.Events(SENT),
    defines=walnats.Actors(
        walnats.Actor("pack", PLACED, pack, "Puts the parcel together.", max_attempts=5)
    ),
)
SERVICES.add(
    "mail",
    version="1.0.0",
    description="Writes to customers.",
    defines=walnats.Actors(
        walnats.Actor("send-receipt", PLACED, send_receipt),
        walnats.Actor("send-apology", REFUNDED, send_apology),
        walnats.Actor("send-tracking", SENT, send_tracking),
    ),
)
