"""The errors of the framework."""

from __future__ import annotations


class WalnatsError(Exception):
    """Base of every error that walnats-anyio raises for what happens outside the program.

    A wrong argument is a `ValueError` or a `TypeError` instead, raised by the call it was given to.
    """


class ConnectError(WalnatsError):
    """No NATS server could be reached in time, or every server refused the connection."""


class ConnectionLostError(WalnatsError):
    """The connection is closed for good: nothing more can be sent or received on it."""


class ServerError(WalnatsError):
    """The server answered a management request with an error, or did not answer it in time."""

    code: int | None
    """JetStream's `err_code`, or None when there was no such answer."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class StreamExistsError(WalnatsError):
    """A stream of this name exists with another configuration, and `register` may not update it."""


class StreamConfigError(WalnatsError):
    """The server does not accept this configuration of a stream, or the stream is missing."""


class ConsumerConfigError(WalnatsError):
    """The server does not accept this configuration of a consumer, or has none or another one."""


class EmitError(WalnatsError):
    """An event was not accepted by its stream.

    When several emits failed on one connection, the first ones are in `errors`.
    """

    errors: tuple[EmitError, ...]
    """The failures behind this one, at most 100; empty when this is a single failure."""

    def __init__(self, message: str, errors: tuple[EmitError, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class MessageTooLargeError(EmitError, ValueError):
    """The encoded message is larger than the server or the event's limits allow."""


class ActorError(WalnatsError):
    """A request has no response, as the actor failed for good, or as there is no actor."""

    event: str
    """The event of the request."""

    actor: str
    """The actor that failed; empty where there is none."""

    error_type: str
    """The class of what it raised, with its module unless it is built in; empty where it is not
    known."""

    error: str
    """What that said."""

    def __init__(
        self,
        message: str,
        *,
        event: str = "",
        actor: str = "",
        error_type: str = "",
        error: str = "",
    ) -> None:
        super().__init__(message)
        self.event = event
        self.actor = actor
        self.error_type = error_type
        self.error = error
