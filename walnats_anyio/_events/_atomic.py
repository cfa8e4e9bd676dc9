"""Emitting a batch atomically: the stream stores all of its events, or none (NATS ADR-50).

Theory of operation. Each message of a batch has two headers: the id of the batch, and its number in
it. The server keeps the messages aside until the one with the header that commits them. All of them
leave in one piece, so an attempt costs one round trip. An attempt is sent under an id of its own,
as the server drops what it has of a batch when a message is missing (a lost connection, a restart).

When the answer to a commit is lost, nobody knows whether the batch is stored. So a message without
a `uid` of its own has the `uid` of its batch (one is enough), and the stream refuses the second
commit of a batch that is stored. That may have another reason, as somebody may have emitted one of
the `uid`s before. So after such a refusal the stream is asked for the `uid`s one by one, with a
message that it can only refuse or call a duplicate, as it names a last message that never was.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import aclosing, nullcontext
from datetime import datetime
from inspect import isasyncgen
from typing import Any, NamedTuple, TypeVar

import anyio
import msgspec

from walnats_anyio._events._answers import NO_STREAM, read_answer
from walnats_anyio._events._emitter import LATE, NOBODY, Batch, Emitter, EventOnWire
from walnats_anyio._events._event import BaseEvent
from walnats_anyio._events._headers import HEADER_ID
from walnats_anyio._events._publication import Publication
from walnats_anyio._link import (
    EmitError,
    Link,
    Message,
    ServerError,
    api,
    is_at_least,
    is_no_responders,
    pub,
    version_of,
)

T = TypeVar("T")

MAX_BATCH = 1000
"""Messages of a batch; a server may be configured to take fewer."""

NEEDED = (2, 12, 1)
"""The first server that takes a `uid` in a batch: without one, no batch can be repeated safely."""

DUPLICATE = 10201
"""JetStream's error code: the stream has a `uid` of the batch already, or it is in it twice."""

DISABLED = 10174
"""JetStream's error code: the stream does not take atomic batches."""

ANEW = frozenset({10176, 10210})
"""JetStream's error codes after which a batch is sent anew, as the server has dropped it.

A part of it was missing, or too many batches were on their way.
"""

EXPECTED_LAST_ID = "Nats-Expected-Last-Msg-Id"

NOBODY_WITHIN = 30.0
"""Seconds without anybody to take a batch after which its stream counts as gone."""


class EncodedMessage(NamedTuple):
    """One message of a batch, without the headers of the batch."""

    payload: bytes
    headers: bytes


class AtomicBatch(Publication):
    """A batch on its way. It ends when it is stored, refused or given up."""

    _emitter: Emitter
    event: EventOnWire
    _messages: Sequence[EncodedMessage]
    _size: int
    """Bytes that count as on their way."""
    _group: Batch
    error: EmitError | None = None
    is_duplicate: bool = False
    """Whether the stream has a `uid` of it already: of an earlier attempt, or of somebody else's
    emit."""
    _says_all: bool = False
    """Whether the server is to answer each message, so that the reason of a refusal is seen."""
    _nobody_since: float = math.inf
    _over: anyio.Event = msgspec.field(default_factory=anyio.Event)

    def build(self) -> None:
        """Build the command of a new attempt, under a new id."""
        name, last = secrets.token_hex(16).encode(), len(self._messages)
        parts: list[bytes] = []
        for number, (payload, headers) in enumerate(self._messages, 1):
            block = _batch_block(headers, name, number, commits=number == last)
            answered = self._says_all or number in (1, last)
            parts.append(pub(self.event.subject, payload, self.reply if answered else b"", block))
        self.command = b"".join(parts)

    def answered(self, message: Message) -> None:
        if not message.data and not is_no_responders(message):
            self.link.keep_waiting(self)  # the server has kept one message of it aside
        else:
            super().answered(message)

    def nobody(self) -> None:
        now = self.link.now()
        self._nobody_since = min(now, self._nobody_since)
        if now - self._nobody_since >= NOBODY_WITHIN:
            self._end(NOBODY)
        else:
            self.link.retry_later(self)

    def finish(self, reason: str | None, code: int | None = None) -> None:
        if code in ANEW:
            self._says_all = True
            self.build()
            self.link.retry_later(self)
        elif code == DUPLICATE:
            self.is_duplicate = True
            self._end(None)
        elif code == DISABLED:
            self._emitter.takes_batches.discard(self.event.name)
            self._end(NOT_ALLOWED.format(stream=self.event.stream))
        else:
            self._end(reason)

    def failed(self, reason: Exception) -> None:
        if isinstance(reason, TimeoutError):
            trouble = self.link.trouble
            self._end(f"{LATE}; not connected: {trouble}" if trouble else LATE)
        else:
            self._end(str(reason))

    def give_up(self, reason: str) -> None:
        """Send nothing of it any more."""
        if not self._over.is_set():
            self.link.drop(self)
            self._end(reason)

    def _end(self, reason: str | None) -> None:
        count = len(self._messages)
        if reason is not None:
            self.error = EmitError(
                f"event {self.event.name!r}: the batch of {count} was not accepted: {reason}"
            )
        self.command = b""
        self._emitter.end_batch(self._group, count, self._size, failed=reason is not None)
        self._over.set()

    async def wait(self) -> None:
        """Wait for its end; cancelled, it is not sent again."""
        try:
            await self._over.wait()
        finally:
            self.give_up("it was cancelled")


