"""Names, descriptions and limits."""

from __future__ import annotations

import pytest

from tests.linter._checking import PRELUDE, codes_in
from walnats_anyio import Actor, Event
from walnats_anyio.linter import check_source

PLACED = Event("placed", int)


async def handle(message: int) -> None: ...


CODE_OF = {
    "''": "1",
    repr("a" * 65): "2",
    repr("a" * 300): "2",
    "'user created'": "3",
    "'user.*'": "3",
    "'a>'": "3",
    "'a/b'": "3",
    "'a\\\\b'": "3",
    "'tab\\there'": "3",
    "'\\u200b'": "3",
    "'\\ud800'": "3",
    "'UserCreated'": "4",
    "'user_created'": "4",
    "'-user'": "4",
    "'user-'": "4",
    "'user--created'": "4",
    "'user'": "",
    "'user-created-2'": "",
    repr("a" * 64): "",
    "'größe'": "",
}
"""The last digit of the code for each name."""


@pytest.mark.parametrize(("name", "digit"), CODE_OF.items(), ids=str)
@pytest.mark.parametrize("by", ["", "name="], ids=["by position", "by name"])
def test_names(name: str, digit: str, by: str) -> None:
    rest = "EVENT, handler" if not by else "event=EVENT, handler=handler"
    schema = "int" if not by else "schema=int"
    assert codes_in(f"Event({by}{name}, {schema})") == [f"WNS00{digit}"] * bool(digit)
    assert codes_in(f"Actor({by}{name}, {rest})") == [f"WNS02{digit}"] * bool(digit)


@pytest.mark.parametrize(
    ("name", "event", "actor"),
    [
        ("user.created", None, "WNS023"),
        ("user.Created", "WNS004", "WNS023"),
        (".user", "WNS003", "WNS023"),
        ("user.", "WNS003", "WNS023"),
        ("user..created", "WNS003", "WNS023"),
        ("$JS", "WNS003", "WNS024"),
        ("_INBOX.user", "WNS003", "WNS023"),
        ("walnats.dead.user", "WNS003", "WNS023"),
        ("walnats.attempts", "WNS003", "WNS023"),
        ("walnats-dead-letters", "WNS003", None),
    ],
)
def test_names_that_differ_between_events_and_actors(
    name: str, event: str | None, actor: str | None
) -> None:
    assert codes_in(f"Event({name!r}, int)") == [event] * (event is not None)
    assert codes_in(f"Actor({name!r}, EVENT, handler)") == [actor] * (actor is not None)


NAMES = [
    *(f"a{chr(number)}b" for number in (*range(0x300), 0x200B, 0x2028, 0xD800, 0xFEFF, 0x1F600)),
    *("", ".", "a.", ".a", "a..b", "$a", "a$", "_R_", "_GR_.a", "_INBOX", "_INBOXES.a"),
    *("walnats.dead", "walnats.dead.a", "walnats.deadly", "walnats-attempts", "walnats.attempts.a"),
]


REFUSED = {"WNS001", "WNS003", "WNS021", "WNS023"}


def is_refused(kind: str, name: str) -> bool:
    try:
        if kind == "Event":
            Event(name, int)
        else:
            Actor(name, PLACED, handle)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("kind", ["Event", "Actor"])
def test_it_refuses_the_names_that_the_library_refuses(kind: str) -> None:
    """But long ones, of which the library takes more."""
    calls = [f"{kind}({name!r}, EVENT, handler)" for name in NAMES]
    first = PRELUDE.count("\n") + 1
    found = {each.line for each in check_source(PRELUDE + "\n".join(calls)) if each.code in REFUSED}
    refused = {line for line, name in enumerate(NAMES, first) if is_refused(kind, name)}
    assert [NAMES[line - first] for line in found ^ refused] == []


@pytest.mark.parametrize(
    ("description", "digit"),
    [
        ("''", "5"),
        ("' '", "5"),
        ("'é' * 2049", "6"),
        ("'a' * 4097", "6"),
        ("'a' * 4096", ""),
        ("None", ""),
        ("TEXT", ""),
        ("f'{EVENT}'", ""),
    ],
)
def test_descriptions(description: str, digit: str) -> None:
    by_name = f"description={description}"
    for event in (f"Event('a', int, None, {description})", f"Event('a', int, {by_name})"):
        assert codes_in(event) == [f"WNS00{digit}"] * bool(digit)
    for actor in (f"Actor('a', EVENT, do, {description})", f"Actor('a', EVENT, do, {by_name})"):
        assert codes_in(actor) == [f"WNS02{digit}"] * bool(digit)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("age=0", ["WNS011"]),
        ("age=-1", ["WNS011"]),
        ("0.05", ["WNS011"]),
        ("age=0.1", []),
        ("24 * 3600", []),
        ("consumers=0", ["WNS011"]),
        ("None, -1", ["WNS011"]),
        ("messages=-10**3", ["WNS011"]),
        ("bytes=0", ["WNS011"]),
        ("None, None, None, None, 0", ["WNS011"]),
        ("message_size=1", []),
        ("None", []),
        ("age=0, bytes=0", ["WNS011", "WNS011"]),
        ("age=24 * 3600 * 10**9", ["WNS012"]),
        ("age=1e9", ["WNS012"]),
        ("age=1e9 - 1", []),
        ("age=float('inf')", []),
        ("age=1e400", ["WNS012"]),
        ("age=-1e400", ["WNS011"]),
        ("age=1e400 * 0", ["WNS011"]),
        (f"age=0x{'f' * 5000}", []),
        (f"-0x{'f' * 5000}", []),
        ("age='1d'", ["WNS012"]),
        ("age=timedelta(days=1)", ["WNS012"]),
        ("age=timedelta(days=1).total_seconds()", []),
        ("age=DAY", ["WNS012"]),
        ("age=DAY * 3", ["WNS012"]),
        ("age=3 * DAY", ["WNS012"]),
        ("age=DAY / DAY", []),
        ("age=seconds()", []),
        ("*given", []),
        ("**given", []),
        ("age=True", []),
    ],
)
def test_limits(limits: str, expected: list[str]) -> None:
    given = "from datetime import timedelta\nDAY = timedelta(days=1)\n"
    assert codes_in(f"{given}Limits({limits})") == expected


def test_a_message_says_what_to_do_and_where() -> None:
    source = "import walnats_anyio\nprint('ö'); walnats_anyio.Event('Größe', int)\n"
    [found] = check_source(source)
    assert (found.line, found.column) == (2, 33)
    assert str(found) == (
        "2:33: WNS004 event name 'Größe' is not kebab-case: use lower-case letters, digits and '-'"
        " in each part between dots"
    )


def test_limits_that_are_changed() -> None:
    assert codes_in("Limits().evolve(messages=0)") == ["WNS011"]
    assert codes_in("LIMITS = Limits(age=60)\nLIMITS.evolve(age=0.01)") == ["WNS011"]
    assert codes_in("Limits().evolve(messages=1)\nOTHERS.evolve(messages=0)") == []
