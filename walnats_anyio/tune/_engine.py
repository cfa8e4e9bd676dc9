"""Running the levels: rounds of settings, each with new processes, until all is known.

A setting gets new processes in each round, which then run all its levels of that round. New ones,
so that what piles up in a process is not taken for the effect of a level; the same ones for many
levels, as importing the program takes longer than a level does. Levels and settings are in random
order.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import anyio

from walnats_anyio.tune._bench import Bench
from walnats_anyio.tune._errors import TuneError
from walnats_anyio.tune._feed import Feed
from walnats_anyio.tune._process import ProcessDiedError
from walnats_anyio.tune._result import Progress, Setting
from walnats_anyio.tune._run import Run, Sketch, Window
from walnats_anyio.tune._sweep import Sweep

WARM_UP = 0.25
"""Seconds of a level that are not counted, at least."""

LEAST = 0.3
"""Seconds of a window at least."""

MOST = 5.0
"""Seconds of a window at most, however much time there is."""

OVERHEAD = 0.4
"""Seconds of a run in which nothing is measured: filling, connecting, stopping."""

TIGHT = 0.03
"""Half of the 95 % confidence interval of the throughput that is aimed at, as a share."""

LOAD = 0.8
"""Share of the throughput at which events come while the queueing is measured."""

EXTRA_RUNS = 14
"""Runs beside two of each level of the grid: levels in between, and repetitions."""

FAST = 2000.0
"""Jobs per second from which on a short window has enough of them."""

SHORT = 0.6
"""Seconds of that short window at most: each job of a longer one would have to be emitted."""

JOBS_LONG = 2.0
"""Durations of a job that a window has at least."""

LONGEST = 10.0
"""Seconds up to which a window is made longer for that."""

EVENTS_QUEUED = 200
"""Events by which the queueing is measured, if there is time for that."""

MOST_QUEUEING = 1.0
"""Seconds that the queueing is measured for at most."""

IN_STOCK = 1.5
"""How many times the events that a window should need are in the stream when it begins."""

FIRST_GUESS = 1000.0
"""Jobs per second that the first level may do, for all that is known."""

MOST_GUESSED = 20_000.0
"""Jobs per second that are expected of a level that was not measured, at most."""

REFILLS = 3
"""Times that a window is measured again because the stream ran empty."""

DEATHS = 3
"""Processes that may die before it is given up."""


Benches = Callable[[Setting], AbstractAsyncContextManager[Bench]]
"""Makes a bench for one round of a setting."""


class Engine:
    """Runs levels, and keeps what was measured."""

    def __init__(
        self,
        settings: Sequence[Setting],
        levels: Sequence[int],
        *,
        refine: bool,
        budget: float,
        benches: Benches,
        feed: Feed,
        tell: Callable[[Progress], None],
    ) -> None:
        self.sweeps = {
            setting: Sweep(levels, refine=refine, seed=number)
            for number, setting in enumerate(settings)
        }
        """What was measured in each setting."""
        self.complete = False
        """Whether all is known."""
        self._told_budget = budget
        self._budget, self._benches, self._feed, self._tell = budget, benches, feed, tell
        planned = (2 * len(levels) + (EXTRA_RUNS if refine else len(levels))) * len(settings)
        spare = budget / planned - OVERHEAD - WARM_UP
        self._most = min(MOST, max(LEAST, spare))
        self._begin = time.monotonic()
        self._cores = os.cpu_count() or 1
        self._random = random.Random(len(levels))
        self._rates: dict[int, float] = {}
        self._runs = self._deaths = 0
        self._failure = ""

    async def run(self) -> None:
        """Run rounds until all is known or the budget is spent.

        Raises:
            TuneError: nothing can be measured.
        """
        waiting = list(self.sweeps)
        while waiting:
            self._random.shuffle(waiting)
            for setting in list(waiting):
                levels = self.sweeps[setting].next_round()
                if not levels:
                    waiting.remove(setting)
                    continue
                await self._round(setting, levels)
                self._check(setting)
                if self._spent():
                    await self._decide()
                    return
        self.complete = True

    async def _decide(self) -> None:
        """Measure once more what decides: a single run may be anything."""
        self._budget = math.inf
        for setting, sweep in self.sweeps.items():
            if levels := sweep.undecided():
                await self._round(setting, levels)

    async def _round(self, setting: Setting, levels: list[int]) -> None:
        """Run some levels of a setting, in new processes."""
        level = levels[0]
        try:
            async with self._benches(setting) as bench:
                for level in levels:
                    if self._spent():
                        return
                    await self._level(bench, setting, level)
        except ProcessDiedError as error:
            self._deaths += 1
            self._failure = str(error)
            if self._deaths >= DEATHS or not self._runs:
                raise TuneError(str(error)) from error
            self.sweeps[setting].give_up(level)

    def _check(self, setting: Setting) -> None:
        """See after a round whether jobs succeed at some level at least.

        Raises:
            TuneError: they do not.
        """
        if not any(self.sweeps[setting].throughputs().values()):
            raise TuneError(
                f"{self._failure}, at every level: tune a handler that works, with messages that "
                "it takes (messages=[...], --messages FILE)"
            )

    def _seconds(self) -> float:
        return time.monotonic() - self._begin

    def _spent(self) -> bool:
        # Without a run of each level there is nothing to compare: that much is always measured.
        begun = all(sweep.begun for sweep in self.sweeps.values())
        return begun and self._seconds() >= self._budget

    async def _level(self, bench: Bench, setting: Setting, level: int) -> None:
        self._say(setting, level, None)
        sweep = self.sweeps[setting]
        run = await self._measured(bench, setting, level, first=level not in sweep.runs)
        self._runs += 1
        if not run.window.ended:
            self._failure = f"no job ended within {run.window.seconds:.0f} s"
            sweep.give_up(level)
            return
        if run.window.failed == run.window.ended:
            self._failure = f"every job failed, the last one with {run.window.failure}"
        sweep.add(level, run)
        self._say(setting, level, run.window.throughput)

    async def _measured(self, bench: Bench, setting: Setting, level: int, *, first: bool) -> Run:
        slots = level * setting.workers
        await self._feed.fill(2 * slots + int(self._rate_of(slots) * 2 * WARM_UP))
        await bench.start(level, setting.batch)
        try:
            run = await self._run_of(bench, setting, level, first=first)
        finally:
            with anyio.CancelScope(shield=True):
                await self._feed.empty()
        await bench.stop()
        return run

    async def _run_of(self, bench: Bench, setting: Setting, level: int, *, first: bool) -> Run:
        slots = level * setting.workers
        # Every slot has had a job: until then, jobs that wait for each other wait too little.
        warm = await bench.warm_up(WARM_UP, level)
        if warm.failed == warm.ended:  # or none has ended at all
            return Run(window=warm)
        window = await self._window(bench, slots, warm)
        if setting.workers < self._cores:  # else it may be its own processes that take cores
            window = window.undisturbed(slots)
        self._rates[slots] = window.throughput
        if not first:
            return Run(window=window)
        return Run(window=window, queueing=await self._queueing(bench, window.throughput))

    def _rate_of(self, slots: int) -> float:
        """What so many slots may do, from what was measured: so much has to be in the stream."""
        rates = (rate * max(1.0, slots / known) for known, rate in self._rates.items())
        return min(MOST_GUESSED, max(rates, default=FIRST_GUESS))

    async def _window(self, bench: Bench, slots: int, warm: Window) -> Window:
        # Those that fail are taken from the stream as well.
        rate = max(warm.throughput, warm.ended / warm.seconds)
        usual = warm.handling.latency()
        most = min(self._most, SHORT) if rate > FAST else self._most
        if usual is not None:  # of a handler that takes long, whole jobs are to be seen
            most = max(most, min(JOBS_LONG * usual.p50, LONGEST))
        count = int(IN_STOCK * rate * most)
        window = warm
        for _ in range(REFILLS):
            await self._feed.fill(2 * slots + count)
            window = await bench.measure(min(LEAST, most), most, TIGHT)
            if await self._feed.waiting() > slots:
                break
            count *= 4  # with an empty stream it was the emitting that was measured
        return window

    async def _queueing(self, bench: Bench, rate: float) -> Sketch:
        """How long events wait while there are fewer than could be handled."""
        if rate <= 0:
            return Sketch((), 0)
        # Where time is short, the throughput is what it is for.
        most = min(MOST_QUEUEING, self._most)
        seconds = min(most, max(LEAST, EVENTS_QUEUED / (LOAD * rate)))
        await self._feed.empty()
        await bench.idle()
        results: list[Sketch] = []
        failures: list[ProcessDiedError] = []

        async def listen(scope: anyio.CancelScope) -> None:
            try:
                results.append(await bench.queueing(seconds))
            except ProcessDiedError as error:
                failures.append(error)
                scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, tasks.cancel_scope)
            await self._feed.pace(LOAD * rate, seconds)
        if failures:
            raise failures[0]
        return results[0]

    def _say(self, setting: Setting, level: int, throughput: float | None) -> None:
        self._tell(
            Progress(
                setting=setting,
                max_jobs=level,
                runs=self._runs,
                seconds=self._seconds(),
                budget=self._told_budget,
                throughput=throughput,
            )
        )
