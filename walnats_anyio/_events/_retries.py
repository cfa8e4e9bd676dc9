"""Retries that wait in the server as copies of their events: how they are named, and cancelled.

A copy is written by whoever handles the event (`_actors/settle/_postponing`). Its schedule is named
by the actor, the place of the event and, so that it can be found here, by the number that the event
was emitted under and a hash of its `uid`.

Theory of operation. The note of an event says whether a copy takes its place, and which message
that copy has become. To cancel a retry is to write there that no message is the copy: a
compare-and-set, so that either this comes first, and whatever comes of the event later is dropped,
or the copy has come first, and is looked for among what is held and what waits. After that the
schedule is removed. A copy that is due is on its way for a moment: it is no schedule any more, and
not in the stream of its event yet. Such a one is found under the subject of what is due.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._headers import HEADER_ACTOR, HEADER_RETRY, uid_in
from walnats_anyio._events._publication import publish
from walnats_anyio._events._schedules import (
    STREAM,
    cancel_schedule,
    due_subject,
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
"""JetStream's error codes that say that there is no such event any more."""

TRIES = 5
"""Times that a note is read again, as somebody else has changed it since."""

STALE_AFTER = 3.0
"""Seconds after which what is due, and still there, was not taken by the stream of its event.

What was taken is removed within a second.
"""

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

_GAVE_WAY = re.compile(rb"\d+ \d+ \d+ [1-9]\d* [0-9a-f]{16}( \d+-\d+)?")
"""A note of an event whose place a copy takes; the last part is the place of the copy."""

_ORIGIN = re.compile(r"(\d{1,20})-\d{1,20} \d+ \d+ \d+ (\d{1,20}-\d{1,20}) [0-9a-f]{16}", re.ASCII)
"""The number of the event in a copy's `HEADER_RETRY`, and the place of what it is a copy of."""


def retry_subject(
    prefixes: Prefixes, stream: str, consumer: str, place: str, number: str, uid: str | None
) -> str:
    """The subject of the schedule of a copy.

    Args:
        prefixes: those of the connection.
        stream: the stream of the event, as the server has it.
        consumer: the same of the actor; `*`: all of them.
        place: that of the message which is copied; `*`: any.
        number: that of the event which was emitted, in its stream; `*`: any.
        uid: what that was emitted with; `*`: anything.
    """
    token = NO_UID if uid is None else uid if uid == "*" else token_of(uid)
    return schedule_subject(prefixes, "retry", stream, consumer, place, number, token)


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


@dataclass
class Retries:
    """What was found of the retries of one event."""

    possible: bool = False
    """Whether the server keeps any."""

    cancelled: bool = False
    """Whether one that waited, or was on its way, will not come."""

    delayed: bool = False
    """Whether the event itself was due, and its stream has not taken it for long: it is removed."""

    copy: str = ""
    """The place of the message that the last of them has become; `NOBODY`: it was cancelled."""

    under_way: bool = False
    """Whether something is to appear in the stream of the event at any moment, or has done so."""


async def cancel_retries(
    link: Link, event: BaseEvent[Any], uid: str | None, sequence: int | None
) -> Retries:
    """Cancel the retries of an event that wait as copies in the server, for all its actors.

    What the user may not do is left out: without the notes, what is removed may come once more.

    Args:
        link: the connection.
        event: with the names that it has on the server.
        uid: what it was emitted with.
        sequence: its number, in place of that.

    Raises:
        ConnectionLostError: the link is closed for good.
    """
    found = Retries()
    try:
        now = await _cancel_waiting(link, event, uid, sequence, found)
        await _cancel_due(link, event, uid, sequence, found, now)
    except ServerError:
        return found  # there are no schedules, or this user may not look
    return found


async def _cancel_waiting(
    link: Link, event: BaseEvent[Any], uid: str | None, sequence: int | None, found: Retries
) -> datetime:
    """Cancel those that are schedules; gives the time of the server."""
    prefixes, number = link.prefixes, "*" if sequence is None else str(sequence)
    any_uid = "*" if uid is None else uid
    wanted = retry_subject(prefixes, event.stream_name, "*", "*", number, any_uid)
    answer = await api(
        link,
        f"STREAM.INFO.{prefixes.stream(STREAM)}",
        {"subjects_filter": wanted},
        replicas=event.replicas,
        optional=True,
    )
    found.possible = True
    for subject in answer["state"].get("subjects") or ():
        consumer, place = subject.split(".")[-4:-2]
        won = await _forbid(link, event, consumer, place, found)
        removed = await cancel_schedule(link, subject, event.replicas)
        found.cancelled |= won or (won is None and removed)
    return datetime.fromisoformat(answer["ts"])


