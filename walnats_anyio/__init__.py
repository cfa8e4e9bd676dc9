"""Structured-concurrency framework for event-driven actors on NATS JetStream."""

from __future__ import annotations

import signal
import sys

if (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
    and sys.argv
    # It is imported for the command: by `python -m walnats_anyio`, or by its script.
    and (
        (sys.argv[0] == "-m" and sys.orig_argv[-len(sys.argv)] == "walnats_anyio")
        or sys.argv[0].endswith("/walnats-anyio")
    )
):
    # Ctrl-C in the meantime ends it without a traceback. `walnats_anyio.cli.main` undoes this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from walnats_anyio import dead_letters, decorators, middlewares, serializers, services, types
from walnats_anyio._actors import (
    Actor,
    Actors,
    Auto,
    Batch,
    BatchError,
    ExecuteIn,
    HandlerError,
    Priority,
    Ratio,
    Reject,
    Retry,
    Snooze,
    WorkerProcessError,
    current_context,
)
from walnats_anyio._events import Clock, CloudEvent, Event, Events, Limits
from walnats_anyio._link import (
    ActorError,
    ConnectError,
    ConnectionLostError,
    ConsumerConfigError,
    EmitError,
    MessageTooLargeError,
    ServerError,
    StreamConfigError,
    StreamExistsError,
    WalnatsError,
)
from walnats_anyio.services import Services
from walnats_anyio.tune import tune

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "ActorError",
    "Actors",
    "Auto",
    "Batch",
    "BatchError",
    "Clock",
    "CloudEvent",
    "ConnectError",
    "ConnectionLostError",
    "ConsumerConfigError",
    "EmitError",
    "Event",
    "Events",
    "ExecuteIn",
    "HandlerError",
    "Limits",
    "MessageTooLargeError",
    "Priority",
    "Ratio",
    "Reject",
    "Retry",
    "ServerError",
    "Services",
    "Snooze",
    "StreamConfigError",
    "StreamExistsError",
    "WalnatsError",
    "WorkerProcessError",
    "current_context",
    "dead_letters",
    "decorators",
    "middlewares",
    "serializers",
    "services",
    "tune",
    "types",
]


def _show_as_public() -> None:
    # Tracebacks, logs, dead letters, help() and pickles name the module of a class. It should be
    # the one that people import it from, and not a file that may move.
    # The room `tune` has the name of its function, which hides it.
    tuning = sys.modules["walnats_anyio.tune"]
    own = sys.modules[__name__]
    public = (types, serializers, middlewares, decorators, dead_letters, services, tuning, own)
    for module in public:
        for name in module.__all__:
            # Not `getattr`: that would import what needs an optional package.
            value = vars(module).get(name)
            if isinstance(value, type) and "._" in value.__module__:
                value.__module__ = module.__name__


_show_as_public()