NOT_ALLOWED = (
    "its stream {stream!r} takes no atomic batches: register the event with this version of the "
    "library (register() allows them), or change the stream by hand (allow_atomic)"
)


async def emit_atomically(
    emitter: Emitter, event: EventOnWire, messages: Sequence[EncodedMessage], patience: float
) -> None:
    """Have the stream store all of the messages, or none.

    Raises:
        EmitError: none is stored; or it is not known whether they are, which the error says.
        ConnectionLostError: the connection is closed for good.
    """
    own = secrets.token_hex(16)
    named = name_batch(messages, own)
    if emitter.full:
        await emitter.room()
    batch = _hand_over(emitter, event, named, patience)
    await batch.wait()
    if batch.is_duplicate:
        await _check_duplicates(emitter.link, event, named, own)
    elif batch.error is not None:
        raise batch.error
    emitter.confirmed.add(event.name)


def _hand_over(
    emitter: Emitter, event: EventOnWire, messages: Sequence[EncodedMessage], patience: float
) -> AtomicBatch:
    link = emitter.link
    size = sum(len(payload) + len(headers) for payload, headers in messages)
    batch = AtomicBatch(
        link, event.stream, event.acknowledgement, emitter, event, messages, size,
        emitter.group,
    )  # fmt: skip
    batch.reply = link.new_reply()
    batch.build()
    link.send(batch)
    emitter.begin_batch(len(messages), size)
    batch.expires_at = batch.sent_at + patience
    return batch


def name_batch(messages: Sequence[EncodedMessage], own: str) -> list[EncodedMessage]:
    """Give the first message without a `uid` the one of the batch.

    Raises:
        ValueError: two messages have one `uid`.
    """
    named = list(messages)
    at: dict[str, int] = {}
    for number, message in enumerate(named):
        uid = uid_of(message.headers)
        if uid is None and own not in at:
            uid = own
            named[number] = EncodedMessage(message.payload, add(message.headers, HEADER_ID, uid))
        if uid is not None and at.setdefault(uid, number) != number:
            raise ValueError(
                f"uid {uid!r} is that of the messages {at[uid]} and {number} of one atomic batch, "
                "and its stream takes it once: give each message another"
            )
    return named


async def _check_duplicates(
    link: Link, event: EventOnWire, messages: Sequence[EncodedMessage], own: str
) -> None:
    """Find out why the stream refused a batch for a `uid` that it has.

    Raises:
        EmitError: the `uid` is of another emit, and the batch is not stored.
    """
    uids = {uid: message for message in messages if (uid := uid_of(message.headers)) is not None}
    if own in uids:
        uids = {own: uids[own]}
    has = await _ask(link, event, uids)
    if all(has.values()):
        return  # an earlier attempt, or an earlier program, has emitted them
    what = f"event {event.name!r}: the batch of {len(messages)} was not accepted: its stream"
    taken = next((uid for uid, there in has.items() if there), None)
    which = "has a uid of it" if taken is None else f"has the uid {taken!r}"
    raise EmitError(f"{what} {which} already, of another emit within the dedup_window")


async def _ask(link: Link, event: EventOnWire, uids: dict[str, EncodedMessage]) -> dict[str, bool]:
    """Ask the stream which of some `uid`s it has; nothing is stored."""
    has = dict.fromkeys(uids, False)
    never = secrets.token_hex(16)

    async def ask(uid: str) -> None:
        payload, headers = uids[uid]
        block = add(headers, EXPECTED_LAST_ID, never)
        message = await link.request(
            event.subject, payload, headers=block, accepts=lambda each: _is_from(event, each)
        )
        has[uid] = read_answer(message.data).error is None

    try:
        async with anyio.create_task_group() as tasks:
            for uid in uids:
                tasks.start_soon(ask, uid)
    except* ServerError as group:
        raise EmitError(
            f"event {event.name!r}: it is not known whether a batch of {len(uids)} was accepted: "
            f"{group.exceptions[0]}"
        ) from None
    return has


