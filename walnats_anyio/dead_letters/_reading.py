"""Reading letters from their stream, one at a time."""

from __future__ import annotations

import logging
from base64 import b64decode
from typing import Any

from walnats_anyio._link import STREAM_NOT_FOUND, Link, ServerError, api
from walnats_anyio.dead_letters._errors import LetterNotFoundError
from walnats_anyio.dead_letters._letter import (
    HEADER,
    STREAM,
    DeadLetter,
    read_letter,
    subject_of,
)

logger = logging.getLogger("walnats_anyio.dead_letters")

NOTHING_FOUND = 10037

PAST_ALL = 2**31 - 1
"""The page of subjects that is asked for to learn how many there are, and none of their names."""

NO_STREAM = "there is no stream for dead letters yet, and so none: registering actors makes it"


async def last_number(link: Link) -> int:
    """The number of the newest letter that there has been; 0 when there is no stream."""
    answer = await _ask(link, "INFO")
    return 0 if answer is None else int(answer["state"]["last_seq"])


async def count_subjects(link: Link, subjects: str) -> int:
    """How many letters there are under these subjects: each one has its own."""
    wanted = {"subjects_filter": subjects, "offset": PAST_ALL}
    answer = await _ask(link, "INFO", wanted)
    return 0 if answer is None else int(answer["total"])


async def next_message(link: Link, subjects: str, number: int) -> dict[str, Any] | None:
    """The first message with one of the subjects, from a number on; None where there is none."""
    return await _get(link, {"seq": number, "next_by_subj": subjects})


def letter_in(message: dict[str, Any]) -> DeadLetter:
    """The letter that a message holds.

    Raises:
        ValueError: it holds none.
    """
    payload = b64decode(message.get("data", ""))
    header = _header_in(b64decode(message.get("hdrs", "")))
    letter = read_letter(header, payload, int(message["seq"]))
    if subject_of(letter) != message["subject"]:
        raise ValueError(f"a letter that belongs under {subject_of(letter)!r}")
    return letter


def letter_or_none(message: dict[str, Any]) -> DeadLetter | None:
    """The letter that a message holds; None, and a warning, where it is none."""
    try:
        return letter_in(message)
    except ValueError as error:
        logger.warning(
            "message %d of stream %r, subject %r, is no dead letter and is left alone: %s",
            message["seq"], STREAM, message["subject"], error,
        )  # fmt: skip
        return None


async def get_letter(link: Link, number: int) -> DeadLetter:
    """The letter of a number.

    Raises:
        LetterNotFoundError: there is none.
    """
    message = await _get(link, {"seq": number})
    if message is None:
        raise LetterNotFoundError(await _not_found(link, f"{number}"))
    try:
        return letter_in(message)
    except ValueError as error:
        raise LetterNotFoundError(
            f"message {number} of stream {STREAM!r} is no dead letter: {error}"
        ) from error


async def check_there(link: Link, letter: DeadLetter) -> None:
    """See whether a letter is still there, perhaps under another number.

    Raises:
        LetterNotFoundError: it is gone.
    """
    subject = subject_of(letter)
    message = await _get(link, {"last_by_subj": subject})
    if message is None or message["subject"] != subject:
        raise LetterNotFoundError(await _not_found(link, str(letter.number)))


async def delete_letter(link: Link, letter: DeadLetter) -> bool:
    """Delete a letter that was seen to be there; False when somebody else was faster."""
    answer = await _ask(link, "PURGE", {"filter": subject_of(letter)})
    return answer is not None and bool(answer["purged"])


def gone(number: str) -> str:
    """What to say of a letter that is not there."""
    return (
        f"there is no dead letter {number} any more, or there never was: it may have been requeued "
        "or discarded, or the stream's limits made it go"
    )


async def _not_found(link: Link, number: str) -> str:
    return gone(number) if await _ask(link, "INFO") is not None else NO_STREAM


async def _get(link: Link, which: dict[str, Any]) -> dict[str, Any] | None:
    try:
        answer = await _ask(link, "MSG.GET", which)
    except ServerError as exc:
        if exc.code == NOTHING_FOUND:
            return None
        raise
    message: dict[str, Any] | None = None if answer is None else answer["message"]
    return message


async def _ask(link: Link, what: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """One request about the stream; None when there is no such stream."""
    try:
        return await api(link, f"STREAM.{what}.{STREAM}", body)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            return None
        raise


def _header_in(block: bytes) -> str:
    for line in block.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == HEADER.encode():
            return value.strip().decode()
    raise ValueError(f"it has no header {HEADER}")
