"""Cancelling one event wherever it is: with processes that hold it, in its stream, or not due yet.

Theory of operation. What runs is the urgent case, so first all processes that listen are told (see
`_control`), and those that hold the event answer at once that they do, and once more when its job
has ended with its clean-up. Meanwhile it is removed from the schedules, where it may not be due
yet, and deleted from its stream, where it may wait for other actors, or for a retry.

Then its retries are cancelled that wait in the server as copies (see `_retries`); not before, as a
job that was failing when it was cancelled may have left one. One that nobody holds is looked for in
its stream, by its number or, one event after the other, by its `uid`. After that is deleted, the
processes are told once more, as it may have been delivered meanwhile.

An event moves on one way: schedule, due, stream, process. It is looked for in that order, and once
more, for a moment, while it is seen on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio

from walnats_anyio._events._control import Control, Held, encode_control, read_held, subject_of
from walnats_anyio._events._delays import CancelResult, cancel_delayed
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._retries import (
    Retries,
    first_place_in,
    headers_in,
    is_gone,
    is_wanted,
)
from walnats_anyio._link import (
    ConnectionLostError,
    Link,
    Message,
    ServerError,
    WalnatsError,
    api,
    is_no_responders,
    pub,
)

HEARD_SOON = 0.02
"""Seconds until retries are looked for of an event that no process says to hold."""

HEARD_WITHIN = 0.25
"""Seconds in which a process says that it holds an event; it takes less than a millisecond.

