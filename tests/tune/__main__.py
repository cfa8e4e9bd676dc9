"""Tune the handlers whose best `max_jobs` is known, again and again: `python -m tests.tune`.

Takes minutes; `nox -s tune` runs it. Exit code 0: every result was within 15 % of what is right.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import anyio

from tests.tune.handlers import BEST
from walnats_anyio import tune
from walnats_anyio.tune import Tuning

TOP = 64
TOLERANCE = 0.15


async def once(handler: str, budget: float) -> Tuning:
    return await tune(f"tests.tune.handlers:{handler}", max_jobs=TOP, budget=budget)


def is_right(handler: str, level: int) -> bool:
    return abs(level - BEST[handler]) <= TOLERANCE * BEST[handler]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tune", description=__doc__)
    parser.add_argument("handlers", nargs="*", metavar="HANDLER", help=", ".join(BEST))
    parser.add_argument("--times", type=int, default=10, help="how often each one is tuned")
    parser.add_argument("--budget", type=float, default=40.0, help="seconds for each")
    parser.add_argument("--backend", choices=("asyncio", "trio", "both"), default="both")
    arguments = parser.parse_args()
    backends = ["asyncio", "trio"] if arguments.backend == "both" else [arguments.backend]
    wrong = 0
    for number in range(1, arguments.times + 1):
        for handler in arguments.handlers or BEST:
            backend = backends[number % len(backends)]
            tuning = anyio.run(partial(once, handler, arguments.budget), backend=backend)
            level, right = tuning.recommended_max_jobs, BEST[handler]
            verdict = "right" if is_right(handler, level) else "WRONG"
            wrong += verdict != "right"
            good = tuning.fit is not None and tuning.fit.good
            print(
                f"{number:2} {handler:8} {backend:8} {level:3} of {right:3} {verdict}  "
                f"peak {tuning.peak_max_jobs}, knee {tuning.knee_max_jobs}, "
                f"law {'fits' if good else 'does not fit'}, {tuning.seconds:.0f} s"
                f"{'' if tuning.complete else ', not complete'}",
                flush=True,
            )
            print(f"   {tuning.advice}", flush=True)
            if verdict != "right":
                for point in tuning.points:
                    print(f"   {point}", flush=True)
    print(f"{wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
