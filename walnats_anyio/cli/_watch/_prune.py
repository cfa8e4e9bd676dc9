"""`walnats-anyio prune`: what is on the server and declared nowhere any more.

A clock that nobody declares goes on for ever, where nats-server keeps it. But whoever names no
clocks may never have heard of them, so then only those go whose event is declared nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard

import typer
from rich.table import Table
from rich.text import Text

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._actors.declare._fingerprint import FINGERPRINT
from walnats_anyio._events import BaseEvent, Clock, Events
from walnats_anyio._events._kept_schema import SCHEMA
from walnats_anyio._events._known_clocks import KnownClock, forget_clock, known_clocks
from walnats_anyio._link import Link, ServerError, api
from walnats_anyio.cli._clock._target import clocks_in, is_clocks
from walnats_anyio.cli._endings import ExitCode, Problem, code_of_signal, explained
from walnats_anyio.cli._report import write_report
from walnats_anyio.cli._screen import note
from walnats_anyio.cli._target import TargetProblem, Wanted, kind_of, load
from walnats_anyio.cli._watch._options import Post
from walnats_anyio.cli._watch._survey import ActorState, StreamState, Survey

DECLARATIONS = Wanted(
    "actors, events and clocks",
    (Events, BaseEvent, Actors, Actor, Clock),
    "shop:ACTORS for ACTORS in shop.py",
    "ACTORS = Actors(...)",
)


@dataclass(frozen=True)
class Declared:
    """What is declared, by the names that it has without a namespace."""

    events: frozenset[str]
    actors: frozenset[tuple[str, str]]
    """Event and actor."""

    clocks: frozenset[tuple[str, str]] | None = None
    """Event and clock; None: no clocks were named."""

    @classmethod
    def of(cls, targets: Iterable[str]) -> Declared:
        """Import what declares it.

        Raises:
            TargetProblem: something cannot be imported, or is neither actors, events nor clocks.
        """
        events, actors = set[str](), set[tuple[str, str]]()
        clocks: set[tuple[str, str]] | None = None
        for target in targets:
            found, shown = load(target, DECLARATIONS)
            if is_clocks(found):
                named = {(clock.event.name, clock.name) for clock in clocks_in(found, shown)}
                events |= {event for event, _ in named}
                clocks = named if clocks is None else clocks | named
                continue
            for event, actor in _names(found, shown):
                events.add(event)
                if actor is not None:
                    actors.add((event, actor))
        return cls(
            frozenset(events), frozenset(actors), None if clocks is None else frozenset(clocks)
        )


def _names(found: object, shown: str) -> list[tuple[str, str | None]]:
    """The names of what was found: of events, and of actors with their events."""
    if _is_actor(found):
        return [(found.event.name, found.name)]
    if _is_event(found):
        return [(found.name, None)]
    if isinstance(found, Actors):
        return [(actor.event.name, actor.name) for actor in found]
    if isinstance(found, Events):
        return [(event.name, None) for event in found]
    raise TargetProblem(
        f"{shown} holds no actors, no events and no clocks, but {kind_of(found)}",
        "name an Actors, an Actor, an Events, an Event, a Clock, a list of clocks, or a function "
        "that returns one",
    )


def _is_actor(found: object) -> TypeGuard[Actor[Any, Any]]:
    return isinstance(found, Actor)


def _is_event(found: object) -> TypeGuard[BaseEvent[Any]]:
    return isinstance(found, BaseEvent)


@dataclass(frozen=True)
class Spare:
    """Something that no declaration names."""

    what: str
    """"actor", "event" or "clock"."""

    name: str
    event: str
    stream: str
    consumer: str | None
    lost: int
    """Events that would be lost with it."""

    clock: KnownClock | None = None

    def as_json(self) -> dict[str, Any]:
        """It, for a program."""
        return {
            "what": self.what,
            "name": self.name,
            "event": self.event,
            "stream": self.stream,
            "consumer": self.consumer,
            "events": self.lost,
        }


def spare_of(
    declared: Declared,
    streams: Iterable[StreamState],
    actors: Iterable[ActorState],
    *,
    everything: bool,
) -> list[Spare]:
    """Find what no declaration names.

    A consumer is an actor's if it has the fingerprint that `register` leaves. A stream is looked at
    if it keeps a schema, as those of `register` do, or has an actor of ours, and if all of its
    consumers are such. With `everything`, others count as well.
    """
    found: list[Spare] = []
    foreign: set[str] = set()
    known: set[str] = set()
    for actor in actors:
        ours = FINGERPRINT in (actor.config.get("metadata") or {})
        if not (ours or everything):
            foreign.add(actor.stream)
            continue
        known.add(actor.stream)
        if (actor.event, actor.actor) not in declared.actors:
            found.append(
                Spare("actor", actor.actor, actor.event, actor.stream, actor.consumer, actor.left)
            )
    for stream in streams:
        ours = SCHEMA in (stream.config.get("metadata") or {}) or stream.name in known
        if stream.event in declared.events or stream.name in foreign:
            continue
        if ours or everything:
            lost = stream.messages
            found.append(Spare("event", stream.event, stream.event, stream.name, None, lost))
    # An actor goes with its stream, which is deleted last.
    return found


def spare_clocks(
    declared: Declared,
    streams: Iterable[StreamState],
    clocks: Iterable[KnownClock],
    prefix: str = "",
) -> list[Spare]:
    """Find the clocks that no declaration names; `prefix`: the namespace, as streams have it."""
    events = {stream.name: stream.event for stream in streams}
    events |= {f"{prefix}{event.replace('.', '-')}": event for event in declared.events}
    found: list[Spare] = []
    for clock in clocks:
        event = events.get(clock.stream, clock.stream.removeprefix(prefix))
        named = declared.clocks is None or (event, clock.name) in declared.clocks
        if event not in declared.events or not named:
            found.append(Spare("clock", clock.name, event, clock.stream, None, 0, clock))
    return found


def prune(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:NAME...",
            help="All that is declared: shop:ACTORS is ACTORS in shop.py of the current directory. "
            "Actors, events and clocks of all programs that share the server.",
        ),
    ],
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete what is found, after a question.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also consumers that no `register` of this library has made, and streams "
            "that have such ones.",
        ),
    ] = False,
    post: Post,
) -> None:
    """Find actors, events and clocks on the server that no declaration names any more.

    The consumer of such an actor keeps every event of its stream until it is deleted. Where no
    clock is named, only clocks whose event is not declared are found. Without --delete nothing is
    changed. Only streams that keep one event, as `register` makes them, and in
    the namespace given, are looked at.

    Exit codes: 0 done; 1 something broke, or could not be deleted; 2 the command or a module is
    wrong, or the question was answered with no; 3 no connection to NATS; 130 or 143 ended by SIGINT
    or SIGTERM.
    """  # fmt: skip
    with explained(post.debug):
        declared = Declared.of(targets)
        found: list[Spare] = []
        deleted: list[Spare] = []
        failed: list[tuple[Spare, str]] = []

        async def look(link: Link) -> None:
            survey = Survey(link)
            streams, actors = await survey.streams(), await survey.actors()
            # A clock goes before the stream that it would emit to.
            clocks, prefix = await _clocks(link, declared), link.prefixes.stream("")
            found.extend(spare_clocks(declared, streams, clocks, prefix))
            found.extend(spare_of(declared, streams, actors, everything=everything))

        async def remove(link: Link) -> None:
            for spare in found:
                try:
                    await _delete(link, spare)
                except ServerError as error:
                    failed.append((spare, str(error)))
                else:
                    deleted.append(spare)

        _run(post, look)
        _show(found, post)
        if delete and found:
            _confirm(found, yes=yes)
            _run(post, remove)
            for spare, error in failed:
                note(f"{spare.what} {spare.name!r} cannot be deleted: {error}")
            note(f"{len(deleted)} deleted" + (f", {len(failed)} not" if failed else ""))
        report = {"found": found, "deleted": deleted, "failed": [spare for spare, _ in failed]}
        write_report(
            post.json, {name: [each.as_json() for each in some] for name, some in report.items()}
        )
        if failed:
            raise typer.Exit(ExitCode.BROKEN)


def _run(post: Post, body: Any) -> None:
    if (signal := post.run("prune", body)) is not None:
        raise typer.Exit(code_of_signal(signal))


async def _clocks(link: Link, declared: Declared) -> list[KnownClock]:
    try:
        return await known_clocks(link)
    except ServerError as error:
        if declared.clocks is not None:
            raise
        # Whoever may look after actors need not have the right to see clocks.
        note(f"clocks are left out, as they cannot be seen: {error}")
        return []


def _show(found: list[Spare], post: Post) -> None:
    if not found:
        note("everything on the server is declared")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("declared nowhere", "name", "event"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column("events that go with it", justify="right")
    for spare in found:
        table.add_row(spare.what, Text(spare.name), Text(spare.event), f"{spare.lost:,}")
    post.screen.print(table)


def _confirm(found: list[Spare], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Problem(
            "--delete asks before it deletes, and there is no terminal to ask",
            hint="add --yes",
            code=ExitCode.USAGE,
        )
    lost = sum(spare.lost for spare in found)
    if not typer.confirm(f"Delete these {len(found)}, with {lost:,} events?", err=True):
        raise typer.Exit(ExitCode.USAGE)


async def _delete(link: Link, spare: Spare) -> None:
    if spare.clock is not None:
        await forget_clock(link, spare.clock)
    elif spare.consumer is None:
        await api(link, f"STREAM.DELETE.{spare.stream}")
    else:
        await api(link, f"CONSUMER.DELETE.{spare.stream}.{spare.consumer}")
