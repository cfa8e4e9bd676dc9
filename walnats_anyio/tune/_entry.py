"""`tune`, the function: what everybody imports, so that it imports nothing before it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anyio

from walnats_anyio._actors import Actor
from walnats_anyio.tune._result import Progress, Tuning

TOP = 128
"""The highest level unless something else is asked for."""

BUDGET = 60.0
"""Seconds that it takes unless something else is asked for."""


async def tune(
    actor: Actor[Any, Any] | str,
    server: str | Sequence[str] | None = None,
    *,
    name: str | None = None,
    messages: Iterable[Any] | None = None,
    max_jobs: int | Sequence[int] = TOP,
    workers: Sequence[int] = (1,),
    batch: Sequence[int | None] = (None,),
    backends: Sequence[str] | None = None,
    uvloop: Sequence[bool] = (False,),
    budget: float = BUDGET,
    max_threads: int | None = None,
    max_processes: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    domain: str | None = None,
    js_prefix: str | None = None,
    namespace: str | None = None,
    **options: Any,
) -> Tuning:
    """Find the `max_jobs` that suits an actor's handler, by running it.

        tuning = await tune("shop.workers:SEND_EMAIL")
        print(tuning.advice)

    The handler is really run, thousands of times: give messages, and an environment, with which it
    may. Its jobs are run at several levels of `max_jobs`, each of them several times in random
    order, and the Universal Scalability Law is fitted to the throughput. Streams of the actor's are
    never touched: those that are made have a namespace of their own, and are deleted at the end.

    Blocks for about `budget` seconds, and longer where one run of each level takes longer: so much
    is always measured. Cancelled, it cleans up within 15 seconds, and nothing of it is left.

    Args:
        actor: "MODULE:NAME" of an `Actors`, an `Actor`, or a function that returns one of them. It
            is run in processes of its own, with what its module makes. Or the `Actor` itself: it
            is run in this process and in this event loop, with what the handler finds there.
        server: a URL, or a list of URLs. None: a server is started (extra `server`).
        name: the name of the actor, where `actor` names several.
        messages: what the handler gets, again and again. None: made from the event's schema.
        max_jobs: the highest level; levels below it are chosen. Or a list of the levels. Default
            128.
        workers: numbers of processes to compare. Default 1.
        batch: values of `batch` of `listen` to compare. Default None.
        backends: event loops to compare, of "asyncio" and "trio". None: the one that runs.
        uvloop: `(False, True)` compares asyncio without and with uvloop. Default without.
        budget: seconds after which only the first round is finished. At least 1, default 60.
        max_threads: as of `listen`.
        max_processes: as of `listen`.
        progress: called when a level begins and when it is over, in the event loop.
        domain: as of `Actors.connect`.
        js_prefix: as of `Actors.connect`.
        namespace: comes before the namespace that is made up.
        options: as of `Actors.connect`; for processes they must be texts, numbers or bools.

    Returns:
        What was measured, and what is recommended.

    Raises:
        TuneError: nothing could be measured: every job fails, or its process dies.
        ValueError: an argument is out of its range, or no messages can be made from the schema.
        TypeError: an argument is of a wrong type.
        ModuleNotFoundError: SciPy is missing (extra `tune`), or what is to be compared.
        ConnectError: no server could be reached.
    """
    from walnats_anyio.tune._tune import plan_of, run

    names = {"domain": domain, "js_prefix": js_prefix, "namespace": namespace}
    plan = plan_of(
        actor,
        name,
        messages=messages,
        max_jobs=max_jobs,
        workers=workers,
        batch=batch,
        backends=backends,
        uvloop=uvloop,
        budget=budget,
        connect={"server": server, **names, **options},
        listen={"max_threads": max_threads, "max_processes": max_processes},
    )
    return await run(plan, progress or (lambda _: None), anyio.CancelScope())
