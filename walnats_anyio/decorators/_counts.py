"""How many turns of each window are taken, counted in a stream of the server.

Theory of operation. A window has a subject of its own in the stream of its limit. From NATS 2.12 on
that is a stream of counters (ADR-49): a message adds to the count of its subject, and the
acknowledgement has the sum, in one round trip and without conflicts. An older server ignores that
it should be one. Then the last message of a subject has the count as its payload, as in a key-value
bucket: it is read, and written with the sequence that was read (compare and set), again and again
until nobody was faster.

A request is repeated when its answer was lost, and then its turns are counted twice: at worst there
are fewer turns in a window than the limit allows, and never more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import msgspec

from walnats_anyio._events._answers import RETRYABLE_CODES, Refusal
from walnats_anyio._link import (
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    HeaderError,
    Link,
    Message,
    PendingRequest,
    ServerError,
    is_answer,
    is_no_responders,
    not_enabled,
    pub,
)

STREAM = "walnats-limit"
"""What the names of the streams begin with: `walnats-limit-<name of the limit>`."""

SUBJECTS = "walnats.limit"
"""What the subjects begin with: `walnats.limit.<name of the limit>.<window>`."""

ANSWERED_WITHIN = 2.0
"""Seconds in which the server must answer a request for turns."""

KEPT_FOR = 60.0
"""Seconds that counts are kept at least; else for two periods."""

WRONG_SEQUENCE = 10071
"""JetStream's error code: somebody else has written since that was read."""

NO_STREAM = "there is no stream for its counts: it was deleted"
NO_COUNTER = "its stream does not count: it was made anew"


class Told(Protocol):
    """Told of what became of a request for turns. Called by the reader of the link: never blocks.

    Exactly one of the three is called for each request.
    """

    def granted(self, window: int, turns: int, is_used_up: bool) -> None:
        """These turns of the window are ours. Used up: it has no others."""
        ...

    def failed(self, reason: str) -> None:
        """The server does not give any."""
        ...

    def missing(self, reason: str) -> None:
        """There is no such stream any more."""
        ...


class _Answer(msgspec.Struct):
    """What the stream answers to a message."""

    stream: str = ""
    seq: int = 0
    val: str | None = None
    domain: str = ""
    error: Refusal | None = None


_decoder = msgspec.json.Decoder(_Answer)


class _Request(PendingRequest):
    """A request whose answer is read by a function; False from it: that is no answer."""

    link: Link
    read: Callable[[_Request, Message], bool]
    fail: Callable[[str], None]

    def answered(self, message: Message) -> None:
        if not self.read(self, message):
            # Anybody may listen to the subject, and answer.
            self.link.keep_waiting(self)

    def failed(self, reason: Exception) -> None:
        self.fail(str(reason))


class Counts:
    """Asks for turns of windows, one request at a time."""

    def __init__(self, link: Link, name: str, max_jobs: int, told: Told) -> None:
        self._link = link
        self._most = max_jobs
        self._told = told
        self._stream = stream_name(link, name)
        self._subjects = link.prefixes.subject(f"{SUBJECTS}.{name}")

    def request(self, window: int, wanted: int) -> None:
        """Ask for turns. Never blocks.

        Raises:
            ConnectionLostError: the link is closed for good.
            ServerError: this user may not have answers.
        """
        raise NotImplementedError

    def _publish(
        self, window: int, payload: bytes, headers: bytes, read: Callable[[_Answer], bool]
    ) -> None:
        def read_answer(request: _Request, message: Message) -> bool:
            if is_no_responders(message):
                self._told.missing(NO_STREAM)
                return True
            answer = self._answer_in(message)
            if answer is None:
                return False
            if answer.error is not None and answer.error.err_code in RETRYABLE_CODES:
                self._link.retry_later(request)
                return True
            return read(answer)

        request = self._new_request(read_answer)
        self._link.publish(request, f"{self._subjects}.{window}".encode(), payload, headers)

    def _new_request(self, read: Callable[[_Request, Message], bool]) -> _Request:
        give_up_at = monotonic() + ANSWERED_WITHIN
        return _Request(link=self._link, read=read, fail=self._told.failed, expires_at=give_up_at)

    def _answer_in(self, message: Message) -> _Answer | None:
        """The answer of the stream; None if it is not of the stream."""
        try:
            answer = _decoder.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        domain = self._link.prefixes.domain
        is_ours = domain is None or answer.domain == domain
        return answer if is_ours and answer.stream == self._stream else None


