"""JetStream's management API: JSON requests, and what its error codes mean."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from walnats_anyio._link._errors import ServerError
from walnats_anyio._link._link import Link
from walnats_anyio._link._prefixes import Prefixes
from walnats_anyio._link.protocol import Message

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
STREAM_NAME_IN_USE = 10058

SUBJECT_TAKEN = 10065
"""Another stream has the subject.

nats-server 2.9 also says so to one of two who create the same stream at the same moment.
"""

ANSWER_WITHIN = 5.0
"""Seconds in which a server answers."""

ELECTED_WITHIN = 20.0
"""Seconds in which a cluster does: an election takes up to nine, and may have to be repeated."""

LOOK_AGAIN_AFTER = 0.05
"""Seconds until a stream is looked for again whose name is in use and which is not there."""

NOBODY_WITHIN = 1.0
"""Seconds in which "no responders" may mean a server that stops or starts just now."""

NO_LEADER = frozenset({10008, 10009})
"""What a server says whose cluster elects a leader just now."""

NO_PEERS = 10005
"""A cluster has no servers for what is to be made; "peer offline" where one was restarted."""

NOT_ENABLED = "JetStream does not answer: start the server with it, nats-server -js"

NOT_THERE = (
    "JetStream does not answer under {api!r}: check the domain or js_prefix, the leafnode "
    "connection or the account's import, and that the server there has JetStream"
)


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
    link: Link,
    subject: str,
    body: dict[str, Any] | None = None,
    *,
    replicas: int = 1,
    optional: bool = False,
) -> dict[str, Any]:
    """One request to the API, such as `STREAM.INFO.orders`; gives the answer.

    With `optional` it is no trouble if the user may not ask: see `Link.request`.

    Raises:
        ServerError: an error answer (with its `code`), or none within 5 seconds, or 20 where it is
            about something with replicas.
        ConnectionLostError: the link is closed for good.
    """
    payload = b"" if body is None else msgspec.json.encode(body)
    timeout = ANSWER_WITHIN if replicas == 1 else ELECTED_WITHIN
    nobody_until = link.now() + NOBODY_WITHIN
    elected_until = link.now() + timeout
    while True:
        message = await link.request(
            link.prefixes.api_subject(subject),
            payload,
            timeout=timeout,
            accepts=is_answer,
            optional=optional,
        )
        if is_no_responders(message):
            if link.now() > nobody_until:
                raise ServerError(not_enabled(link.prefixes))
        else:
            answer: dict[str, Any] = msgspec.json.decode(message.data)
            error = answer.get("error")
            if not isinstance(error, dict):
                return answer
            description, code = str(error.get("description", error)), error.get("err_code")
            if link.now() > elected_until or not _passes(code, description):
                raise ServerError(description, code)
        await anyio.sleep(NOBODY_WITHIN / 4)


def _passes(code: object, description: str) -> bool:
    """Whether a cluster whose servers are restarted in turn, say, refuses it just now."""
    return code in NO_LEADER or (code == NO_PEERS and "offline" in description)


def not_enabled(prefixes: Prefixes) -> str:
    """What to say where nobody takes a request to the API."""
    return NOT_THERE.format(api=prefixes.api) if prefixes.elsewhere else NOT_ENABLED


def is_answer(message: Message) -> bool:
    """Whether a message is an answer of JetStream; a stranger may answer with anything."""
    if is_no_responders(message):
        return True
    try:
        answer = _answer_decoder.decode(message.data)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return answer.type.startswith(API_TYPES)


async def stream_info(link: Link, stream: str, *, replicas: int = 1) -> dict[str, Any] | None:
    """All that the server says about a stream, or None when there is no such stream."""
    try:
        return await api(link, f"STREAM.INFO.{stream}", replicas=replicas)
    except ServerError as exc:
        if exc.code == STREAM_NOT_FOUND:
            return None
        raise


async def stream_config(link: Link, stream: str, *, replicas: int = 1) -> dict[str, Any] | None:
    """The configuration of a stream as the server has it, or None when there is no such stream."""
    info = await stream_info(link, stream, replicas=replicas)
    if info is None:
        return None
    config: dict[str, Any] = info["config"]
    return config


async def consumer_config(
    link: Link, stream: str, consumer: str, *, replicas: int = 1
) -> dict[str, Any] | None:
    """The configuration of a consumer, or None when there is no such consumer or stream."""
    info = await consumer_info(link, stream, consumer, replicas=replicas)
    if info is None:
        return None
    config: dict[str, Any] = info["config"]
    return config


async def consumer_info(
    link: Link, stream: str, consumer: str, *, replicas: int = 1
) -> dict[str, Any] | None:
    """What the server says about a consumer, or None when there is no such consumer or stream."""
    try:
        return await api(link, f"CONSUMER.INFO.{stream}.{consumer}", replicas=replicas)
    except ServerError as exc:
        if exc.code in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
            return None
        raise


async def stream_names(link: Link) -> list[str]:
    """The names of all streams of the namespace, those that the library makes for itself included.

    Raises:
        ServerError: the user may not list them, or the server does not answer.
        ConnectionLostError: the link is closed for good.
    """
    found: list[str] = []
    while True:
        page = await api(link, "STREAM.NAMES", {"offset": len(found)})
        found += page.get("streams") or []
        if len(found) >= page["total"] or not page.get("streams"):
            return [name for name in found if name.startswith(link.prefixes.stream(""))]


async def ensure_stream(link: Link, config: dict[str, Any]) -> dict[str, Any]:
    """Create a stream unless there is one of its name.

    Safe in many processes at once. A stream that is there already is left as it is, whatever its
    configuration: compare what this gives with what you want (`differences`).

    Args:
        link: the connection.
        config: the configuration of the stream, as the JetStream API writes it; `name` and
            `num_replicas` must be there.

    Returns:
        The configuration of the stream as the server has it.

    Raises:
        ServerError: the server refuses it, or does not answer.
        ConnectionLostError: the link is closed for good.
    """
    name, replicas = config["name"], config["num_replicas"]
    give_up_at = link.now() + ELECTED_WITHIN
    refused: ServerError | None = None
    while True:
        actual = await stream_config(link, name, replicas=replicas)
        if actual is not None:
            return actual
        if refused is not None and refused.code == SUBJECT_TAKEN:
            raise refused
        try:
            answer = await api(link, f"STREAM.CREATE.{name}", config, replicas=replicas)
        except ServerError as exc:
            if exc.code not in (STREAM_NAME_IN_USE, SUBJECT_TAKEN) or link.now() > give_up_at:
                raise
            refused = exc
            # Another process was faster by a moment, and wants another configuration (or the same,
            # on nats-server 2.9, which then takes the stream for another one). In a cluster,
            # the name is in use before the stream can be looked at.
            await anyio.sleep(LOOK_AGAIN_AFTER)
        else:
            created: dict[str, Any] = answer["config"]
            return created


async def update_stream(link: Link, config: dict[str, Any]) -> None:
    """Change a stream that is there; `config` is the whole of its new configuration.

    Raises:
        ServerError: the server refuses it, or does not answer.
        ConnectionLostError: the link is closed for good.
    """
    await api(
        link, f"STREAM.UPDATE.{config['name']}", config, replicas=config.get("num_replicas", 1)
    )


async def ensure_helper_stream(link: Link, config: dict[str, Any]) -> dict[str, Any]:
    """Create a stream of the library's own, or raise one that is there to what is needed now.

    It gets the replicas and the subjects of `config` where it has fewer. It never loses any, and
    everything else, such as limits that somebody has set, is left as it is.

    Returns:
        The configuration of the stream as the server has it now.

    Raises:
        ServerError: the server refuses it, or does not answer.
        ConnectionLostError: the link is closed for good.
    """
    actual = await ensure_stream(link, config)
    # Read as one that may have been made by anybody: a stream can be without subjects.
    subjects = actual.get("subjects") or []
    needed = {
        "num_replicas": max(config["num_replicas"], actual.get("num_replicas", 1)),
        "subjects": subjects + [one for one in config["subjects"] if one not in subjects],
    }
    if differences(needed, actual):
        await update_stream(link, actual | needed)
    return actual | needed


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
