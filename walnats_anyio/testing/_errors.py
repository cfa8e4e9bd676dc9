"""What goes wrong around a test server, as one named error."""

from __future__ import annotations

from walnats_anyio._link._errors import WalnatsError


class NatsServerError(WalnatsError):
    """A nats-server was not found, did not start or stop, or gave no answer. Shows its log."""
