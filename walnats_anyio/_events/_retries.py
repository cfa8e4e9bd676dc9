"""Retries that wait in the server as copies of their events: how they are named, and cancelled.

A copy is written by whoever handles the event (`_actors/settle/_postponing`). Its schedule is named
by the actor, the place of what is copied and, so that it can be found here, the place of the event
that was emitted, and a hash of its `uid`.

Theory of operation. The note of a message says whether a copy takes its place, and which message
that copy has become. To cancel a retry is to write there that no message is the copy. That is a
compare-and-set, so either it comes first, and whatever comes of the event later is dropped; or the
copy has come first, and the same is done with the note of that. After that the schedule is removed.

A copy that is due is on its way for a moment: it is no schedule any more, and it is not in the
stream of its event yet. Such a copy is found under the subject of what is due.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping, Set
from datetime import datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._headers import HEADER_ACTOR, HEADER_RETRY, uid_in
from walnats_anyio._events._publication import publish
from walnats_anyio._events._schedules import (
    STREAM,
    cancel_schedule,
    due_subject,
    keeps_schedules,
    schedule_subject,
    token_of,
)
from walnats_anyio._link import (
    STREAM_NOT_FOUND,
    HeaderError,
    Link,
    Message,
    Prefixes,
    ServerError,
    api,
    check_name,
    parse_headers,
)

NOTES: Final = "walnats-attempts"
"""The stream of the notes."""

NOTE_SUBJECTS: Final = "walnats.attempts"
"""What the subjects of notes begin with: `walnats.attempts.<stream>.<actor>.<place>`."""

NOBODY: Final = "0-0"
"""The place of no message: a note with it as that of the copy says that the retry is cancelled."""

NO_UID: Final = "0"
"""What stands for the `uid` of an event that has none."""

NO_MESSAGE = frozenset({10037, 10043, STREAM_NOT_FOUND})
"""JetStream's error codes that say that there is no such message any more."""

CANNOT_DELETE = 10057
"""The one that says this only in its text, if the message was there a moment ago."""

TRIES = 5
"""Times that a note is read again, as somebody else has changed it since."""

STALE_AFTER = 3.0
"""Seconds after which what is due, and still there, was not taken by the stream of its event.

What was taken is removed within a second.
"""

LISTED_FOR = 1.0
"""Seconds that a list of consumers is relied on, where many events are cancelled."""

LONGEST_CHAIN = 1000
"""Copies of copies that are followed; anybody may have written the notes."""

MAX_DIGITS = 12
"""Digits of a number in a message that anybody may have written."""

WRONG_NUMBER = frozenset({10071, 10164})
"""JetStream's error codes that say that the last note is another one than was expected."""

EXPECTED = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n\r\n"
"""The header block that makes a publication depend on the number of the last note (ADR-8)."""

NUMBER = "Nats-Sequence"
"""The header with the number of a message that was asked for (ADR-31)."""

_NOTE = re.compile(rb"(\d+ \d+ \d+)(?: ([1-9]\d* [0-9a-f]{16})(?: (\d+-\d+))?)?")
"""A note: its counts; when a copy is due, and its token; the place of the copy."""

NO_COPY = b"1 0000000000000000"
"""The second part where there is no copy, and never will be."""

_ORIGIN = re.compile(
    r"((\d{1,20})-\d{1,20}) \d+ \d+ \d+ (\d{1,20}-\d{1,20}) [0-9a-f]{16}", re.ASCII
)
"""A copy's `HEADER_RETRY`: the place of the event that was emitted, its number, and the place of
what it is a copy of."""


_consumers: WeakKeyDictionary[Link, dict[str, tuple[set[str], float]]] = WeakKeyDictionary()
"""The consumers of each stream, and when that was asked."""


