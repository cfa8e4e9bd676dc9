"""The tables of docs/guides/registering.md are those of the code."""

from __future__ import annotations

import pytest

from tests.docs._blocks import ROOT
from walnats_anyio._actors.pull._consumer_rules import CONSUMER_RULES
from walnats_anyio._actors.pull._intake import STATUSES, Meaning
from walnats_anyio._events import Action
from walnats_anyio._events._stream_rules import STREAM_RULES

STREAM = [f"| `{rule.field}` | {rule.register.value} | {rule.effect} |" for rule in STREAM_RULES]

LISTEN = {Action.REFUSE: "refused", Action.WARN: "worked with, with a warning", Action.KEEP: ""}

CONSUMER = [
    f"| `{rule.field}` | {rule.register.value} | {LISTEN[rule.listen]} | {rule.effect} |"
    for rule in CONSUMER_RULES
]

LOOKS = "asks again after a second, and looks at the consumer"
LOOKS_FOR_A_WHILE = f"{LOOKS}; ends with a `ServerError` after 30 s"

DONE = {
    Meaning.ALIVE: "goes on waiting",
    Meaning.COMPLETED: "goes on; it has asked again when the last event came",
    Meaning.EMPTY: "asks again; ends a burst",
    Meaning.EXPIRED: "asks again; ends a burst",
    Meaning.TOO_LARGE: "asks again, for more bytes if no event came before",
    Meaning.AGAIN: "asks again",
    Meaning.LATER: LOOKS,
    Meaning.DELETED: LOOKS_FOR_A_WHILE,
    Meaning.REFUSED: LOOKS_FOR_A_WHILE,
    Meaning.NOTHING: "ignores the message",
    Meaning.UNKNOWN: LOOKS_FOR_A_WHILE,
}

STATUS = [
    f"| {code or 'none'} | {beginning or 'any'} | {DONE[meaning]} |"
    for code, beginning, meaning in STATUSES
] + [f"| any other | any other | {DONE[Meaning.UNKNOWN]} |"]


@pytest.mark.parametrize(
    ("heading", "rows"),
    [("Streams", STREAM), ("Consumers", CONSUMER), ("Statuses of a pull request", STATUS)],
)
def test_a_table_of_the_docs_is_that_of_the_code(heading: str, rows: list[str]) -> None:
    page = (ROOT / "docs" / "guides" / "registering.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| ")][2:] == rows


def test_each_field_has_one_rule() -> None:
    for rules in (STREAM_RULES, CONSUMER_RULES):
        assert len({rule.field for rule in rules}) == len(rules)


def test_what_is_refused_has_a_remedy() -> None:
    refusing = {Action.REFUSE, Action.FORCE}
    assert [r.field for r in (*STREAM_RULES, *CONSUMER_RULES)
            if refusing & {r.register, r.listen} and not r.remedy] == []  # fmt: skip