async def _forbid(
    link: Link, event: BaseEvent[Any], consumer: str, place: str, found: Retries
) -> bool | None:
    """Have no message be the copy; False: one is already. None: there is nothing that says so."""
    subjects = link.prefixes.subject(NOTE_SUBJECTS)
    subject = f"{subjects}.{event.stream_name}.{consumer}.{place}"
    try:
        for _ in range(TRIES):
            note, number = await read_note(link, subject)
            gave_way = None if note is None else _GAVE_WAY.fullmatch(note)
            if note is None or gave_way is None:
                return None
            if gave_way[1] is not None:
                found.copy = gave_way[1].decode().strip()
                found.under_way |= found.copy not in (NOBODY, place)
                return False
            if await swap_note(link, subject, note + b" " + NOBODY.encode(), number):
                return True
    except ServerError:
        return None  # this user may not, or the stream of the notes is gone
    return None


async def cancel_retries_of(link: Link, event: BaseEvent[Any], place: str) -> set[int]:
    """Cancel the retries of an event of which the place is known, for all its actors.

    What the user may not do is left out.

    Args:
        link: the connection.
        event: with the names that it has on the server.
        place: that of the event that was emitted.

    Returns:
        The numbers of the messages in the stream of the event that copies have become.

    Raises:
        ConnectionLostError: the link is closed for good.
    """
    subjects, stream = link.prefixes.subject(NOTE_SUBJECTS), event.stream_name
    wanted = {"subjects_filter": f"{subjects}.{stream}.*.{place}"}
    numbers: set[int] = set()
    try:
        answer = await api(
            link, f"STREAM.INFO.{link.prefixes.stream(NOTES)}", wanted, optional=True
        )
        for subject in answer["state"].get("subjects") or ():
            await _follow(link, event, subject.split(".")[-2], place, numbers)
    except ServerError:
        return numbers
    return numbers


async def _follow(
    link: Link, event: BaseEvent[Any], consumer: str, place: str, numbers: set[int]
) -> None:
    """Go from an event to its copy, and to the copy of that, as far as there are any."""
    for _ in range(LONGEST_CHAIN):
        found = Retries()
        won = await _forbid(link, event, consumer, place, found)
        if won is not False:
            if won:
                wanted = retry_subject(link.prefixes, event.stream_name, consumer, place, "*", "*")
                await cancel_schedule(link, wanted, event.replicas)
            return
        if found.copy in (NOBODY, place):
            return
        place = found.copy
        numbers.add(int(place.partition("-")[0]))


async def _cancel_due(
    link: Link,
    event: BaseEvent[Any],
    uid: str | None,
    sequence: int | None,
    found: Retries,
    now: datetime,
) -> None:
    """Look at what is due, and perhaps on its way to the stream of the event."""
    async for number, stored, headers in _what_is_due(link, event):
        if not is_wanted(headers, uid, sequence):
            continue
        origin = _ORIGIN.fullmatch(headers.get(HEADER_RETRY, ""))
        if origin is not None:
            consumer = _consumer_in(headers, event)
            won = consumer and await _forbid(link, event, consumer, origin[2], found)
            found.cancelled |= won is True
            found.under_way |= won is None
        elif (now - stored).total_seconds() < STALE_AFTER:
            found.under_way = True
        else:
            found.delayed |= await _remove_due(link, event, number)


def is_wanted(headers: Mapping[str, str], uid: str | None, sequence: int | None) -> bool:
    """Whether a message is what was emitted with a `uid`, or a copy of that or of a number."""
    if uid is not None:
        return uid_in(headers) == uid
    origin = _ORIGIN.fullmatch(headers.get(HEADER_RETRY, ""))
    return origin is not None and int(origin[1]) == sequence


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
            if error.code in NO_MESSAGE:
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
