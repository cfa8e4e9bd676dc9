"""`actors=`: only some of a registry's actors are registered and run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors._stage import Stage, listening, stage
from tests.support.recorders import Handled
from walnats_anyio import Actor, Actors, Event, Events, ServerError

pytestmark = pytest.mark.anyio


async def test_only_those_named_run(url: str, event: Event[int]) -> None:
    one, two, three = Handled(), Handled(), Handled()
    actors = [Actor("one", event, one), Actor("two", event, two), Actor("three", event, three)]
    async with stage(url, *actors) as on:
        await on.emit(1)
        async with listening(on.actors, actors=["three", "one"]):
            assert [each.actor for each in on.actors.statistics().actors] == ["one", "three"]
            await on.until_done(actors[0], actors[2])
            assert (await on.consumer(actors[1])).left == 1
        await on.actors.listen(burst=True, actors=("two",))
        await on.until_done(actors[1])
    assert one.messages == two.messages == three.messages == [1]


async def test_only_those_named_are_registered(url: str, event: Event[int]) -> None:
    actors = Actors(Actor("one", event, print), Actor("two", event, print))
    async with Events(event).connect(url) as events, actors.connect(url) as conn:
        await events.register()
        await conn.register(actors=["one"])
        on = Stage(url, events, conn, event)
        one, two = actors
        assert (await on.consumer(one)).left == 0
        with pytest.raises(ServerError, match="consumer not found"):
            await on.consumer(two)


WRONG: list[tuple[Any, type[Exception], str]] = [
    (["one", "nine"], ValueError, "there is no actor 'nine': there is 'one', 'two'"),
    ([], ValueError, "names none"),
    ("one", TypeError, r"such as \['one'\]"),
]


@pytest.mark.parametrize(("names", "error", "text"), WRONG)
async def test_wrong_names(
    url: str, event: Event[int], names: Any, error: type[Exception], text: str
) -> None:
    actors = Actor("one", event, print), Actor("two", event, print)
    async with stage(url, *actors) as on:
        for call in (on.actors.listen, on.actors.register):
            with pytest.raises(error, match=text):
                await call(actors=names)
    with pytest.raises(error, match=text):
        Actors(*actors).run(url, actors=names)
