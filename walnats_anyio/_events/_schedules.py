"""The stream of schedules: messages that the server itself keeps until they are due (ADR-51).

Layout, which the docs repeat. One stream serves all events, as an `interest` stream drops a
schedule that nobody consumes:

| what | is |
| --- | --- |
| stream | `walnats-schedules`, retention `workqueue`, with `allow_msg_schedules`, `allow_msg_ttl` |
| a schedule | `walnats.schedules.<kind>.<stream of the event>.<id...>`, in a JetStream domain
  `walnats.schedules-<domain>.<kind>.<stream of the event>.<id...>` |
| what is due | `walnats.due.<stream of the event>`, the target of its schedules |
| stream of the event | sources `walnats-schedules`, from what is due to the event's subject |

Kinds: `delay` (an emit that waits; the id is a hash of its `uid`, if it has one, and a random
token), `retry` (a copy of an event for one actor; the id is the actor, and what its module says),
`clock` (the id is the name of the clock). A namespace goes before all of these names.

When a schedule is due, the server puts its payload and headers into the same stream under what is
due, without the headers `Nats-Schedule...` and `Nats-Msg-Id`, and removes the schedule. The stream
of the event takes it from there within milliseconds, as a new message. A copy stays in the stream
of schedules for a second more.

Measured with nats-server 2.15.1: it looks for what is due at most four times a second, so where
more than that is due, each is up to 0.25 s late. So the schedule of a delay is `LEAD` seconds
early, and has the header `Walnats-Due`: whoever handles it waits for the rest. After a start it
takes up to 10 seconds until streams source again. And a server that is killed (SIGKILL) sources
once more what it has sourced in its last second: where all actors were done with that, they get it
again, as a new message. One that is stopped does not.

A later message on the subject of a schedule takes its place. The stream compares `Nats-Msg-Id` over
all events, so that header must name the event as well.

A source costs the server 75 KB, a consumer and 0.003 % of a core (nats-server 2.15.1), and a
`register` of walnats 1.2 takes it away. So an event gets one when it is first delayed, or when it
is registered with `delays=True`, and it is looked for once a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

import anyio

from walnats_anyio._events._event import BaseEvent, in_namespace
from walnats_anyio._link import (
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    Link,
    Prefixes,
    ServerError,
    api,
    is_at_least,
    version_of,
)

logger = logging.getLogger("walnats_anyio.events")

STREAM: Final = "walnats-schedules"
"""The stream of schedules, and of what is due and not taken yet."""

SUBJECTS: Final = "walnats.schedules"
"""What the subjects of schedules begin with."""

DUE: Final = "walnats.due"
"""What the subjects of what is due begin with."""

Kind: TypeAlias = Literal["delay", "retry", "clock"]

HEADER_SCHEDULE: Final = "Nats-Schedule"
"""When it is due: `@at <RFC 3339>`, `@every <duration>`, or a cron expression of six fields."""

HEADER_TARGET: Final = "Nats-Schedule-Target"
"""The subject under which it appears in the same stream when it is due."""

HEADER_SCHEDULE_TTL: Final = "Nats-Schedule-TTL"
"""The `Nats-TTL` that it then has: so it counts from when it is due."""

HEADER_TIME_ZONE: Final = "Nats-Schedule-Time-Zone"
"""The time zone of a cron expression, such as `Europe/Amsterdam`."""

SCHEDULES_SINCE: Final = (2, 14)
"""The version of nats-server that is the first on which nothing is lost on this way.

2.12 and 2.13 have schedules, but a stream that sources from them misses events.
"""

DEDUP_WINDOW = 120.0
"""Seconds that the stream remembers ids at least; it gets the longest window of its events."""

LOOK_AGAIN_AFTER = 60.0
"""Seconds that what was found is relied on: somebody may have changed the stream of the event."""

LOOK_SOON_AFTER = 2.0
"""The same after a change: somebody who has read the stream before may write it after that."""

ID_BYTES = 16

LEAD: Final = 0.3
"""Seconds before an event is due that the server puts it into its stream.

