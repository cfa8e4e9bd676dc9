"""Middlewares that write down when they are called."""

from __future__ import annotations

import anyio

from walnats_anyio.middlewares import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)

Calls = list[tuple[str, str, BaseContext]]


class Journal(Middleware):
    """Writes down each call of a plain hook."""

    def __init__(self, name: str, journal: Calls) -> None:
        self.name = name
        self.journal = journal

    def on_start(self, ctx: Context, /) -> None:
        self.journal.append((self.name, "start", ctx))

    def on_failure(self, ctx: ErrorContext, /) -> None:
        self.journal.append((self.name, "failure", ctx))

    def on_success(self, ctx: OkContext, /) -> None:
        self.journal.append((self.name, "success", ctx))


class AsyncJournal(Middleware):
    """Writes down each call of a coroutine hook."""

    def __init__(self, name: str, journal: Calls) -> None:
        self._journal = Journal(name, journal)

    async def on_start(self, ctx: Context, /) -> None:
        await anyio.lowlevel.checkpoint()
        self._journal.on_start(ctx)

    async def on_failure(self, ctx: ErrorContext, /) -> None:
        await anyio.lowlevel.checkpoint()
        self._journal.on_failure(ctx)

    async def on_success(self, ctx: OkContext, /) -> None:
        await anyio.lowlevel.checkpoint()
        self._journal.on_success(ctx)


def told(journal: Calls) -> list[str]:
    return [f"{name} {hook}" for name, hook, _ in journal]


def both(journal: Calls) -> tuple[Middleware, ...]:
    return Journal("first", journal), AsyncJournal("second", journal)
