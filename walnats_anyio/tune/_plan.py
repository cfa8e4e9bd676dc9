"""What `tune` is to do: checked arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import product
from typing import Any

from walnats_anyio._actors import Actor, Actors
from walnats_anyio._events._arguments import check_count, check_seconds
from walnats_anyio.tune._result import Setting
from walnats_anyio.tune._sweep import grid

BACKENDS = ("asyncio", "trio")


@dataclass(frozen=True)
class Plan:
    """What `tune` is to do."""

    actors: Actors
    """The registry of the actor, for its lifespan."""

    actor: Actor[Any, Any]
    """The actor."""

    target: str | None
    """`MODULE:NAME`, for processes; None: levels run in this process."""

    messages: tuple[Any, ...]
    """What is emitted."""

    levels: tuple[int, ...]
    """Levels of the first round."""

    refine: bool
    """Whether levels in between may be added."""

    settings: tuple[Setting, ...]
    """All that is compared."""

    budget: float
    """Seconds that it takes at most."""

    connect: dict[str, Any] = field(repr=False)
    """The arguments of `connect`; without a server, one is started."""

    tls: dict[str, str] = field(default_factory=dict[str, str])
    """Files of the TLS context, for processes."""

    listen: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further arguments of `listen`."""

    directory: str = field(default_factory=os.getcwd)
    """Where processes look for the module."""


def check_levels(max_jobs: int | Sequence[int]) -> tuple[tuple[int, ...], bool]:
    """The levels of the first round, and whether levels in between may be added.

    Raises:
        TypeError, ValueError: it is neither a highest level nor a list of levels.
    """
    if isinstance(max_jobs, Sequence):
        if not max_jobs:
            raise ValueError("max_jobs is an empty list: give levels, or the highest one")
        for level in max_jobs:
            check_count("each of max_jobs", level)
        return tuple(sorted(set(max_jobs))), False
    check_count("max_jobs", max_jobs)
    return grid(max_jobs), True


def settings_of(
    backends: Iterable[str],
    uvloop: Iterable[bool],
    workers: Iterable[int],
    batches: Iterable[int | None],
) -> tuple[Setting, ...]:
    """All combinations; trio has no uvloop.

    Raises:
        TypeError, ValueError: one of them is no such thing.
        ModuleNotFoundError: a package is missing.
    """
    workers, batches = tuple(workers), tuple(batches)
    for backend in backends:
        _check_backend(backend)
    for each in workers:
        check_count("each of workers", each)
    for batch in batches:
        check_count("each of batch", batch, optional=True)
    settings = [
        Setting(backend=backend, uvloop=fast, workers=count, batch=batch)
        for backend, fast, count, batch in product(backends, uvloop, workers, batches)
        if not (fast and backend == "trio")
    ]
    if any(setting.uvloop for setting in settings) and find_spec("uvloop") is None:
        raise ModuleNotFoundError(
            "uvloop is to be tried, and is not installed: pip install uvloop", name="uvloop"
        )
    if not settings:
        raise ValueError("no setting is left to measure: uvloop is for asyncio only")
    return tuple(dict.fromkeys(settings))


def _check_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"each of backends must be 'asyncio' or 'trio', not {backend!r}")
    if backend == "trio" and find_spec("trio") is None:
        raise ModuleNotFoundError(
            "trio is to be tried, and is not installed: pip install 'walnats-anyio[trio]'",
            name="trio",
        )


def check_budget(budget: object) -> None:
    """Refuse what is no time to measure in.

    Raises:
        TypeError, ValueError: it is none.
    """
    check_seconds("budget", budget, 1.0)