def _is_from(event: EventOnWire, message: Message) -> bool:
    """Whether a message is what the event's stream answers; others may listen to the subject."""
    answer = read_answer(message.data)
    return answer.stream == event.stream or answer.error is not None


# headers


def _batch_block(headers: bytes, name: bytes, number: int, *, commits: bool) -> bytes:
    start = headers[:-2] if headers else b"NATS/1.0\r\n"
    commit = b"Nats-Batch-Commit: 1\r\n" if commits else b""
    return b"%bNats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n%b\r\n" % (
        start, name, number, commit,
    )  # fmt: skip


ROOM = len(_batch_block(b"", b"0" * 32, MAX_BATCH, commits=True)) + len(HEADER_ID) + 2 + 32 + 2
"""Bytes that the headers of a batch add to a message at most."""


def add(headers: bytes, name: str, value: str) -> bytes:
    """Add a header to a block."""
    start = headers[:-2] if headers else b"NATS/1.0\r\n"
    return b"%b%b: %b\r\n\r\n" % (start, name.encode(), value.encode())


_UID = re.compile(rb"\r\n%b: ([^\r\n]*)\r\n" % HEADER_ID.encode())


def uid_of(headers: bytes) -> str | None:
    """The `uid` in a header block."""
    found = _UID.search(headers)
    return None if found is None else found[1].decode()


_REFUSED = re.compile(rb"\r\n(nats-batch-[^:]*|nats-expected-last-msg-id):", re.IGNORECASE)
"""Headers that the batch has itself, and one that the server does not take in a batch."""


def check_headers(headers: bytes) -> None:
    """Refuse headers that a message of a batch cannot have.

    Raises:
        ValueError: there is one.
    """
    if found := _REFUSED.search(headers):
        raise ValueError(
            f"meta has {found[1].decode()}, which no message of an atomic batch can have: leave it "
            "out"
        )


# what is to be emitted


async def collect(messages: Iterable[T] | AsyncIterable[T]) -> list[T]:
    """Take the messages of a batch.

    Raises:
        ValueError: there are too many.
    """
    if not isinstance(messages, AsyncIterable):
        return collect_now(messages)
    taken: list[T] = []
    closing: Any = aclosing(messages) if isasyncgen(messages) else nullcontext()
    async with closing:
        async for message in messages:
            taken.append(message)
            _check_number(len(taken))
    return taken


def collect_now(messages: Iterable[T]) -> list[T]:
    """The same where nothing can be awaited."""
    taken: list[T] = []
    for message in messages:
        taken.append(message)
        _check_number(len(taken))
    return taken


def refuse_times(delay: float | None, at: datetime | None, ttl: float | None) -> None:
    """Refuse a batch that is not to be stored at once, and until it is handled.

    Raises:
        ValueError: it is not.
    """
    if delay is not None or at is not None or ttl is not None:
        raise ValueError(
            "an atomic batch has no delay, at or ttl: emit without atomic=True, or without them"
        )


def _check_number(number: int) -> None:
    if number > MAX_BATCH:
        raise ValueError(
            f"an atomic batch has at most {MAX_BATCH} messages, and here are more, of which nothing"
            " was sent: emit fewer at once, or without atomic=True"
        )


# the server


async def check_server(emitter: Emitter, event: BaseEvent[Any]) -> None:
    """Refuse an atomic batch where the event's stream takes none.

    Asks the server once for each event of a connection.

    Raises:
        EmitError: it takes none, or that cannot be found out.
    """
    if event.name in emitter.takes_batches:
        return
    what = f"event {event.name!r}: emit_many(atomic=True)"
    link = emitter.link
    try:
        answer = await api(link, f"STREAM.INFO.{event.stream_name}", replicas=event.replicas)
    except ServerError as error:
        if error.code in NO_STREAM:
            raise EmitError(f"{what}: {NOBODY}") from error
        raise EmitError(
            f"{what} has to look at the stream, as an old server would store a part of a batch, "
            f"and cannot: {error}"
        ) from error
    config = answer["config"]
    version = version_of(link, config)
    if not is_at_least(version, NEEDED):
        raise EmitError(
            f"{what} needs nats-server {'.'.join(map(str, NEEDED))} or later, and the stream is on "
            f"a server {version}: emit without atomic=True, or upgrade the server"
        )
    if not config.get("allow_atomic"):
        raise EmitError(f"{what}: {NOT_ALLOWED.format(stream=event.stream_name)}")
    emitter.takes_batches.add(event.name)
