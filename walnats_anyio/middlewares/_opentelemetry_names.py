"""Names of OpenTelemetry's semantic conventions for messaging, as far as they are used here.

The package of the conventions has them only in modules that change with each version.
"""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from walnats_anyio._actors.declare import BaseContext
from walnats_anyio._events import EmitContext

DESTINATION = "messaging.destination.name"
ERROR_TYPE = "error.type"
MESSAGE_ID = "messaging.message.id"

Attributes = dict[str, AttributeValue]


def process_attributes(ctx: BaseContext) -> Attributes:
    """What spans and metrics say of a job."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        DESTINATION: ctx.actor.event.name,
        "messaging.consumer.group.name": ctx.actor.name,
    }


def publish_attributes(ctx: EmitContext) -> Attributes:
    """What spans and metrics say of an emit."""
    return {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        DESTINATION: ctx.event.name,
    }
