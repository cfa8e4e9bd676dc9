"""Names, descriptions and limits of events and actors: what NATS, or a reader, does not take."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass

from walnats_anyio.linter import _codes as codes
from walnats_anyio.linter._arguments import LIMITS, Arguments
from walnats_anyio.linter._scopes import Scope
from walnats_anyio.linter._values import UNKNOWN, Located, dotted, origin

Problem = tuple[ast.expr | ast.ExceptHandler, str, str]
"""Where, which code, and what to say."""

LONGEST_NAME = 64
"""Characters of a name that people and tools can still show. The library refuses over 255 bytes."""

LONGEST_DESCRIPTION = 4096
"""Bytes that NATS takes as a description."""

LONGEST_AGE = 10**9
"""Seconds, 31 years: a longer age was meant in another unit."""

SHORTEST_AGE = 0.1

RESERVED = {"_INBOX", "_R_", "_GR_"}
OWN_SUBJECTS = (
    "walnats.dead.",
    "walnats.attempts.",
    "walnats.limit.",
    "walnats.schedules.",
    "walnats.due.",
    "walnats.clocks.",
    "walnats.control.",
)
OWN_STREAMS = {
    "walnats-dead-letters",
    "walnats-attempts",
    "walnats-schedules",
    "walnats-clocks",
}
OWN_STREAM_PREFIX = "walnats-limit-"
"""What the library keeps for itself. The tests compare it with what it refuses."""


@dataclass(frozen=True)
class NameCodes:
    """The codes for one kind of declaration."""

    kind: str
    empty: str
    too_long: str
    invalid: str
    not_kebab_case: str
    description_empty: str
    description_too_long: str


EVENT = NameCodes(
    "event",
    codes.EVENT_NAME_EMPTY,
    codes.EVENT_NAME_TOO_LONG,
    codes.EVENT_NAME_INVALID,
    codes.EVENT_NAME_NOT_KEBAB_CASE,
    codes.EVENT_DESCRIPTION_EMPTY,
    codes.EVENT_DESCRIPTION_TOO_LONG,
)

ACTOR = NameCodes(
    "actor",
    codes.ACTOR_NAME_EMPTY,
    codes.ACTOR_NAME_TOO_LONG,
    codes.ACTOR_NAME_INVALID,
    codes.ACTOR_NAME_NOT_KEBAB_CASE,
    codes.ACTOR_DESCRIPTION_EMPTY,
    codes.ACTOR_DESCRIPTION_TOO_LONG,
)


def check_texts(arguments: Arguments, of: NameCodes) -> Iterator[Problem]:
    """Check the name and the description of an event or an actor."""
    name = arguments.value("name")
    if isinstance(name, str):
        for code, text in _name_problems(name, of):
            yield arguments.given["name"], code, f"{of.kind} name {text}"
    description = arguments.value("description")
    if isinstance(description, str):
        where = arguments.given["description"]
        size = len(description.encode(errors="surrogatepass"))
        if not description.strip():
            yield where, of.description_empty, f"{of.kind} description is empty: leave it out"
        elif size > LONGEST_DESCRIPTION:
            yield (
                where,
                of.description_too_long,
                f"{of.kind} description is {size} bytes long: NATS takes {LONGEST_DESCRIPTION}",
            )


def _name_problems(name: str, of: NameCodes) -> Iterator[tuple[str, str]]:
    if not name:
        yield of.empty, "is empty: give it at least one letter"
        return
    if len(name) > LONGEST_NAME:
        yield of.too_long, f"is {len(name)} characters long: use at most {LONGEST_NAME}"
    problem = _symbol_problem(name) or (
        _subject_problem(name) if of is EVENT else _consumer_problem(name)
    )
    if problem is not None:
        yield of.invalid, problem
    elif not _is_kebab_case(name):
        parts = " in each part between dots" if of is EVENT else ""
        yield (
            of.not_kebab_case,
            f"{_shown(name)} is not kebab-case: use lower-case letters, digits and '-'{parts}",
        )


def _symbol_problem(name: str) -> str | None:
    for char in name:
        if char in "*>/\\ " or not char.isprintable():
            return f"{_shown(name)} contains {char!r}, which it cannot have: use '-' instead"
    return None


def _subject_problem(name: str) -> str | None:
    parts = name.split(".")
    if "" in parts:
        return f"{_shown(name)} has an empty part: no '.' at either end, nor two in a row"
    if name.startswith("$") or parts[0] in RESERVED:
        return f"{_shown(name)} begins with what NATS keeps for itself: begin with a word"
    stream = name.replace(".", "-")
    if (
        name.startswith(OWN_SUBJECTS)
        or stream in OWN_STREAMS
        or stream.startswith(OWN_STREAM_PREFIX)
    ):
        return f"{_shown(name)} is one that the library keeps for itself: choose another"
    return None


def _consumer_problem(name: str) -> str | None:
    return f"{_shown(name)} contains '.': use '-' instead" if "." in name else None


def _is_kebab_case(name: str) -> bool:
    words = [word for part in name.split(".") for word in part.split("-")]
    return all(word.isalnum() and word == word.lower() for word in words)


def _shown(name: str) -> str:
    return repr(name) if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]!r}..."


def check_limits(arguments: Arguments) -> Iterator[Problem]:
    """Check the values of `Limits`."""
    for name in LIMITS:
        value = arguments.value(name)
        if _is_number(value) and not value >= (SHORTEST_AGE if name == "age" else 1):
            least = f"{SHORTEST_AGE} seconds" if name == "age" else "1"
            text = f"limit {name} must be at least {least}, not {value!r}; None is no limit"
            yield arguments.given[name], codes.LIMIT_NOT_POSITIVE, text
    yield from _check_age(arguments)


def _check_age(arguments: Arguments) -> Iterator[Problem]:
    age = arguments.value("age")
    where = arguments.given.get("age")
    if where is None:
        return
    if _is_number(age) and age >= LONGEST_AGE:
        years = "for ever" if math.isinf(age) else f"{age / (365 * 24 * 3600):.0f} years"
        yield where, codes.AGE_NOT_IN_SECONDS, f"limit age is in seconds, and this is {years}"
    if isinstance(age, str):
        text = f"limit age must be a number of seconds, not {age!r}"
        yield where, codes.AGE_NOT_IN_SECONDS, text
    if _is_timedelta(where, arguments.scope):
        text = "limit age must be a number of seconds: add .total_seconds()"
        yield where, codes.AGE_NOT_IN_SECONDS, text


def _is_timedelta(node: ast.expr, scope: Scope) -> bool:
    made, scope = origin(node, scope)
    if isinstance(made, ast.BinOp) and isinstance(made.op, ast.Mult):
        made, scope = next(
            (
                each
                for each in (origin(made.left, scope), origin(made.right, scope))
                if isinstance(each.node, ast.Call)
            ),
            Located(made, scope),
        )
    return isinstance(made, ast.Call) and dotted(made.func, scope) == "datetime.timedelta"


def _is_number(value: object) -> bool:
    return value is not UNKNOWN and isinstance(value, int | float) and not isinstance(value, bool)