class CounterStream(Counts):
    """Counts in a stream of counters."""

    def request(self, window: int, wanted: int) -> None:
        """Ask for turns; see `Counts`."""

        def read(answer: _Answer) -> bool:
            if answer.error is not None:
                self._told.failed(answer.error.description)
                return True
            if answer.val is None or not answer.val.lstrip("-").isdecimal():
                self._told.missing(NO_COUNTER)
                return True
            total = int(answer.val[:20])
            turns = min(max(self._most - (total - wanted), 0), wanted)
            self._told.granted(window, turns, total >= self._most)
            return True

        self._publish(window, b"", b"NATS/1.0\r\nNats-Incr: +%d\r\n\r\n" % wanted, read)


class CompareAndSet(Counts):
    """Counts in the last message of each subject, for servers before 2.12."""

    def __init__(self, link: Link, name: str, max_jobs: int, told: Told) -> None:
        super().__init__(link, name, max_jobs, told)
        self._get = link.prefixes.api_subject(f"DIRECT.GET.{self._stream}.{self._subjects}")
        self._known: tuple[int, int, int] = (-1, 0, 0)
        """A window, its count and the sequence of that, as far as is known here."""

    def request(self, window: int, wanted: int) -> None:
        """Ask for turns; see `Counts`."""
        if self._known[0] == window:
            self._write(window, wanted)
        else:
            self._read(window, wanted)

    def _read(self, window: int, wanted: int) -> None:
        def read(request: _Request, message: Message) -> bool:
            if is_no_responders(message):
                self._told.missing(NO_STREAM)
                return True
            count = _stored_count(message)
            if count is None:
                return False
            self._known = (window, *count)
            self._write(window, wanted)
            return True

        request = self._new_request(read)
        request.reply = self._link.new_reply()
        request.command = pub(f"{self._get}.{window}", b"", request.reply)
        self._link.send(request)

    def _write(self, window: int, wanted: int) -> None:
        _, count, sequence = self._known
        turns = min(max(self._most - count, 0), wanted)
        if not turns:
            self._told.granted(window, 0, True)
            return

        def read(answer: _Answer) -> bool:
            if answer.error is None:
                self._known = (window, count + turns, answer.seq)
                self._told.granted(window, turns, count + turns >= self._most)
            elif answer.error.err_code == WRONG_SEQUENCE:
                self._read(window, wanted)  # somebody else was faster, so somebody goes on
            else:
                self._told.failed(answer.error.description)
            return True

        expected = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n\r\n" % sequence
        self._publish(window, b"%d" % (count + turns), expected, read)


def _stored_count(message: Message) -> tuple[int, int] | None:
    """The count and its sequence, as a direct get (ADR-31) gives them; None if it is none."""
    try:
        if message.status.code == "404":
            return 0, 0
        return int(message.data), int(message.headers["Nats-Sequence"])
    except (HeaderError, ValueError, KeyError):
        return None


def stream_name(link: Link, name: str) -> str:
    """The stream of a limit."""
    return link.prefixes.stream(f"{STREAM}-{name}")


