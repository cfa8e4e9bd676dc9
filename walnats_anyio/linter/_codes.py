"""What the linter finds, one code for each kind of mistake."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of mistake."""

    name: str
    """How it is called in output and in `# noqa`: `WNS` and three digits."""

    title: str
    """What is wrong, in a few words."""

    by_default: bool = True
    """Whether it is looked for unless it is asked for by name."""


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake in one place."""

    line: int
    """The line, from 1."""

    column: int
    """The column in characters, from 1."""

    code: str
    """The code, such as `WNS001`."""

    message: str
    """What is wrong and what to do about it, in one line."""

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.code} {self.message}"


UNREADABLE = "WNS000"
EVENT_NAME_EMPTY = "WNS001"
EVENT_NAME_TOO_LONG = "WNS002"
EVENT_NAME_INVALID = "WNS003"
EVENT_NAME_NOT_KEBAB_CASE = "WNS004"
EVENT_DESCRIPTION_EMPTY = "WNS005"
EVENT_DESCRIPTION_TOO_LONG = "WNS006"
LIMIT_NOT_POSITIVE = "WNS011"
AGE_NOT_IN_SECONDS = "WNS012"
ACTOR_NAME_EMPTY = "WNS021"
ACTOR_NAME_TOO_LONG = "WNS022"
ACTOR_NAME_INVALID = "WNS023"
ACTOR_NAME_NOT_KEBAB_CASE = "WNS024"
ACTOR_DESCRIPTION_EMPTY = "WNS025"
ACTOR_DESCRIPTION_TOO_LONG = "WNS026"
BLOCKING_CALL = "WNS031"
SWALLOWED_VERDICT = "WNS032"
WITHOUT_END = "WNS033"
TIMEOUT_ABOVE_ACK_WAIT = "WNS034"
NOT_IMPORTABLE = "WNS035"
NO_MAIN_GUARD = "WNS036"
TAKES_NO_LIST = "WNS037"

CODES = {
    code.name: code
    for code in (
        Code(UNREADABLE, "file cannot be read as Python"),
        Code(EVENT_NAME_EMPTY, "event name is empty"),
        Code(EVENT_NAME_TOO_LONG, "event name is too long"),
        Code(EVENT_NAME_INVALID, "event name has invalid symbols"),
        Code(EVENT_NAME_NOT_KEBAB_CASE, "event name is not kebab-case"),
        Code(EVENT_DESCRIPTION_EMPTY, "event description is empty"),
        Code(EVENT_DESCRIPTION_TOO_LONG, "event description is too long"),
        Code(LIMIT_NOT_POSITIVE, "limit must be positive"),
        Code(AGE_NOT_IN_SECONDS, "age must be in seconds"),
        Code(ACTOR_NAME_EMPTY, "actor name is empty"),
        Code(ACTOR_NAME_TOO_LONG, "actor name is too long"),
        Code(ACTOR_NAME_INVALID, "actor name has invalid symbols"),
        Code(ACTOR_NAME_NOT_KEBAB_CASE, "actor name is not kebab-case"),
        Code(ACTOR_DESCRIPTION_EMPTY, "actor description is empty"),
        Code(ACTOR_DESCRIPTION_TOO_LONG, "actor description is too long"),
        Code(BLOCKING_CALL, "handler blocks the event loop"),
        Code(SWALLOWED_VERDICT, "handler swallows Retry, Reject and Snooze"),
        Code(WITHOUT_END, "actor retries for ever", by_default=False),
        Code(TIMEOUT_ABOVE_ACK_WAIT, "job_timeout is above ack_wait without pulse"),
        Code(NOT_IMPORTABLE, "handler cannot be imported by a worker process"),
        Code(NO_MAIN_GUARD, "script has no guard"),
        Code(TAKES_NO_LIST, "batch handler takes no list"),
    )
}
"""Every code by its name. A code is never used for anything else, also when it is gone."""
