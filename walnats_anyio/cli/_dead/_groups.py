"""`walnats-anyio dead groups`: dead letters grouped by their error."""

from __future__ import annotations

from typing import Any

from walnats_anyio.cli._dead._options import Desk, Filters
from walnats_anyio.cli._dead._view import in_words, local, show_rows, visible
from walnats_anyio.cli._endings import explained
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.dead_letters import DeadLetters, LetterGroup

NAMES = ("letters", "event", "actor", "reason", "fingerprint")


def groups(*, filters: Filters, desk: Desk) -> None:
    """Show dead letters grouped by event, actor, reason and error, the largest groups first.

    Letters have one fingerprint when they tell of the same error: the same class, the same message
    but for numbers, ids and quoted values, raised in the same place. --fingerprint of `list`,
    `requeue` and `discard` chooses them. Letters that cannot be read are in no group.

    Exit codes: 0 done, also when there are none; 1 something broke; 2 the command is wrong; 3 no
    connection to NATS; 130 or 143 ended by SIGINT or SIGTERM.
    """
    with explained(desk.debug):
        chosen = filters.arguments()
        found: list[LetterGroup] = []

        async def body(dead: DeadLetters) -> None:
            found.extend(await dead.groups(**chosen))

        desk.run(body)
        if found:
            show_rows(NAMES, [(_cells(each), _what_happened(each)) for each in found], desk.screen)
        count = sum(group.count for group in found)
        note(f"{in_words(count)} in {len(found)} group{'' if len(found) == 1 else 's'}")
        write_report(desk.json, {"count": count, "groups": [_as_json(each) for each in found]})


def _cells(group: LetterGroup) -> list[str]:
    return [str(group.count), group.event, group.actor, group.reason, group.fingerprint]


def _what_happened(group: LetterGroup) -> str:
    # To the minute, so that there is room for the error in a terminal.
    first, last = (local(moment)[:-3] for moment in (group.first_at, group.last_at))
    when = last if first == last else f"{first} to {last}"
    error = (group.error_type, " ".join(group.error.split()))
    return visible(": ".join(filter(None, (when, *error))))


def _as_json(group: LetterGroup) -> dict[str, Any]:
    return {
        "event": group.event,
        "actor": group.actor,
        "reason": group.reason,
        "error_type": group.error_type,
        "fingerprint": group.fingerprint,
        "count": group.count,
        "first_at": group.first_at.isoformat(),
        "last_at": group.last_at.isoformat(),
        "sample": group.sample,
        "error": group.error,
    }
