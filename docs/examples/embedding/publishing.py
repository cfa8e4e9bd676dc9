"""Emitting in a web server that has no event loop: one connection for each of its processes."""

import os
import threading
from functools import cache
from typing import TypeVar

from walnats_anyio.types import BaseEvent, SyncEvents

from shop import EVENTS

T = TypeVar("T")

lock = threading.Lock()


@cache
def connection_of(process: int) -> SyncEvents:
    connection = EVENTS.connect_sync(name=f"shop, process {process}").open()
    connection.register()
    return connection


def emit(event: BaseEvent[T], message: T, *, sync: bool = True) -> None:
    """Emit an event. The process connects when it does so first, which is after any fork."""
    with lock:
        connection = connection_of(os.getpid())
    connection.emit(event, message, sync=sync)