@dataclass(frozen=True, slots=True)
class Declared:
    """A limit as a program declares it."""

    name: str
    """The name that processes share."""

    max_jobs: int
    """Turns in each window."""

    period: float
    """Seconds of a window."""

    replicas: int
    """Copies of the stream, if it is made here."""

    def __str__(self) -> str:
        return f"{self.max_jobs} jobs in {self.period:g} s"

    @property
    def description(self) -> str:
        """The description of the stream, by which another declaration is noticed."""
        return f"{self._prefix}{self}"

    @property
    def max_age(self) -> int:
        """Nanoseconds for which counts are kept."""
        return round((2 * self.period + KEPT_FOR) * 1e9)

    @property
    def _prefix(self) -> str:
        return f"turns taken of the rate limit {self.name!r}: "

    def other(self, config: dict[str, Any]) -> str | None:
        """Say how another program has declared the limit of a stream. None: alike."""
        description = str(config.get("description", ""))
        if description == self.description or not description.startswith(self._prefix):
            return None
        return description.removeprefix(self._prefix)


async def open_stream(
    link: Link, limit: Declared, timeout: float, *, describe: bool
) -> dict[str, Any]:
    """Look at the stream of a limit, and create it if it is not there.

    Args:
        link: the connection.
        limit: whose stream.
        timeout: seconds for each request.
        describe: whether to write down how the limit is declared, if it is declared differently
            there.

    Returns:
        The answer of the API as it was found: `config`, and from NATS 2.10 on `ts`, the server's
        time.

    Raises:
        ServerError: the server refuses it, or does not answer within `timeout` seconds.
        ConnectionLostError: the link is closed for good.
    """
    stream = stream_name(link, limit.name)
    try:
        answer = await _api(link, f"STREAM.INFO.{stream}", None, timeout)
    except ServerError as error:
        if error.code != STREAM_NOT_FOUND:
            raise
    else:
        await _adapt(link, limit, answer["config"], timeout, describe)
        return answer
    config = {
        "name": stream,
        "description": limit.description,
        "subjects": [link.prefixes.subject(f"{SUBJECTS}.{limit.name}.*")],
        "retention": "limits",
        "storage": "file",  # so a restart of the server does not give turns again
        "num_replicas": limit.replicas,
        "max_age": limit.max_age,
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
        "allow_msg_counter": True,
    }
    try:
        return await _api(link, f"STREAM.CREATE.{stream}", config, timeout)
    except ServerError as error:
        if error.code != STREAM_NAME_IN_USE:
            raise
        # Another process was faster by a moment, and wants another configuration.
        answer = await _api(link, f"STREAM.INFO.{stream}", None, timeout)
        await _adapt(link, limit, answer["config"], timeout, describe)
        return answer


async def _adapt(
    link: Link, limit: Declared, config: dict[str, Any], timeout: float, describe: bool
) -> None:
    """Have a stream keep the counts for as long as the limit needs.

    Its period may have been shorter once. A count that is gone before its window has ended would
    give the turns again.

    Raises:
        ServerError: they are not kept for so long, and this user may not change that.
    """
    kept_for: int = config.get("max_age", 0)
    is_short = 0 < kept_for < limit.max_age
    if not is_short and not (describe and limit.other(config) is not None):
        return
    changed = {"max_age": max(kept_for, limit.max_age)} if is_short else {}
    described = {"description": limit.description} if describe else {}
    try:
        await _api(link, f"STREAM.UPDATE.{config['name']}", config | changed | described, timeout)
    except ServerError as error:
        if not is_short:
            return
        raise ServerError(
            f"its stream keeps the counts for {kept_for / 1e9:g} s, and a period of "
            f"{limit.period:g} s needs {limit.max_age / 1e9:g} s: {error}",
            error.code,
        ) from error


async def _api(
    link: Link, subject: str, body: dict[str, Any] | None, timeout: float
) -> dict[str, Any]:
    # Not `api`, whose patience is longer than that of a job.
    payload = b"" if body is None else msgspec.json.encode(body)
    message = await link.request(
        link.prefixes.api_subject(subject), payload, timeout=timeout, accepts=is_answer
    )
    if is_no_responders(message):
        raise ServerError(not_enabled(link.prefixes))
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    error: dict[str, Any] | None = answer.get("error")
    if error is not None:
        raise ServerError(str(error.get("description", error)), error.get("err_code"))
    return answer
