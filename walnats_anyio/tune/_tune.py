"""What `tune` does: measure with an engine, and conclude."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._link import failures_of, one_or_group
from walnats_anyio._link._parking import is_trio
from walnats_anyio.tune import _law
from walnats_anyio.tune._advice import curve_of, throughput_at
from walnats_anyio.tune._bench import Bench, local_bench
from walnats_anyio.tune._engine import Engine
from walnats_anyio.tune._errors import TuneError
from walnats_anyio.tune._feed import feed
from walnats_anyio.tune._law import Measured, fit_law
from walnats_anyio.tune._machine import machine
from walnats_anyio.tune._messages import check_messages, make_messages
from walnats_anyio.tune._orders import Assignment
from walnats_anyio.tune._plan import Plan, check_budget, check_levels, settings_of
from walnats_anyio.tune._prepare import measured_actor, measured_event
from walnats_anyio.tune._remote import remote_bench
from walnats_anyio.tune._result import Curve, Progress, Setting, Tuning
from walnats_anyio.tune._run import point_of, standard_error
from walnats_anyio.tune._sweep import Sweep
from walnats_anyio.tune._target import choose, load
from walnats_anyio.tune._window import Recorder

Tell = Callable[[Progress], None]


def plan_of(
    actor: Actor[Any, Any] | str,
    name: str | None,
    *,
    messages: Iterable[Any] | None,
    max_jobs: int | Sequence[int],
    workers: Sequence[int],
    batch: Sequence[int | None],
    backends: Sequence[str] | None,
    uvloop: Sequence[bool],
    budget: float,
    connect: dict[str, Any],
    listen: dict[str, Any],
) -> Plan:
    """What the arguments of `tune` mean, checked.

    Raises:
        Exception: what `tune` says of wrong arguments.
    """
    if isinstance(actor, str):
        actors, chosen = load(actor, name)
    else:
        actors = Actors(actor)
        chosen = choose(actors, name)
    if chosen.batch is not None:
        raise ValueError(
            f"actor {chosen.name!r} handles batches, which tune cannot measure: tune a handler of "
            "one message, or compare sizes of batches by hand"
        )
    levels, refine = check_levels(max_jobs)
    plan = Plan(
        actors=actors,
        actor=chosen,
        target=actor if isinstance(actor, str) else None,
        messages=messages_for(chosen, messages),
        levels=levels,
        refine=refine,
        settings=settings_of(backends or (_backend(),), uvloop, workers, batch),
        budget=budget,
        connect=connect,
        listen=listen,
    )
    check(plan)
    return plan


def messages_for(actor: Actor[Any, Any], messages: Iterable[Any] | None) -> tuple[Any, ...]:
    """The messages given, checked; or made ones.

    Raises:
        ValueError, TypeError: they do not fit the schema, or none can be made.
    """
    if messages is None:
        return tuple(make_messages(actor.event))
    given = list(messages)
    check_messages(actor.event, given)
    return tuple(given)


def check(plan: Plan) -> None:
    """Refuse what cannot be done.

    Raises:
        ValueError: settings that need processes, for an actor that lives in this one; options that
            cannot be passed on to processes; a budget that is none.
        ModuleNotFoundError: SciPy is missing.
    """
    check_budget(plan.budget)
    _law.require()
    if plan.target is None:
        here = (Setting(backend=_backend()).backend, False, 1)
        if any((each.backend, each.uvloop, each.workers) != here for each in plan.settings):
            raise ValueError(
                "workers, backends and uvloop are compared in processes: give 'MODULE:NAME' in "
                "place of the Actor, so that they can import it"
            )
        return
    for option, value in plan.connect.items():
        if not isinstance(value, str | int | float | list | tuple | None):
            raise ValueError(  # noqa: TRY004 - right for the Actor itself, wrong for processes
                f"{option} is {type(value).__name__}, which cannot be passed on to processes: give "
                "the Actor itself, or use the command line, which takes files"
            )


def _backend() -> str:
    return "trio" if is_trio() else "asyncio"


async def run(plan: Plan, tell: Tell, scope: anyio.CancelScope) -> Tuning:
    """Measure, and conclude.

    Args:
        plan: what to do.
        tell: called with what is going on.
        scope: cancelling it ends the measuring; what is concluded is from what was measured.

    Raises:
        TuneError: nothing was measured.
    """
    place = machine()
    begin = time.monotonic()
    try:
        engine = await _measure(plan, tell, scope)
    except BaseExceptionGroup as group:
        failures = failures_of(group)
        if not failures:
            raise
        raise one_or_group("tuning failed", failures) from None
    seconds = time.monotonic() - begin
    return conclude(plan, engine.sweeps, engine.complete, seconds, place)


async def _measure(plan: Plan, tell: Tell, scope: anyio.CancelScope) -> Engine:
    async with AsyncExitStack() as stack:
        connect = await stack.enter_async_context(_connected(plan.connect))
        top = max(plan.levels)
        actor = measured_actor(plan.actor, measured_event(plan.actor.event), 1, top, Recorder())
        # Files are for processes; here the context is made of them.
        own = connect | ({"tls": _tls(plan.tls)} if plan.tls else {})
        source = await stack.enter_async_context(feed(own, actor, plan.messages))

        def benches(setting: Setting) -> AbstractAsyncContextManager[Bench]:
            if plan.target is None:
                return local_bench(plan.actors, plan.actor, top, own, plan.listen)
            return remote_bench(_assignment(plan, setting, connect), setting.workers)

        engine = Engine(
            plan.settings,
            plan.levels,
            refine=plan.refine,
            budget=plan.budget,
            benches=benches,
            feed=source,
            tell=tell,
        )
        with scope:
            await engine.run()
        return engine


@asynccontextmanager
async def _connected(connect: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The arguments of `connect`, with a server and with a namespace that nobody else has."""
    parts = [connect.get("namespace"), f"tune-{secrets.token_hex(4)}"]
    connect = connect | {"namespace": ".".join(part for part in parts if part)}
    if connect.get("server") is not None:
        yield connect
        return
    # Here, as a server is started only where none is given.
    from walnats_anyio.testing import NatsServer

    async with NatsServer() as server:
        yield connect | {"server": server.url}


