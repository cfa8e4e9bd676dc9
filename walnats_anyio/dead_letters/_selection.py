"""Which of the dead letters are meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from walnats_anyio._events import BaseEvent
from walnats_anyio._letters import DeadLetter, Reason, filter_of, subject_of
from walnats_anyio._link import Prefixes, check_name
from walnats_anyio.dead_letters._unreadable import UnreadableLetter

FINGERPRINT = re.compile("[0-9a-f]{12}")
"""What a fingerprint looks like."""


@runtime_checkable
class NamedActor(Protocol):
    """What of an actor tells which letters are its own; an `Actor` has it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def event(self) -> BaseEvent[Any]:
        """The event that it handles."""
        ...


@dataclass(frozen=True)
class Selection:
    """Some of the dead letters."""

    subjects: str
    """The subjects that they are kept under."""

    reason: Reason | None
    """Why they were given up; None for any reason."""

    since: datetime | None
    """The first moment at which they may have been given up."""

    until: datetime | None
    """The first moment at which they may not have been given up any more."""

    error_type: str | None = None
    """The class of the exception; None for any, and for letters without one."""

    fingerprint: str | None = None
    """The fingerprint of the error; None for any."""

    @property
    def by_subject_only(self) -> bool:
        """Whether the server can tell which ones they are."""
        fields = (self.reason, self.since, self.until, self.error_type, self.fingerprint)
        return all(each is None for each in fields)

    def covers(self, letter: DeadLetter | UnreadableLetter, prefixes: Prefixes) -> bool:
        """Whether a letter under any subject is one of them."""
        if isinstance(letter, UnreadableLetter):
            own = letter.subject
        else:
            own = subject_of(letter, prefixes)
        pairs = zip(self.subjects.split("."), own.split("."), strict=True)
        return all(wanted in ("*", token) for wanted, token in pairs) and self.has(letter)

    def has(self, letter: DeadLetter | UnreadableLetter) -> bool:
        """Whether a letter under one of the subjects is one of them.

        One that cannot be read has no reason, and the moment at which it was stored is all there is
        to compare.
        """
        if isinstance(letter, UnreadableLetter):
            reason, moment = None, letter.stored_at
            if self.error_type is not None or self.fingerprint is not None:
                return False
        else:
            reason, moment = letter.reason, letter.died_at
            if not self._has_error(letter):
                return False
        return (
            (self.reason is None or reason == self.reason)
            and (self.since is None or moment >= self.since)
            and (self.until is None or moment < self.until)
        )

    def _has_error(self, letter: DeadLetter) -> bool:
        if self.error_type not in (None, letter.error_type):
            return False
        return self.fingerprint in (None, letter.fingerprint)


def select(
    prefixes: Prefixes,
    event: BaseEvent[Any] | str | None,
    actor: NamedActor | str | None,
    reason: Reason | str | None,
    since: datetime | None,
    until: datetime | None,
    error_type: str | None = None,
    fingerprint: str | None = None,
) -> Selection:
    """Check what `DeadLetters.letters` takes.

    Raises:
        TypeError: one of them is of a wrong type.
        ValueError: one of them is of no use.
    """
    event_name = _event_name(event)
    actor_name = actor if isinstance(actor, str) else None
    if actor_name is not None:
        check_name("actor", actor_name)
    elif isinstance(actor, NamedActor):
        actor_name, its_event = actor.name, actor.event.name
        if event_name not in (None, its_event):
            raise ValueError(
                f"actor {actor_name!r} handles event {its_event!r}, not {event_name!r}: leave the "
                "event out, or give the name of the actor"
            )
        event_name = its_event
    elif actor is not None:
        raise TypeError(f"actor must be an Actor or its name, not {actor!r}")
    _check_moment("since", since)
    _check_moment("until", until)
    if since is not None and until is not None and since >= until:
        raise ValueError(f"since ({since}) must be before until ({until})")
    _check_error(error_type, fingerprint)
    stream = None if event_name is None else prefixes.stream(event_name.replace(".", "-"))
    return Selection(
        filter_of(prefixes, stream, actor_name),
        _reason(reason),
        since,
        until,
        error_type,
        fingerprint,
    )


def declared_event(
    event: BaseEvent[Any] | str | None, actor: NamedActor | str | None
) -> BaseEvent[Any] | None:
    """The event whose declaration is at hand: the one given, or that of the actor; else None."""
    if isinstance(event, BaseEvent):
        return event
    return None if actor is None or isinstance(actor, str) else actor.event


def _event_name(event: object) -> str | None:
    if isinstance(event, BaseEvent):
        return event.name
    if isinstance(event, str):
        check_name("event", event)
    elif event is not None:
        raise TypeError(f"event must be an Event or its name, not {event!r}")
    return event


def _reason(reason: object) -> Reason | None:
    if reason is None:
        return None
    if isinstance(reason, str):
        try:
            return Reason(reason)
        except ValueError:
            pass
    allowed = ", ".join(repr(one.value) for one in Reason)
    kind = ValueError if isinstance(reason, str) else TypeError
    raise kind(f"reason must be one of {allowed}, not {reason!r}")


def _check_error(error_type: object, fingerprint: object) -> None:
    for name, value in (("error_type", error_type), ("fingerprint", fingerprint)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a str or None, not {value!r}")
    if error_type == "":
        raise ValueError(
            "error_type is empty: give the class as letters name it, such as shop.SoldOutError, or "
            "None for any"
        )
    if fingerprint is not None and not FINGERPRINT.fullmatch(str(fingerprint)):
        raise ValueError(
            f"fingerprint must be 12 hexadecimal digits in lower case, as DeadLetter.fingerprint "
            f"is, not {fingerprint!r}"
        )


def _check_moment(name: str, moment: object) -> None:
    if moment is None:
        return
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} must be a datetime, not {moment!r}")
    if moment.utcoffset() is None:
        raise ValueError(
            f"{name} ({moment}) does not say in which time zone it is: give it one, such as "
            "datetime.now(UTC) or moment.astimezone()"
        )
