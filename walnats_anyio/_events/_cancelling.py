"""Cancelling one event wherever it is: with a process that holds it, or in its stream.

Theory of operation. All processes that listen are told (see `_control`), and those that hold the
event answer at once that they do, and once more when its job has ended with its clean-up. Then the
event is deleted from its stream, where it may wait for other actors, or for a retry. One that
nobody holds is looked for in its stream, by its number or, one event after the other, by its `uid`.
After that is deleted, the processes are told once more, as it may have been delivered meanwhile.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import anyio

from walnats_anyio._events._control import Control, Held, encode_control, read_held, subject_of
from walnats_anyio._events._delays import CancelResult
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._headers import uid_in
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    HeaderError,
    Link,
    Message,
    ServerError,
    api,
    is_no_responders,
    parse_headers,
    pub,
)

HEARD_WITHIN = 0.25
"""Seconds in which a process says that it holds an event; it takes less than a millisecond."""

HEARD_LATE_WITHIN = 1.0
"""The same before an event counts as one that is not there."""

OTHERS_WITHIN = 0.003
"""The same for others, once all that are known have ended."""

ENDED_WITHIN = 60.0
"""Seconds that the clean-up of a job is waited for."""

AT_ONCE = 16
"""Parts of a stream that are looked through at the same time."""

NO_MESSAGE = frozenset({10037, 10043, STREAM_NOT_FOUND})
"""JetStream's error codes that say that there is no such event any more."""


class _Holders:
    """Tells processes what to cancel, and hears what they hold. A context manager."""

    def __init__(self, link: Link, stream: str) -> None:
        self.held: dict[tuple[str, str, int], Held] = {}
        """What was said last, by process, actor and number of the event."""
        self._link = link
        self._subject = subject_of(stream, link.prefixes)
        self._nobody = False
        self._news = anyio.Event()

    def __enter__(self) -> _Holders:
        self._inbox = self._link.subscribe(self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        self._link.forget(self._inbox)

    def _heard(self, message: Message) -> None:
        """Called by the reader of the link."""
        if is_no_responders(message):
            self._nobody = True
        elif (held := read_held(message.data)) is not None:
            self.held[held.process, held.actor, held.sequence] = held
        self._news.set()

    def tell(self, control: Control) -> None:
        """Have whoever holds the event cancel it. Never blocks."""
        self._nobody = False
        self._link.post(pub(self._subject, encode_control(control), self._inbox.subject))

    async def wait(self, heard_within: float = HEARD_WITHIN) -> None:
        """Wait until somebody has said that he holds it, and all who did have settled it."""
        now = self._link.now
        give_up_at = now() + ENDED_WITHIN
        while not self._nobody and now() < give_up_at:
            over = all(held.settled for held in self.held.values())
            within = give_up_at - now() if not over else OTHERS_WITHIN
            self._news = anyio.Event()
            with anyio.move_on_after(within if self.held else heard_within) as scope:
                await self._news.wait()
            if scope.cancelled_caught and over:
                return


async def cancel_event(
    link: Link, events: Iterable[BaseEvent[Any]], uid: str | None, sequence: int | None
) -> CancelResult:
    """Cancel the event of this `uid` or number in each of the streams.

    Args:
        link: the connection.
        events: with the names that they have on the server.
        uid: what it was emitted with.
        sequence: its number, in place of that.

    Raises:
        ServerError: the server does not answer, or this user may not do it.
        ConnectionLostError: the link is closed for good.
    """
    found: list[CancelResult] = []
    errors: list[Exception] = []

    async def cancel_one(event: BaseEvent[Any]) -> None:
        try:
            found.append(await _cancel_in(link, event, uid, sequence))
        except ServerError as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(cancel_one, event)
    for result in (CancelResult.RUNNING, CancelResult.WAITING):
        if result in found:
            return result
    if errors:
        raise errors[0]
    return CancelResult.NOT_FOUND


async def _cancel_in(
    link: Link, event: BaseEvent[Any], uid: str | None, sequence: int | None
) -> CancelResult:
    deleted = False
    with _Holders(link, event.stream_name) as holders:
        holders.tell(Control(uid=uid or "", sequence=sequence or 0))
        await holders.wait()
        numbers = {each.sequence for each in holders.held.values()}
        if sequence is not None:
            numbers = {sequence}
        elif not numbers and uid is not None:
            numbers = await _find(link, event, uid)
        for number in numbers:
            is_held = bool(holders.held)
            deleted |= await _delete(link, event, number, is_held)
            if deleted and not is_held:
                holders.tell(Control(sequence=number))
                await holders.wait()
        if not holders.held and not deleted:
            # Whoever held it may be so busy that his answer takes long.
            await holders.wait(HEARD_LATE_WITHIN)
        held = list(holders.held.values())
    if any(each.was == "running" for each in held):
        return CancelResult.RUNNING
    return CancelResult.WAITING if held or deleted else CancelResult.NOT_FOUND


async def _delete(link: Link, event: BaseEvent[Any], number: int, held: bool) -> bool:
    """Delete an event from its stream; False when it is not there."""
    try:
        body = {"seq": number, "no_erase": True}
        subject = f"STREAM.MSG.DELETE.{event.stream_name}"
        await api(link, subject, body, replicas=event.replicas, optional=held)
    except ServerError as error:
        # Who held it has cancelled it already, whatever this user may do.
        if error.code in NO_MESSAGE or held:
            return False
        raise
    return True


async def _find(link: Link, event: BaseEvent[Any], uid: str) -> set[int]:
    """Look through a stream for the event of a `uid`."""
    try:
        info = await api(link, f"STREAM.INFO.{event.stream_name}", replicas=event.replicas)
    except ServerError as error:
        if error.code in NO_MESSAGE:
            return set()
        raise
    first, last = info["state"]["first_seq"], info["state"]["last_seq"]
    found: set[int] = set()
    part = max(1, -(-(last - first + 1) // AT_ONCE))
    async with anyio.create_task_group() as tasks:
        for start in range(first, last + 1, part):
            end = min(last, start + part - 1)
            tasks.start_soon(_look_through, link, event, uid, range(start, end + 1), found)
    return found


async def _look_through(
    link: Link, event: BaseEvent[Any], uid: str, part: range, found: set[int]
) -> None:
    number = part.start
    while number < part.stop and not found:
        body = {"seq": number, "next_by_subj": event.subject_name}
        try:
            answer = await api(link, f"STREAM.MSG.GET.{event.stream_name}", body)
        except ServerError as error:
            if error.code in NO_MESSAGE:
                return
            raise
        message = answer["message"]
        number = message["seq"]
        if number < part.stop and _uid_of(message.get("hdrs")) == uid:
            found.add(number)
        number += 1


def _uid_of(headers: str | None) -> str | None:
    if headers is None:
        return None
    try:
        return uid_in(parse_headers(base64.b64decode(headers)))
    except (ValueError, HeaderError):
        return None  # no emit has written it