It looks for what is due at most four times a second, and its stream takes some milliseconds to
source it. So the actor's process gets it in time, and holds it until it is due.
"""

TRIES = 4
"""How often a stream is read and changed, where others change it at the same time."""

TRY_AGAIN_AFTER = 0.05
"""Seconds between two of them."""

TTL_SINCE: Final = (2, 11)
"""The version of nats-server that is the first to take a time to live of a message (ADR-43)."""

ALLOW_TTL: Final = "allow_msg_ttl"
"""The field with which a stream takes it. NATS cannot undo it."""


def schedule_subject(prefixes: Prefixes, kind: Kind, stream: str, *tokens: str) -> str:
    """The subject of a schedule.

    Subjects know no JetStream domains: where a leafnode connection joins two of them, both have a
    stream of schedules, and both would keep what is published under `walnats.schedules`. So where
    the domain is known, the subject names it.

    Args:
        prefixes: those of the connection.
        kind: what it is for.
        stream: the stream of the event, as the server has it.
        tokens: what identifies it; each a token of a subject.
    """
    return prefixes.subject(".".join((schedules_of(prefixes.known_domain), kind, stream, *tokens)))


def schedules_of(domain: str | None) -> str:
    """What the subjects of schedules begin with in a domain; see `schedule_subject`."""
    return SUBJECTS if domain is None else f"{SUBJECTS}-{domain}"


def due_subject(prefixes: Prefixes, stream: str) -> str:
    """The subject under which the events of a stream appear when they are due."""
    return prefixes.subject(f"{DUE}.{stream}")


def token_of(text: str) -> str:
    """A token of a subject that stands for any text: 32 digits of its hash."""
    return sha256(text.encode()).digest()[:ID_BYTES].hex()


def headers_at(due: datetime, target: str, ttl: float | None = None) -> dict[str, str]:
    """The headers of what is to appear once.

    Args:
        due: when, in any time zone.
        target: the subject; see `due_subject`.
        ttl: seconds after which it is gone, counted from `due`. None: never.
    """
    moment = due.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    headers = {HEADER_SCHEDULE: f"@at {moment}", HEADER_TARGET: target}
    if ttl is not None:
        headers[HEADER_SCHEDULE_TTL] = duration(ttl)
    return headers


def duration(seconds: float) -> str:
    """A time to live (ADR-43); the server counts whole seconds, so it is rounded up."""
    return f"{-int(-seconds // 1)}s"


def source_of(event: BaseEvent[Any], prefixes: Prefixes) -> dict[str, Any]:
    """The source that the stream of an event needs, as the JetStream API writes it."""
    event = in_namespace(event, prefixes)
    due = due_subject(prefixes, event.stream_name)
    return {
        "name": prefixes.stream(STREAM),
        "subject_transforms": [{"src": due, "dest": event.subject_name}],
    }


def has_source(config: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether the configuration of a stream has a source; others may stand beside it."""
    found: Sequence[Mapping[str, Any]] = config.get("sources") or ()
    wanted = source["subject_transforms"]
    return any(
        each.get("name") == source["name"]
        and not each.get("external")
        and all(one in (each.get("subject_transforms") or ()) for one in wanted)
        for each in found
    )


def keeps_schedules(version: str) -> bool:
    """Whether a server of this version keeps schedules without losing any: 2.14 and later."""
    return is_at_least(version, SCHEDULES_SINCE)


@dataclass(slots=True)
class Known:
    """What is known of the stream of one event on one connection, for a minute."""

    there: bool = False
    """Whether it has what was asked for."""
    why_not: str = ""
    """Why it has not."""
    changed: bool = False
    """Whether the stream was changed for it at the last look."""
    ahead: float = 0.0
    """Seconds that the clock of its server is ahead of ours."""
    until: float = float("-inf")
    """When to look again, on the clock of the link."""

    def is_fresh(self, link: Link) -> bool:
        """Whether it can still be relied on."""
        return link.now() < self.until


@dataclass(slots=True)
class _Stream:
    """The stream of one event on one connection."""

    schedules: Known = field(default_factory=Known)
    ttl: Known = field(default_factory=Known)
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    """To change it is to read all of its configuration and to write all of it."""


_streams: WeakKeyDictionary[Link, dict[str, _Stream]] = WeakKeyDictionary()


async def has_schedules(link: Link, event: BaseEvent[Any]) -> bool:
    """Whether what is scheduled for an event reaches its stream; sets that up if it does not.

    Remembers the answer for a minute. When it does not, asks two to four requests. Never raises for
    what the user may not do: the answer is False then.

    Raises:
        ConnectionLostError: the link is closed for good.
    """
    return await _find(link, event, known_schedules(link, event), _look_for_schedules)


async def takes_ttl(link: Link, event: BaseEvent[Any]) -> bool:
    """Whether the stream of an event takes a time to live; has it do so if it does not.

    The same as `has_schedules` otherwise. `known_ttl` says why not.
    """
    return await _find(link, event, known_ttl(link, event), _look_for_ttl)


def known_schedules(link: Link, event: BaseEvent[Any]) -> Known:
    """What `has_schedules` has found, in any thread."""
    return _stream_of(link, event).schedules


def known_ttl(link: Link, event: BaseEvent[Any]) -> Known:
    """What `takes_ttl` has found, in any thread."""
    return _stream_of(link, event).ttl