def retry_subject(
    prefixes: Prefixes, stream: str, consumer: str, place: str, first: str, uid: str | None
) -> str:
    """The subject of the schedule of a copy.

    Args:
        prefixes: those of the connection.
        stream: the stream of the event, as the server has it.
        consumer: the same of the actor; `*`: all of them.
        place: that of the message which is copied; `*`: any.
        first: that of the event which was emitted; `*-*`: any, `7-*`: any with this number.
        uid: what that was emitted with; `*`: anything.
    """
    token = NO_UID if uid is None else uid if uid == "*" else token_of(uid)
    number, _, stored = first.partition("-")
    return schedule_subject(prefixes, "retry", stream, consumer, place, number, stored, token)


async def read_note(link: Link, subject: str) -> tuple[bytes | None, int]:
    """The last note under a subject, and its number in the stream; None and 0: there is none.

    It is a direct get of the last message of a subject (ADR-31).

    Raises:
        ServerError: it cannot be read.
        ConnectionLostError: the link is closed for good.
    """
    stream = link.prefixes.stream(NOTES)
    asked = link.prefixes.api_subject(f"DIRECT.GET.{stream}.{subject}")
    message = await link.request(asked, accepts=_has_headers)
    code = message.status.code
    if code == "404":
        return None, 0
    if code:
        raise ServerError(f"{stream!r} cannot be read: {code} {message.status.description}")
    number = message.headers.get(NUMBER, "")
    if not (number.isascii() and number.isdigit()):
        raise ServerError(f"somebody has put {message.data[:40]!r} where a note should be")
    return message.data, int(number[:MAX_DIGITS])


async def swap_note(link: Link, subject: str, note: bytes, number: int) -> bool:
    """Leave a note if the last one has this number, 0 for none; False: it has another one.

    Raises:
        ServerError: it is not stored, or not acknowledged in time.
        ConnectionLostError: the link is closed for good.
    """
    try:
        await publish(link, link.prefixes.stream(NOTES), subject, note, EXPECTED % number)
    except ServerError as error:
        if error.code in WRONG_NUMBER:
            return False
        raise
    return True


def _has_headers(message: Message) -> bool:
    return bool(message.header)


