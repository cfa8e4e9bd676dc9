"""JetStream's management API: JSON requests, and what its error codes mean."""

from __future__ import annotations

from time import monotonic
from typing import Any

import anyio
import msgspec

from walnats_anyio._link._errors import ServerError
from walnats_anyio._link._link import Link
from walnats_anyio._link.protocol import Message

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
STREAM_NAME_IN_USE = 10058

ANSWER_WITHIN = 5.0
"""Seconds in which a server answers."""

ELECTED_WITHIN = 20.0
"""Seconds in which a cluster does: an election takes up to nine, and may have to be repeated."""

NOBODY_WITHIN = 1.0
"""Seconds in which "no responders" may mean a server that stops or starts just now."""

NOT_ENABLED = "JetStream does not answer: start the server with it, nats-server -js"


API_TYPES = "io.nats.jetstream.api."
"""What the type of every answer begins with."""


class _ApiError(msgspec.Struct):
    description: str = ""
    err_code: int = 0


class _ApiAnswer(msgspec.Struct):
    """What every answer has; the rest depends on the request."""

    type: str
    error: _ApiError | None = None


_answer_decoder = msgspec.json.Decoder(_ApiAnswer)


def is_no_responders(message: Message) -> bool:
    """Whether it says that nobody listens to what was sent (status 503)."""
    # The server sends such a message without payload; a look at that is cheap.
    return not message.data and message.header.startswith(b"NATS/1.0 503")


async def api(
    link: Link, subject: str, body: dict[str, Any] | None = None, *, replicas: int = 1
) -> dict[str, Any]:
    """One request to `$JS.API.<subject>`; gives the answer.

    Raises:
        ServerError: an error answer (with its `code`), or none within 5 seconds, or 20 where it is
            about something with replicas.
        ConnectionLostError: the link is closed for good.
    """
    payload = b"" if body is None else msgspec.json.encode(body)
    timeout = ANSWER_WITHIN if replicas == 1 else ELECTED_WITHIN
    give_up_at = monotonic() + NOBODY_WITHIN
    while True:
        message = await link.request(
            f"$JS.API.{subject}", payload, timeout=timeout, accepts=is_answer
        )
        if not is_no_responders(message):
            break
        if monotonic() > give_up_at:
            raise ServerError(NOT_ENABLED)
        await anyio.sleep(NOBODY_WITHIN / 4)
    answer: dict[str, Any] = msgspec.json.decode(message.data)
    error = answer.get("error")
    if isinstance(error, dict):
        raise ServerError(str(error.get("description", error)), error.get("err_code"))
    return answer


def is_answer(message: Message) -> bool:
    """Whether a message is an answer of JetStream; a stranger may answer with anything."""
    if is_no_responders(message):
        return True
    try:
        answer = _answer_decoder.decode(message.data)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return answer.type.startswith(API_TYPES)


async def stream_config(link: Link, stream: str, *, replicas: int = 1) -> dict[str, Any] | None:
    """The configuration of a stream as the server has it, or None when there is no such stream."""
    try:
        answer = await api(link, f"STREAM.INFO.{stream}", replicas=replicas)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            return None
        raise
    config: dict[str, Any] = answer["config"]
    return config


async def consumer_config(
    link: Link, stream: str, consumer: str, *, replicas: int = 1
) -> dict[str, Any] | None:
    """The configuration of a consumer, or None when there is no such consumer or stream."""
    try:
        answer = await api(link, f"CONSUMER.INFO.{stream}.{consumer}", replicas=replicas)
    except ServerError as exc:
        if exc.code in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
            return None
        raise
    config: dict[str, Any] = answer["config"]
    return config


def differences(declared: dict[str, Any], actual: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What of `declared` is otherwise on the server: name to (declared, actual).

    A field the server leaves out of its answer has its zero value.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for name, want in declared.items():
        have = actual.get(name)
        if have != want and not (have is None and not want):
            found[name] = (want, have)
    return found