def _stream_of(link: Link, event: BaseEvent[Any]) -> _Stream:
    name = in_namespace(event, link.prefixes).stream_name
    streams = _streams.setdefault(link, {})
    found = streams.get(name)
    return streams.setdefault(name, _Stream()) if found is None else found


def forget(link: Link) -> None:
    """Look again at the next question about any event."""
    for stream in _streams.get(link, {}).values():
        stream.schedules.until = stream.ttl.until = float("-inf")


async def _find(
    link: Link,
    event: BaseEvent[Any],
    known: Known,
    look: Callable[[Link, BaseEvent[Any], Known], Awaitable[bool]],
) -> bool:
    if known.is_fresh(link):
        return known.there
    event = in_namespace(event, link.prefixes)
    async with _stream_of(link, event).lock:
        for left in reversed(range(TRIES)):
            if known.is_fresh(link):
                break
            known.there, known.why_not, known.changed = False, "", False
            try:
                known.there = await look(link, event, known)
            except ServerError as error:
                if error.code is not None and left:
                    # Somebody else has changed the stream since it was read.
                    await anyio.sleep(TRY_AGAIN_AFTER)
                    continue
                known.why_not = f"{known.why_not}{error}"
            known.until = link.now() + (LOOK_SOON_AFTER if known.changed else LOOK_AGAIN_AFTER)
            if not known.there:
                logger.debug("event %r: %s", event.name, known.why_not)
    return known.there


async def _look_for_schedules(link: Link, event: BaseEvent[Any], known: Known) -> bool:
    """See whether the streams are as they must be, and change them as far as the user may."""
    if not keeps_schedules(link.info.version) and not link.prefixes.elsewhere:
        known.why_not = f"the server keeps no schedules: it is {link.info.version}"
        return False
    config = await _config_of(link, event.stream_name, event.replicas, known)
    if config is None:
        known.why_not = f"there is no stream {event.stream_name!r}"
        return False
    if not keeps_schedules(version := version_of(link, config)):
        known.why_not = f"the server keeps no schedules: it is {version}"
        return False
    if config.get("sealed"):
        known.why_not = f"stream {event.stream_name!r} is sealed: it takes nothing any more"
        return False
    source = source_of(event, link.prefixes)
    if has_source(config, source):
        return await _may_create(link, event)
    if not await create_schedules(link, event.replicas, event.dedup_window):
        known.why_not = f"stream {link.prefixes.stream(STREAM)!r} cannot keep schedules"
        return False
    known.changed = True
    became = await _change(link, event, config | add_source(config, source))
    return has_source(became, source)


async def _look_for_ttl(link: Link, event: BaseEvent[Any], known: Known) -> bool:
    if not is_at_least(link.info.version, TTL_SINCE) and not link.prefixes.elsewhere:
        known.why_not = f"that needs nats-server 2.11 or later, and this is {link.info.version}"
        return False
    config = await _config_of(link, event.stream_name, event.replicas)
    if config is None:
        known.why_not = f"there is no stream {event.stream_name!r}: register the event first"
        return False
    if config.get(ALLOW_TTL):
        return True
    if not is_at_least(version := version_of(link, config), TTL_SINCE):
        known.why_not = f"that needs nats-server 2.11 or later, and this is {version}"
        return False
    known.why_not = (
        f"stream {event.stream_name!r} takes no time to live, and this connection cannot change "
        "that: declare the event with ttl=True, and register it as a user who may: "
    )
    known.changed = True
    became = await _change(link, event, config | {ALLOW_TTL: True})
    return bool(became.get(ALLOW_TTL))