To look for an event that some process holds after all costs the server a request for each event of
its stream, so this is not shorter.
"""

HEARD_LATE_WITHIN = 1.0
"""The same before an event counts as one that is not there."""

OTHERS_WITHIN = 0.003
"""The same for others, once all that are known have ended."""

ENDED_WITHIN = 60.0
"""Seconds that the clean-up of a job is waited for."""

ARRIVES_WITHIN = 1.5
"""Seconds in which what is due is in the stream of its event, or that has been done with."""

LOOK_AGAIN_AFTER = 0.03
"""Seconds between two looks for what is on its way."""

ROUNDS = 20
"""Times that copies of copies are looked for, at most."""

AT_ONCE = 16
"""Parts of a stream that are looked through at the same time."""

ANSWERS = (CancelResult.RUNNING, CancelResult.WAITING, CancelResult.DELAYED)
"""What is told of several that were found: the first of these."""


class _Holders:
    """Tells processes what to cancel, and hears what they hold. A context manager."""

    def __init__(self, link: Link, stream: str) -> None:
        self.held: dict[tuple[str, str, int], Held] = {}
        """What was said last, by process, actor and number of the event."""
        self._link = link
        self._subject = subject_of(stream, link.prefixes)
        self._nobody = False
        self._hurried = False
        self._told_at = 0.0
        self._news = anyio.Event()

    def __enter__(self) -> _Holders:
        self._inbox = self._link.subscribe(self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        self._link.forget(self._inbox)

    @property
    def numbers(self) -> set[int]:
        """The numbers of the events that are held."""
        return {each.sequence for each in self.held.values()}

    @property
    def ended(self) -> dict[str, set[str]]:
        """The places of these events as they were emitted, and actors whose jobs have ended."""
        found: dict[str, set[str]] = {}
        for each in self.held.values():
            if each.place:
                actors = found.setdefault(each.place, set())
                if each.settled:
                    actors.add(each.actor)
        return found

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
        self._told_at = self._link.now()
        self._link.post(pub(self._subject, encode_control(control), self._inbox.subject))

    async def hear(self, within: float, more_than: int = 0) -> bool:
        """Wait until somebody says that he holds it, or nobody can; gives whether one has.

        Args:
            within: seconds since all were told.
            more_than: so many have said so before.
        """
        while len(self.held) <= more_than and not (self._nobody or self._hurried):
            if not await self._wait(self._told_at + within):
                break
        return bool(self.held)

    def wait_no_longer(self) -> None:
        """Have `hear` return: the event is somewhere else."""
        self._hurried = True
        self._news.set()

    async def settled(self) -> None:
        """Wait until all who have said that they hold it have settled it, and others may have."""
        while not self._nobody:
            over = all(held.settled for held in self.held.values())
            within = OTHERS_WITHIN if over else ENDED_WITHIN
            if not await self._wait(self._told_at + within):
                return

    async def _wait(self, until: float) -> bool:
        """Wait for news; False: it is too late for any."""
        left = until - self._link.now()
        if left <= 0:
            return False
        self._news = anyio.Event()
        with anyio.move_on_after(left):
            await self._news.wait()
        return True


async def cancel_event(
    link: Link,
    events: Iterable[BaseEvent[Any]],
    uid: str | None,
    sequence: int | None,
    *,
    delayed: bool = False,
) -> CancelResult:
    """Cancel the event of this `uid` or number in each of the streams.

    Args:
        link: the connection.
        events: with the names that they have on the server.
        uid: what it was emitted with.
        sequence: its number, in place of that.
        delayed: whether it is looked for among what was emitted and is not due yet.

    Returns:
        What it was. Where several actors had it, or several streams, the first of running, waiting
        and delayed.

    Raises:
        ServerError: the server does not answer, or this user may not do it.
        ConnectionLostError: the link is closed for good.
    """
    found: set[CancelResult] = set()
    errors: list[WalnatsError] = []

    async def cancel_one(event: BaseEvent[Any]) -> None:
        search = _Search(link, event, uid, sequence)
        await search.run(delayed=delayed)
        found.update(search.found)
        if search.error is not None:
            errors.append(search.error)

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(cancel_one, event)
    if not found and errors:
        raise errors[0]
    return next((result for result in ANSWERS if result in found), CancelResult.NOT_FOUND)


class _Search:
    """Finds an event of one stream, and cancels it."""

    def __init__(
        self, link: Link, event: BaseEvent[Any], uid: str | None, sequence: int | None
    ) -> None:
        self.found: set[CancelResult] = set()
        """What it was, with each of those who had it."""
        self.error: WalnatsError | None = None
        """What went wrong, if something did."""
        self._link = link
        self._event = event
        self._uid = uid
        self._sequence = sequence
        self._wanted = Control(uid=uid or "", sequence=sequence or 0)
        self._retries = Retries(link, event, uid, sequence)

    async def run(self, *, delayed: bool) -> None:
        """Cancel it wherever it is."""
        with _Holders(self._link, self._event.stream_name) as holders:
            holders.tell(self._wanted)
            heard = False
            try:
                async with anyio.create_task_group() as tasks:
                    if delayed and self._uid is not None:
                        tasks.start_soon(self._cancel_delayed, holders, self._uid)
                    heard = await holders.hear(HEARD_SOON)
                if heard or not self.found:
                    if not heard:
                        await self._seek(holders)
                    await self._finish(holders)
            except (ServerError, ConnectionLostError) as error:
                self.error = error
            for each in holders.held.values():
                running = each.was == "running"
                self.found.add(CancelResult.RUNNING if running else CancelResult.WAITING)

    async def _cancel_delayed(self, holders: _Holders, uid: str) -> None:
        try:
            if await cancel_delayed(self._link, self._event, uid):
                self.found.add(CancelResult.DELAYED)
                holders.wait_no_longer()
        except (ServerError, ConnectionLostError) as error:
            self.error = error  # it may be somewhere else all the same

    async def _finish(self, holders: _Holders) -> None:
        """Wait until what is held is settled, and see that nothing of it comes again."""
        async with anyio.create_task_group() as tasks:
            for number in holders.numbers:
                tasks.start_soon(self._delete_held, number, holders)
            await holders.settled()
        await holders.settled()
        for _ in range(ROUNDS):
            # Other actors may have tried it before; and this one, if it was failing just then.
            open_ = {each.actor for each in holders.held.values() if not each.over}
            over = {
                self._event.durable_name(each.actor)
                for each in holders.held.values()
                if each.actor not in open_
            }
            ended = {place: set[str]() for place in self._retries.places} | holders.ended
            for place, actors in ended.items():
                consumers = {self._event.durable_name(actor) for actor in actors}
                await self._retries.follow(place, consumers, over)
            new = self._retries.taken - holders.numbers
            self._retries.taken.clear()
            if not new:
                return
            for number in new:
                await self._delete_held(number, holders)
            await holders.hear(HEARD_WITHIN, more_than=len(holders.held))
            await holders.settled()

    async def _seek(self, holders: _Holders) -> None:
        """Look for what nobody says to hold."""
        give_up_at = self._link.now() + ARRIVES_WITHIN
        retries = self._retries
        while True:
            await retries.look()
            if await holders.hear(HEARD_WITHIN):
                return
            deleted = await self._delete_all(holders)
            if retries.delayed:
                self.found.add(CancelResult.DELAYED)
            if retries.cancelled or deleted:
                self.found.add(CancelResult.WAITING)
            # They may have been delivered meanwhile.
            for number in deleted:
                holders.tell(Control(sequence=number))
            # Whoever holds it may be so busy that his answer takes long.
            patience = HEARD_WITHIN if self.found else HEARD_LATE_WITHIN
            if await holders.hear(LOOK_AGAIN_AFTER if retries.under_way else patience):
                return
            if self.found or not retries.under_way or self._link.now() > give_up_at:
                return
            holders.tell(self._wanted)

    async def _delete_all(self, holders: _Holders) -> list[int]:
        """Delete what waits in the stream of the event; gives the numbers."""
        link, event, retries = self._link, self._event, self._retries
        deleted = await self._delete_each(retries.taken, holders)
        retries.taken.clear()
        if self._sequence is not None:
            found = await _read(link, event, self._sequence)
            if not found and retries.possible and not retries.places:
                # There may be copies of it that are in the stream again.
                found = await _find(link, event, None, self._sequence)
            found.setdefault(self._sequence, "")
        else:
            found = await _find(link, event, self._uid, None)
        retries.places.update(filter(None, found.values()))
        return deleted + await self._delete_each(found, holders)

    async def _delete_each(self, numbers: Iterable[int], holders: _Holders) -> list[int]:
        link, event, held = self._link, self._event, bool(holders.held)
        return [number for number in sorted(numbers) if await _delete(link, event, number, held)]

    async def _delete_held(self, number: int, holders: _Holders) -> None:
        """Delete what somebody holds; others may have got it since all were told."""
        try:
            await _delete(self._link, self._event, number, held=True)
            holders.tell(Control(sequence=number))
        except ConnectionLostError as error:
            self.error = error


async def _delete(link: Link, event: BaseEvent[Any], number: int, held: bool) -> bool:
    """Delete an event from its stream; False when it is not there."""
    try:
        body = {"seq": number, "no_erase": True}
        subject = f"STREAM.MSG.DELETE.{event.stream_name}"
        await api(link, subject, body, replicas=event.replicas, optional=held)
    except ServerError as error:
        # Who held it has cancelled it already, whatever this user may do.
        if held or is_gone(error):
            return False
        raise
    return True


async def _read(link: Link, event: BaseEvent[Any], number: int) -> dict[int, str]:
    """The place of an event in its stream, by its number; nothing if it is not there."""
    body = {"seq": number}
    try:
        answer = await api(link, f"STREAM.MSG.GET.{event.stream_name}", body, optional=True)
    except ServerError:
        return {}  # who may not read it may perhaps delete it
    return {number: first_place_in(answer["message"])}


async def _find(
    link: Link, event: BaseEvent[Any], uid: str | None, sequence: int | None
) -> dict[int, str]:
    """Look through a stream for an event, and for copies of it.

    Returns:
        The places under which they were emitted, by their numbers.
    """
    try:
        info = await api(link, f"STREAM.INFO.{event.stream_name}", replicas=event.replicas)
    except ServerError as error:
        if is_gone(error):
            return {}
        raise
    first, last = info["state"]["first_seq"], info["state"]["last_seq"]
    found: dict[int, str] = {}
    errors: list[WalnatsError] = []

    async def look_through(part: range) -> None:
        try:
            await _look_through(link, event, uid, sequence, part, found)
        except (ServerError, ConnectionLostError) as error:
            errors.append(error)

    part = max(1, -(-(last - first + 1) // AT_ONCE))
    async with anyio.create_task_group() as tasks:
        for start in range(first, last + 1, part):
            end = min(last, start + part - 1)
            tasks.start_soon(look_through, range(start, end + 1))
    if errors:
        raise errors[0]
    return found


async def _look_through(
    link: Link,
    event: BaseEvent[Any],
    uid: str | None,
    sequence: int | None,
    part: range,
    found: dict[int, str],
) -> None:
    number = part.start
    while number < part.stop:
        body = {"seq": number, "next_by_subj": event.subject_name}
        try:
            answer = await api(link, f"STREAM.MSG.GET.{event.stream_name}", body)
        except ServerError as error:
            if is_gone(error):
                return
            raise
        message = answer["message"]
        number = message["seq"]
        if number < part.stop and (
            number == sequence or is_wanted(headers_in(message), uid, sequence)
        ):
            found[number] = first_place_in(message)
        number += 1