def _tls(files: dict[str, str]) -> Any:
    from walnats_anyio.tune._worker import tls_context

    return tls_context(files)


def _assignment(plan: Plan, setting: Setting, connect: dict[str, Any]) -> Assignment:
    assert plan.target is not None  # for the type checker: else there are no processes
    return Assignment(
        target=plan.target,
        actor=plan.actor.name,
        directory=plan.directory,
        top=max(plan.levels),
        backend=setting.backend,
        uvloop=setting.uvloop,
        connect=connect,
        tls=plan.tls,
        listen=plan.listen,
    )


def conclude(
    plan: Plan,
    sweeps: dict[Setting, Sweep],
    complete: bool,
    seconds: float,
    place: dict[str, str],
) -> Tuning:
    """What follows from the runs.

    Raises:
        TuneError: there are none.
    """
    curves = [
        _curve(plan, setting, sweep)
        for setting, sweep in sweeps.items()
        if any(sweep.throughputs().values())
    ]
    if not curves:
        raise TuneError(f"no level came to its end within {seconds:.1f} s with jobs that succeed")
    best = max(curves, key=lambda curve: throughput_at(curve, curve.recommended_max_jobs))
    advice = best.advice if len(sweeps) == 1 else f"{best.setting}: {best.advice}"
    return Tuning(
        actor=plan.actor.name,
        event=plan.actor.event.name,
        recommended_max_jobs=best.recommended_max_jobs,
        peak_max_jobs=best.peak_max_jobs,
        knee_max_jobs=best.knee_max_jobs,
        advice=advice,
        setting=best.setting,
        points=best.points,
        fit=best.fit,
        curves=tuple(curves),
        complete=complete,
        seconds=seconds,
        machine=place,
    )


def _curve(plan: Plan, setting: Setting, sweep: Sweep) -> Curve:
    points = [point_of(level, runs) for level, runs in sweep.runs.items()]
    values = sweep.throughputs()
    measured = [
        Measured(level, value, standard_error(sweep.runs[level])) for level, value in values.items()
    ]
    fit = fit_law(measured)
    return curve_of(setting, points, values, fit, sweep.noise(), plan.actor.execute_in)
