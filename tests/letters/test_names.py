"""Names that would be taken for a dead letter, or whose stream is that of all of them."""

from __future__ import annotations

import pytest

import walnats_anyio as walnats


@pytest.mark.parametrize(
    "name",
    [
        "walnats-dead-letters",
        "walnats.dead-letters",
        "walnats-dead.letters",
        "walnats.dead.letters",
        "walnats.dead.shop-placed.pack.1-1",
        "walnats.dead.a",
        "walnats-attempts",
        "walnats.attempts",
        "walnats.attempts.a",
    ],
)
def test_an_event_may_not_be_named_like_what_the_library_keeps_for_itself(name: str) -> None:
    with pytest.raises(ValueError, match=f"event name '{name}' .* keeps for itself"):
        walnats.Event(name, int)


@pytest.mark.parametrize(
    "name",
    [
        "walnats",
        "walnats.dead",
        "walnats.deadly.a",
        "dead.letters",
        "walnats.attempts-made",
        "shop.walnats.dead.a",
    ],
)
def test_others_are_free(name: str) -> None:
    assert walnats.Event(name, int).name == name
