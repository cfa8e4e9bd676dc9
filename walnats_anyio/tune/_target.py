"""The actor that `module:NAME` names."""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path
from typing import Any, TypeGuard

from walnats_anyio._actors import Actor, Actors


def load(target: str, name: str | None) -> tuple[Actors, Actor[Any, Any]]:
    """Import a module, and give its actors and the one that is meant.

    The current directory comes first among the places where modules are looked for.

    Args:
        target: `MODULE:NAME` of an `Actors`, an `Actor`, or a function that returns one of them.
        name: the name of the actor; None where there is only one.

    Raises:
        ValueError: it is no `MODULE:NAME`, or there is no such actor, or there are several.
        TypeError: what is named is no actor.
        Exception: what the import raised.
    """
    if ":" not in target:
        raise ValueError(
            f"{target!r} does not say where the actor is: give 'MODULE:NAME', or the Actor itself"
        )
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found: Any = pkgutil.resolve_name(target)
    if callable(found) and not isinstance(found, type):
        found = found()
    if _is_actor(found):
        found = Actors(found)
    if not isinstance(found, Actors):
        raise TypeError(f"{target} is no Actor and no Actors, but {type(found).__name__}")
    return found, choose(found, name)


def _is_actor(found: object) -> TypeGuard[Actor[Any, Any]]:
    return isinstance(found, Actor)


def choose(actors: Actors, name: str | None) -> Actor[Any, Any]:
    """The actor of that name, or the only one.

    Raises:
        ValueError: there is none, or there are several.
    """
    names = ", ".join(actor.name for actor in actors)
    if name is not None:
        actor = actors.get(name)
        if actor is None:
            raise ValueError(f"there is no actor {name!r}: there is {names}")
        return actor
    if len(actors) > 1:
        raise ValueError(f"several actors are there, and one is tuned at a time: choose of {names}")
    [actor] = actors
    return actor