class Retries:
    """Finds the retries of one event, for all its actors, and cancels them.

    What the user may not do is left out: without the notes, what is removed may come once more.

    Args:
        link: the connection.
        event: with the names that it has on the server.
        uid: what it was emitted with.
        sequence: its number, in place of that.
    """

    def __init__(
        self, link: Link, event: BaseEvent[Any], uid: str | None, sequence: int | None
    ) -> None:
        self.possible = False
        """Whether the server keeps any."""
        self.cancelled = False
        """Whether one that waited, or was on its way, will not come."""
        self.delayed = False
        """Whether the event itself was due, and is removed, as its stream did not take it."""
        self.under_way = False
        """Whether something is to appear in the stream of the event, or has done so just now."""
        self.places: set[str] = set()
        """Those of the events that were emitted of which there were any."""
        self.taken: set[int] = set()
        """The numbers of copies that processes have, or had just now: what they leave behind is no
        retry any more, but they themselves are to be cancelled."""
        self._link = link
        self._event = event
        self._uid = uid
        self._sequence = sequence

    async def look(self) -> None:
        """Cancel those that wait as schedules, or are due and on their way.

        Raises:
            ConnectionLostError: the link is closed for good.
        """
        self.under_way = False
        try:
            now = await self._look_at_schedules()
            await self._look_at_what_is_due(now)
        except ServerError:
            return  # there are no schedules, or this user may not look

    async def follow(self, place: str, ended: Set[str], over: Set[str]) -> None:
        """Cancel those of an event of which the place is known, and have none be written.

        Args:
            place: that under which it was emitted.
            ended: consumers of actors whose jobs have ended, so that they write nothing any more.
            over: those of them that have left nothing behind.

        Raises:
            ConnectionLostError: the link is closed for good.
        """
        if not keeps_schedules(self._link.info.version) and not self._link.prefixes.elsewhere:
            return
        try:
            consumers = await self._consumers() | ended
        except ServerError:
            consumers = set(ended)  # this user may not list them
        for consumer in sorted(consumers - over):
            await self._follow(consumer, place, is_open=consumer not in ended)

    async def _consumers(self) -> set[str]:
        stream, now = self._event.stream_name, self._link.now()
        known = _consumers.setdefault(self._link, {})
        names, asked = known.get(stream, (set[str](), -LISTED_FOR))
        if now < asked + LISTED_FOR:
            return names
        names = await self._list_consumers()
        known[stream] = names, now
        return names

    async def _list_consumers(self) -> set[str]:
        names: set[str] = set()
        while True:
            answer = await api(
                self._link,
                f"CONSUMER.NAMES.{self._event.stream_name}",
                {"offset": len(names)},
                replicas=self._event.replicas,
                optional=True,
            )
            found: list[str] = answer.get("consumers") or []
            names.update(found)
            if not found or len(names) >= answer.get("total", 0):
                return names

    async def _look_at_schedules(self) -> datetime:
        """Cancel those that are schedules; gives the time of the server."""
        event, prefixes = self._event, self._link.prefixes
        first = "*-*" if self._sequence is None else f"{self._sequence}-*"
        uid = "*" if self._uid is None else self._uid
        wanted = {
            "subjects_filter": retry_subject(prefixes, event.stream_name, "*", "*", first, uid)
        }
        subject = f"STREAM.INFO.{prefixes.stream(STREAM)}"
        answer = await api(self._link, subject, wanted, replicas=event.replicas, optional=True)
        self.possible = True
        for schedule in answer["state"].get("subjects") or ():
            consumer, place, number, stored, _ = schedule.split(".")[-5:]
            self.places.add(f"{number}-{stored}")
            await self._follow(consumer, place)
            # Without a note nothing else says that it is cancelled.
            self.cancelled |= await cancel_schedule(self._link, schedule, event.replicas)
        return datetime.fromisoformat(answer["ts"])

    async def _look_at_what_is_due(self, now: datetime) -> None:
        """Look at what is due, and perhaps on its way to the stream of the event."""
        async for number, stored, headers in _what_is_due(self._link, self._event):
            if not is_wanted(headers, self._uid, self._sequence):
                continue
            origin = _ORIGIN.fullmatch(headers.get(HEADER_RETRY, ""))
            if origin is not None:
                self.places.add(origin[1])
                consumer = _consumer_in(headers, self._event)
                if consumer is None or not await self._follow(consumer, origin[3]):
                    self.under_way = True
            elif (now - stored).total_seconds() < STALE_AFTER:
                self.under_way = True
            else:
                self.delayed |= await _remove_due(self._link, self._event, number)

    async def _follow(self, consumer: str, place: str, *, is_open: bool = False) -> bool:
        """Go from a message to its copy, and to the copy of that; the last one has none any more.

        Args:
            consumer: that of the actor.
            place: that of the message.
            is_open: whether a process may have it, and be about to write a copy.

        Returns:
            Whether that is certain: the notes could be read and written.
        """
        try:
            for _ in range(LONGEST_CHAIN):
                found = await self._forbid(consumer, place, is_open=is_open)
                if found is None:
                    return True
                place, is_open = found, True
        except ServerError:
            return False  # this user may not, or the stream of the notes is gone
        return False

    async def _forbid(self, consumer: str, place: str, *, is_open: bool) -> str | None:
        """Have no message be the copy of another one; gives the place of the one that is."""
        link, event, subject = self._link, self._event, self._note(consumer, place)
        for _ in range(TRIES):
            note, number = await read_note(link, subject)
            match = None if note is None else _NOTE.fullmatch(note)
            counts, due, taken_by = (b"1 0 0", None, None) if match is None else match.groups()
            if taken_by is not None:
                copy = str(taken_by.decode())
                return None if copy in (NOBODY, place) else copy
            if due is None and not is_open:
                return None
            told = b"%b %b %b" % (counts, due or NO_COPY, NOBODY.encode())
            if not await swap_note(link, subject, told, number):
                continue
            if due is None:
                # A process has it, or had it: what it gives back is not to become a copy.
                self.taken.add(int(place.partition("-")[0]))
            else:
                self.cancelled = True
                wanted = retry_subject(
                    link.prefixes, event.stream_name, consumer, place, "*-*", "*"
                )
                await cancel_schedule(link, wanted, event.replicas)
            return None
        raise ServerError(f"the note of {place} changes all the time")

    def _note(self, consumer: str, place: str) -> str:
        subjects = self._link.prefixes.subject(NOTE_SUBJECTS)
        return f"{subjects}.{self._event.stream_name}.{consumer}.{place}"


