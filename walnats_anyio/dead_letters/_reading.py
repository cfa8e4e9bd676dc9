"""Reading letters from their stream, one at a time."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from walnats_anyio._letters import (
    STREAM,
    DeadLetter,
    from_wire,
    is_letter,
    part_subject_of,
    subject_of,
)
from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api
from walnats_anyio.dead_letters._errors import LetterNotFoundError, UnreadableLetterError
from walnats_anyio.dead_letters._unreadable import UnreadableLetter

NOTHING_FOUND = 10037

PAST_ALL = 2**31 - 1
"""The page of subjects that is asked for to learn how many there are, and none of their names."""

NO_STREAM = "there is no stream for dead letters yet, and so none: registering actors makes it"


@dataclass(frozen=True)
class Message:
    """A message as the stream keeps it."""

    number: int
    subject: str
    headers: bytes
    payload: bytes
    stored_at: datetime


async def last_number(link: Link) -> int:
    """The number of the newest message that there has been; 0 when there is no stream."""
    answer = await _ask(link, "INFO")
    return 0 if answer is None else int(answer["state"]["last_seq"])


async def numbers(link: Link) -> tuple[int, int]:
    """The number of the oldest message that is there and of the newest that there has been."""
    answer = await _ask(link, "INFO")
    state = {"first_seq": 1, "last_seq": 0} if answer is None else answer["state"]
    return int(state["first_seq"]), int(state["last_seq"])


async def count_subjects(link: Link, subjects: str) -> int:
    """How many letters there are under these subjects: each one has its own."""
    wanted = {"subjects_filter": subjects, "offset": PAST_ALL}
    answer = await _ask(link, "INFO", wanted)
    return 0 if answer is None else int(answer["total"])


async def next_message(link: Link, subjects: str, number: int) -> Message | None:
    """The first message with one of the subjects, from a number on; None where there is none."""
    return await _get(link, {"seq": number, "next_by_subj": subjects})


async def letter_in(link: Link, message: Message) -> DeadLetter | UnreadableLetter:
    """The letter that a message holds; one that cannot be read says why."""
    try:
        letter = from_wire(
            message.subject, message.headers, message.payload, message.number, link.prefixes
        )
        if letter.parts:
            letter = replace(letter, payload=await _payload_of(link, letter))
    except (ValueError, OverflowError) as error:
        return UnreadableLetter(
            number=message.number,
            subject=message.subject,
            headers=message.headers,
            payload=message.payload,
            stored_at=message.stored_at,
            problem=str(error),
        )
    return letter


async def get_letter(link: Link, number: int) -> DeadLetter:
    """The letter of a number.

    Raises:
        LetterNotFoundError: there is none.
        UnreadableLetterError: it cannot be read.
    """
    message = await _get(link, {"seq": number})
    # Another depth is a part of another letter's payload.
    if message is None or not is_letter(message.subject, link.prefixes):
        raise LetterNotFoundError(await _not_found(link, number))
    letter = await letter_in(link, message)
    if isinstance(letter, UnreadableLetter):
        raise UnreadableLetterError(letter)
    return letter


async def check_there(link: Link, letter: DeadLetter) -> None:
    """See whether a letter is still there, perhaps under another number.

    Raises:
        LetterNotFoundError: it is gone.
    """
    subject = subject_of(letter, link.prefixes)
    message = await _get(link, {"last_by_subj": subject})
    # One with a wildcard would stand for many.
    wild = {"*", ">"} & set(subject.split("."))
    if message is None or message.subject != subject or wild:
        raise LetterNotFoundError(await _not_found(link, letter.number))


async def delete_letter(link: Link, letter: DeadLetter) -> bool:
    """Delete a letter that was seen to be there; False when somebody else was faster."""
    subject = subject_of(letter, link.prefixes)
    answer = await _ask(link, "PURGE", {"filter": subject})
    deleted = answer is not None and bool(answer["purged"])
    # A crash before this leaves parts of a payload that belong to no letter, which is never seen.
    if deleted and letter.parts:
        await _ask(link, "PURGE", {"filter": f"{subject}.*"})
    return deleted


async def delete_unreadable(link: Link, letter: UnreadableLetter) -> bool:
    """Delete a message by its number; False when it is gone."""
    # In a stream that was made anew meanwhile the number belongs to another message.
    message = await _get(link, {"seq": letter.number})
    if message is None or (message.subject, message.stored_at) != (
        letter.subject,
        letter.stored_at,
    ):
        return False
    try:
        return await _ask(link, "MSG.DELETE", {"seq": letter.number}) is not None
    except ServerError:
        # Deleting twice is an error to the server, with one of several codes.
        if await _get(link, {"seq": letter.number}) is None:
            return False
        raise


def gone(number: int) -> str:
    """What to say of a letter that is not there."""
    return (
        f"there is no dead letter {number} any more, or there never was: it may have been requeued "
        "or discarded, or the stream's limits made it go"
    )


async def _payload_of(link: Link, letter: DeadLetter) -> bytes:
    parts: list[bytes] = []
    for number in range(1, letter.parts + 1):
        subject = part_subject_of(letter, number, link.prefixes)
        message = await _get(link, {"last_by_subj": subject})
        if message is None:
            raise ValueError(
                f"part {number} of {letter.parts} of its payload is gone: it was discarded "
                "meanwhile, or the stream's limits made it go"
            )
        parts.append(message.payload)
    return b"".join(parts)


async def _not_found(link: Link, number: int) -> str:
    return gone(number) if await _ask(link, "INFO") is not None else NO_STREAM


async def _get(link: Link, which: dict[str, Any]) -> Message | None:
    try:
        answer = await _ask(link, "MSG.GET", which)
    except ServerError as exc:
        if exc.code == NOTHING_FOUND:
            return None
        raise
    if answer is None:
        return None
    message = answer["message"]
    return Message(
        int(message["seq"]),
        message["subject"],
        b64decode(message.get("hdrs", "")),
        b64decode(message.get("data", "")),
        datetime.fromisoformat(message["time"]),
    )


async def _ask(link: Link, what: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """One request about the stream; None when there is no such stream."""
    try:
        return await api(link, f"STREAM.{what}.{link.prefixes.stream(STREAM)}", body)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            return None
        raise