async def _change(
    link: Link, event: BaseEvent[Any], config: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Change the stream of an event; gives what it became."""
    subject = f"STREAM.UPDATE.{event.stream_name}"
    answer = await api(link, subject, dict(config), replicas=event.replicas, optional=True)
    became: Mapping[str, Any] = answer["config"]
    return became


def add_source(config: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """The field `sources` of a stream with one more."""
    return {"sources": [*(config.get("sources") or ()), source]}


async def _may_create(link: Link, event: BaseEvent[Any]) -> bool:
    """Make sure of the stream of schedules; who may not look relies on whoever made the source."""
    try:
        return await create_schedules(link, event.replicas, event.dedup_window)
    except ServerError as error:
        return error.code is None


async def create_schedules(
    link: Link, replicas: int = 1, dedup_window: float = DEDUP_WINDOW
) -> bool:
    """Create the stream of schedules, or raise it to so many replicas and so long a window.

    Returns:
        Whether it keeps schedules. Not where somebody has made another stream of that name.

    Raises:
        ServerError: the server refuses it, or does not answer, or this user may not ask.
        ConnectionLostError: the link is closed for good.
    """
    wanted = new_config(replicas, dedup_window, link.prefixes)
    name = wanted["name"]
    actual = await _config_of(link, name, replicas) or await _create(link, wanted)
    if not all(actual.get(flag) == wanted[flag] for flag in NEEDED):
        logger.warning(
            "stream %r cannot keep schedules, as it was made otherwise: delete it, and register "
            "the events again", name,
        )  # fmt: skip
        return False
    raised = _raised(actual, wanted)
    if raised != actual:
        try:
            await api(link, f"STREAM.UPDATE.{name}", raised, replicas=replicas, optional=True)
        except ServerError as error:
            # It keeps schedules all the same.
            logger.info(
                "stream %r is left with fewer replicas or a shorter window: %s", name, error
            )
    return True


async def _create(link: Link, wanted: dict[str, Any]) -> dict[str, Any]:
    """Create the stream of schedules; gives its configuration."""
    name, replicas = wanted["name"], wanted["num_replicas"]
    # Somebody may have deleted one of that name. Streams that have sourced from it would ignore all
    # of this one up to the same sequence, for ever (nats-server 2.14). So it counts on from there.
    config = wanted | {"first_seq": int(link.wall() * 1e6)}
    try:
        answer = await api(link, f"STREAM.CREATE.{name}", config, replicas=replicas, optional=True)
    except ServerError as error:
        if error.code != STREAM_NAME_IN_USE:
            raise
        # Another process was faster by a moment.
        return await _config_of(link, name, replicas) or {}
    created: dict[str, Any] = answer["config"]
    return created


NEEDED = ("retention", "allow_msg_schedules", "allow_msg_ttl")
"""Fields without which the stream keeps no schedules."""


def _raised(actual: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    subjects: list[str] = actual.get("subjects") or []
    return actual | {
        "num_replicas": max(wanted["num_replicas"], actual.get("num_replicas", 1)),
        "duplicate_window": max(wanted["duplicate_window"], actual.get("duplicate_window", 0)),
        "subjects": subjects + [one for one in wanted["subjects"] if one not in subjects],
    }


def new_config(replicas: int, dedup_window: float, prefixes: Prefixes) -> dict[str, Any]:
    """The configuration of a stream of schedules that is not there yet."""
    # Also without the domain: not every client knows it, such as one with a `js_prefix`.
    kept = dict.fromkeys((SUBJECTS, schedules_of(prefixes.known_domain)))
    return {
        "name": prefixes.stream(STREAM),
        "description": "events that are not due yet",
        "subjects": [
            *(prefixes.subject(f"{each}.>") for each in kept),
            prefixes.subject(f"{DUE}.*"),
        ],
        "retention": "workqueue",
        "storage": "file",
        "num_replicas": replicas,
        "discard": "old",
        "duplicate_window": round(max(DEDUP_WINDOW, dedup_window) * 10**9),
        "allow_direct": True,
        "allow_msg_schedules": True,
        "allow_msg_ttl": True,
    }


async def cancel_schedule(link: Link, subject: str, replicas: int = 1) -> bool:
    """Remove what is scheduled under a subject, which may have wildcards.

    Returns:
        Whether anything was there. False also where the stream of schedules is missing.

    Raises:
        ServerError: the server does not answer, or this user may not remove it.
        ConnectionLostError: the link is closed for good.
    """
    name = link.prefixes.stream(STREAM)
    try:
        answer = await api(
            link, f"STREAM.PURGE.{name}", {"filter": subject}, replicas=replicas, optional=True
        )
    except ServerError as error:
        if error.code == STREAM_NOT_FOUND:
            return False
        raise
    return bool(answer.get("purged"))


async def _config_of(
    link: Link, stream: str, replicas: int, known: Known | None = None
) -> dict[str, Any] | None:
    """The configuration of a stream; notes what time its server has."""
    asked = link.wall()
    try:
        answer = await api(link, f"STREAM.INFO.{stream}", replicas=replicas, optional=True)
    except ServerError as error:
        if error.code == STREAM_NOT_FOUND:
            return None
        raise
    if known is not None:
        known.ahead = _ahead(answer.get("ts"), asked, link.wall())
    config: dict[str, Any] = answer["config"]
    return config


def _ahead(told: object, asked: float, answered: float) -> float:
    """Seconds that a server's clock is ahead; 0 where that is less than the answer took.

    Servers before 2.10 do not tell the time.
    """
    if not isinstance(told, str):
        return 0.0
    ahead = datetime.fromisoformat(told).timestamp() - (asked + answered) / 2
    return ahead if abs(ahead) > answered - asked else 0.0
