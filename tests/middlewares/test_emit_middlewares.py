"""`Events(middlewares=...)`: what surrounds an emit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.actors._stage import Stage, listening
from tests.support.waiting import until
from walnats_anyio import Actor, Actors, Event, Events, current_context
from walnats_anyio.middlewares import EmitContext, EmitMiddleware, Middleware

pytestmark = pytest.mark.anyio


class Spans(EmitMiddleware, Middleware):
    """Puts a header on each message, and writes down what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: list[EmitContext] = []
        self.ended: list[BaseException | None] = []

    @contextmanager
    def around_emit(self, ctx: EmitContext, /) -> Iterator[None]:
        self.told.append(ctx)
        ctx.headers["Span"] = ctx.headers.get("Span", "") + self.name
        try:
            yield
        except BaseException as error:
            self.ended.append(error)
            raise
        self.ended.append(None)


async def test_they_surround_each_emit(url: str, event: Event[int]) -> None:
    outer, inner, held = Spans("outer "), Spans("inner"), Spans("held")
    following: Event[int] = Event(f"{event.name}-next", int, storage="memory")
    headers: list[dict[str, str]] = []

    async def handle(message: int) -> None:
        headers.append(current_context().headers)
        await current_context().emit(following, message)

    actors = Actors(
        Actor("a", event, handle, middlewares=(held,)),
        Actor("b", following, lambda _: headers.append(current_context().headers)),
    )
    events = Events(event, following, middlewares=(outer, inner))
    wrong: Any = "seven"
    async with events.connect(url) as emitting, actors.connect(url) as conn:
        await emitting.register()
        await conn.register()
        on = Stage(url, emitting, conn, event)
        async with listening(conn):
            await emitting.emit(event, 7, uid="u", trace_id="t", meta={"Mine": "yes"})
            await until(lambda: len(headers) == 2)
            await on.until_done(*actors)
            with pytest.raises(TypeError):
                await emitting.emit(event, wrong)
            await emitting.emit_many(event, [8, 9])
    first, refused, *many = outer.told
    assert (first.event, first.message, first.uid, first.trace_id) == (event, 7, "u", "t")
    assert {"Mine": "yes", "Span": "outer inner"}.items() <= headers[0].items()
    assert headers[1]["Span"] == "held"
    assert isinstance(inner.ended[1], TypeError)
    assert refused.message == "seven"
    assert [each.message for each in many] == [8, 9]
    assert held.told[0].event is following
    assert held.told[0].trace_id == "t"


async def test_one_that_suppresses_is_told(url: str, event: Event[int]) -> None:
    class Suppressing(EmitMiddleware):
        @contextmanager
        def around_emit(self, ctx: EmitContext, /) -> Iterator[None]:
            with suppress(TypeError):
                yield

    wrong: Any = "seven"
    async with Events(event, middlewares=[Suppressing()]).connect(url) as events:
        with pytest.raises(RuntimeError, match="is not emitted"):
            await events.emit(event, wrong)


@pytest.mark.parametrize("wrong", [Middleware(), "spans", 7])
def test_what_is_no_emit_middleware_is_refused(wrong: Any, event: Event[int]) -> None:
    with pytest.raises(TypeError, match=r"Events\(\) .*middlewares"):
        Events(event, middlewares=[wrong])
    with pytest.raises(TypeError, match=r"Events\(\) middlewares"):
        Events(event, middlewares=wrong)