def is_wanted(headers: Mapping[str, str], uid: str | None, sequence: int | None) -> bool:
    """Whether a message is what was emitted with a `uid`, or a copy of that or of a number."""
    if uid is not None:
        return uid_in(headers) == uid
    origin = _ORIGIN.fullmatch(headers.get(HEADER_RETRY, ""))
    return origin is not None and int(origin[2]) == sequence


def _consumer_in(headers: Mapping[str, str], event: BaseEvent[Any]) -> str | None:
    """The consumer of the actor that a copy is for; None: anybody has written it."""
    actor = headers.get(HEADER_ACTOR, "")
    try:
        check_name("actor", actor)
    except ValueError:
        return None
    return event.durable_name(actor)


async def _what_is_due(
    link: Link, event: BaseEvent[Any]
) -> AsyncIterator[tuple[int, datetime, Mapping[str, str]]]:
    number = 1
    stream = link.prefixes.stream(STREAM)
    while True:
        body = {"seq": number, "next_by_subj": due_subject(link.prefixes, event.stream_name)}
        try:
            answer = await api(link, f"STREAM.MSG.GET.{stream}", body, optional=True)
        except ServerError as error:
            if is_gone(error):
                return
            raise
        message = answer["message"]
        yield message["seq"], datetime.fromisoformat(message["time"]), headers_in(message)
        number = message["seq"] + 1


async def _remove_due(link: Link, event: BaseEvent[Any], number: int) -> bool:
    subject = f"STREAM.MSG.DELETE.{link.prefixes.stream(STREAM)}"
    body = {"seq": number, "no_erase": True}
    try:
        await api(link, subject, body, replicas=event.replicas, optional=True)
    except ServerError:
        return False
    return True


def is_gone(error: ServerError) -> bool:
    """Whether an error says that there is no such message any more."""
    text = str(error)
    return error.code in NO_MESSAGE or (
        error.code == CANNOT_DELETE and ("no message" in text or "deleted message" in text)
    )


def headers_in(message: Mapping[str, Any]) -> Mapping[str, str]:
    """The headers of a message that was asked for by `STREAM.MSG.GET`; none if they are malformed.

    Such a message was emitted by nobody that gave it a `uid`.
    """
    block = message.get("hdrs")
    if not block:
        return {}
    try:
        return parse_headers(base64.b64decode(block))
    except (ValueError, HeaderError):
        return {}


def place_in(message: Mapping[str, Any]) -> str:
    """The place of a message that was asked for: its number and the moment in nanoseconds."""
    whole, _, fraction = message["time"].rstrip("Z").partition(".")
    seconds = round(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return f"{message['seq']}-{seconds}{fraction:0<9}"


def first_place_in(message: Mapping[str, Any]) -> str:
    """The same of the event that was emitted, also where the message is a copy of it."""
    origin = _ORIGIN.fullmatch(headers_in(message).get(HEADER_RETRY, ""))
    return place_in(message) if origin is None else origin[1]
