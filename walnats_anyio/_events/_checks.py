"""What cannot be emitted: refused at the call."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._link import Link, MessageTooLargeError


def check_event(event: object) -> None:
    """Refuse what is no event.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(event, BaseEvent):
        raise TypeError(f"emit takes an event first, not {event!r}")


def refuse_size(event: BaseEvent[Any], link: Link, size: int) -> NoReturn:
    """Refuse a message that is larger than the server, or the event, takes.

    Raises:
        MessageTooLargeError: in any case.
    """
    most = min(link.max_payload, event.limits.message_size or math.inf)
    raise MessageTooLargeError(
        f"event {event.name!r}: the message is {size} bytes with its headers, and at most "
        f"{most} are accepted: send less, or a reference to it"
    )
