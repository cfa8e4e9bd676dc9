"""Tuning: run a handler at several `max_jobs`, and find the one that suits it.

Theory of operation. `_entry.py` has the function, `_tune.py` checks what was asked for, and
concludes; in between `_engine.py` runs rounds of levels. Which levels come next is for `_sweep.py`
to say, which knows no clock. A level is run by a bench (`_bench.py`), in this process or, through
`_remote.py`, in worker processes (`_worker.py`), while `_feed.py` keeps the stream filled. The runs
of a level become a point (`_run.py`), the points a law (`_law.py`) and a recommendation
(`_choice.py`, `_advice.py`).

Nothing here imports SciPy, NumPy or Matplotlib before it is used, nor the engine before `tune` is
called: `import walnats_anyio` imports this.
"""

from __future__ import annotations

from walnats_anyio.tune._chart import draw
from walnats_anyio.tune._entry import tune
from walnats_anyio.tune._errors import TuneError
from walnats_anyio.tune._result import (
    Band,
    Curve,
    Fit,
    Latency,
    Point,
    Progress,
    Setting,
    Tuning,
)

__all__ = [
    "Band",
    "Curve",
    "Fit",
    "Latency",
    "Point",
    "Progress",
    "Setting",
    "TuneError",
    "Tuning",
    "draw",
    "tune",
]
