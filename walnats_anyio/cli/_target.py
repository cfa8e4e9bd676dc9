"""Finding the actors that `module:NAME` names."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from walnats_anyio._actors import Actor, Actors
from walnats_anyio.cli._endings import ExitCode, Problem

PACKAGE = Path(__file__).parent.parent

NAMED_AT_MOST = 10
"""Actors that are named when there are many."""


class TargetProblem(Problem):
    """What was named holds no actors that could be run."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code=ExitCode.USAGE)


def load_actors(target: str) -> Actors:
    """Import the module and give the actors: an `Actors`, an `Actor`, or what a function returns.

    The current directory comes first among the places where modules are looked for.

    Raises:
        TargetProblem: no such module or name, a module that cannot be imported, or no actors.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise TargetProblem(
            f"{target!r} does not say where the actors are",
            "give MODULE:NAME, such as subscribe:ACTORS for ACTORS in subscribe.py",
        )
    if module_name.endswith(".py") or "/" in module_name:
        right = module_name.removeprefix("./").removesuffix(".py").replace("/", ".")
        raise TargetProblem(f"{module_name!r} is a file", f"give the module: {right}:{path}")
    directory = str(Path.cwd())
    if sys.path[0] != directory:
        sys.path.insert(0, directory)
    return _actors_of(_find(_import(module_name), path), target)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise TargetProblem(
                f"there is no module {missing!r}",
                f"it was looked for in {Path.cwd()} and among what is installed",
            ) from error
        raise TargetProblem(f"module {name!r} {_failure(error)}") from error
    except (Exception, SystemExit) as error:
        raise TargetProblem(f"module {name!r} {_failure(error)}") from error


def _failure(error: BaseException) -> str:
    """How somebody's code failed, and where in it."""
    if isinstance(error, SyntaxError):
        return f"cannot be imported: {error.filename}:{error.lineno}: {error.msg}"
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        # The last line that is not ours and not Python's own machinery is the one to look at.
        if not frame.filename.startswith("<") and PACKAGE not in Path(frame.filename).parents:
            place = f"{frame.filename}:{frame.lineno}: "
    return f"fails: {place}{type(error).__name__}: {error}"


def _find(module: ModuleType, path: str) -> Any:
    found: Any = module
    where = module.__name__
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetProblem(
                f"there is no {name!r} in {where!r}", _what_there_is(module)
            ) from None
        where = f"{where}.{name}"
    return found


def _what_there_is(module: ModuleType) -> str:
    there = sorted(
        name for name, value in vars(module).items() if isinstance(value, Actors | Actor)
    )
    if not there:
        return f"{module.__name__} has no actors: declare some, such as ACTORS = Actors(...)"
    return f"there is {', '.join(f'{module.__name__}:{name}' for name in there)}"


def _actors_of(found: Any, target: str) -> Actors:
    if inspect.iscoroutinefunction(found):
        raise TargetProblem(f"{target} is a coroutine function: make it a plain one")
    if callable(found) and not isinstance(found, type):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise TargetProblem(f"{target}() {_failure(error)}") from error
        target = f"{target}()"
    if isinstance(found, Actors):
        return found
    if _is_actor(found):
        return Actors(found)
    raise TargetProblem(
        f"{target} holds no actors, but {found!r}",
        "name an Actors, an Actor, or a function that returns one of them",
    )


def _is_actor(found: object) -> TypeGuard[Actor[Any, Any]]:
    return isinstance(found, Actor)


def in_words(actors: Actors) -> str:
    """Which actors, and what they handle."""
    names = [f"{actor.name} ({actor.event.name})" for actor in actors]
    if len(names) > NAMED_AT_MOST:
        names[NAMED_AT_MOST:] = [f"{len(names) - NAMED_AT_MOST} more"]
    return ", ".join(names)
