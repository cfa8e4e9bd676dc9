"""Finding the clocks that `module:NAME` names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from walnats_anyio._events import Clock
from walnats_anyio.cli._target import TargetProblem, Wanted, kind_of, load

CLOCKS = Wanted(
    "clocks",
    (Clock,),
    "clocks:CLOCKS for CLOCKS in clocks.py",
    'CLOCKS = [Clock(EVENT, cron="0 7 * * *", tz="Asia/Tokyo")]',
)


def load_clocks(targets: Iterable[str], names: list[str] | None = None) -> list[Clock]:
    """Import the modules and give the clocks, each once.

    Args:
        targets: what names a `Clock`, a list or another collection of them, or a plain function
            that returns one of these.
        names: only the clocks of these names; None: all.

    Raises:
        TargetProblem: there is no such module or name, it fails, or holds no clocks; or two clocks
            of one event have the same name and differ.
    """
    clocks: dict[tuple[str, str], Clock] = {}
    for target in targets:
        for clock in clocks_in(*load(target, CLOCKS)):
            key = clock.event.name, clock.name
            if clocks.setdefault(key, clock) != clock:
                raise TargetProblem(
                    f"two clocks of event {clock.event.name!r} are both named {clock.name!r}",
                    f"give one of them another name: Clock(..., name='{clock.name}-2')",
                )
    return _chosen(list(clocks.values()), names)


def clocks_in(found: Any, shown: str) -> list[Clock]:
    """The clocks that something is, or has.

    Raises:
        TargetProblem: it is something else.
    """
    clocks = [found] if isinstance(found, Clock) else _listed(found)
    if clocks is None:
        raise TargetProblem(
            f"{shown} holds no clocks, but {kind_of(found)}",
            "name a Clock, a list of them, or a function that returns one of these",
        )
    return clocks


def is_clocks(found: object) -> bool:
    """Whether it is a clock, or a collection of nothing else."""
    return isinstance(found, Clock) or _listed(found) is not None


def _listed(found: Any) -> list[Clock] | None:
    if not isinstance(found, list | tuple | set | frozenset):
        return None
    members = list(cast("Iterable[Any]", found))
    return members if members and all(isinstance(each, Clock) for each in members) else None


def _chosen(clocks: list[Clock], names: list[str] | None) -> list[Clock]:
    known = {clock.name for clock in clocks}
    for name in names or ():
        if name not in known:
            raise TargetProblem(
                f"there is no clock {name!r}", f"there is {', '.join(sorted(known))}"
            )
    return clocks if names is None else [clock for clock in clocks if clock.name in names]
