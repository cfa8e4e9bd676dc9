"""All that happens to the events of one actor, under one domain, prefix or namespace."""

from __future__ import annotations

from typing import Any

import anyio

import walnats_anyio as walnats
from tests.actors._stage import listening, stage
from tests.support.waiting import until
from walnats_anyio.dead_letters import DeadLetter, DeadLetters
from walnats_anyio.middlewares import Middleware
from walnats_anyio.types import Context


class Attempts(Middleware):
    """Notes the attempts of each message, and whose they are."""

    def __init__(self) -> None:
        self.of: dict[Any, list[int]] = {}
        self.actors: list[Any] = []

    async def on_start(self, context: Context) -> None:
        self.of.setdefault(context.message, []).append(context.attempts)
        self.actors.append(context.actor)


class Life:
    """An actor that holds the message `"hold"` for ever and fails `"fail"`, until it is mended."""

    def __init__(self, event: walnats.Event[str]) -> None:
        self.attempts = Attempts()
        self.handled: list[str] = []
        self.event = event
        self.actor = walnats.Actor(
            "pack",
            event,
            self._handle,
            max_attempts=3,
            retry_delay=(),
            middlewares=(self.attempts,),
        )
        self._mended = False

    async def _handle(self, message: str) -> None:
        if not self._mended:
            if message == "hold":
                await anyio.sleep_forever()
            if message == "fail":
                raise RuntimeError("it fails")
        self.handled.append(message)

    async def live(self, url: str, **options: Any) -> DeadLetter:
        """Register, emit, hand back, fail, dead-letter, requeue, handle; gives the letter."""
        self._mended = False
        async with stage(url, self.actor, **options) as on:
            await self._hand_back(url, **options)
            async with listening(on.actors):
                await on.emit("fail")
                async with DeadLetters.connect(url, **options) as dead:
                    await until(lambda: _has_letter(dead))
                    [letter] = [letter async for letter in dead.letters(actor=self.actor)]
                    assert await dead.get(letter.number) == letter
                    self._mended = True
                    await dead.requeue(letter)
                    assert await dead.count() == 0
                await until(lambda: self.handled == ["hold", "fail"])
            # The server has every acknowledgement: nothing would come again.
            await on.until_done(self.actor)
        # The first run was handed back and is none, as a note says that must have been read.
        assert self.attempts.of["hold"] == [1, 1]
        # A server with leafnodes delivers for 2 seconds to inboxes that are gone, and counts the
        # first time: so the first run of an event may count as its second.
        assert self.attempts.of["fail"][-2:] in ([3, 1], [3, 2])
        # What a program sees is what it declared.
        assert all(actor is self.actor for actor in self.attempts.actors)
        return letter

    async def _hand_back(self, url: str, **options: Any) -> None:
        """Have a run cut short; whoever gets the event next reads in a note that it was none."""
        async with stage(url, self.actor, **options) as on:
            await on.emit("hold")
            async with listening(on.actors) as tasks:
                await until(lambda: "hold" in self.attempts.of)
                tasks.cancel_scope.cancel()
        self._mended = True
        async with stage(url, self.actor, **options) as on, listening(on.actors):
            await until(lambda: self.handled == ["hold"])
        self._mended = False


async def _has_letter(dead: DeadLetters) -> bool:
    return await dead.count() == 1
