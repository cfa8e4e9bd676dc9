"""Finding the actors that `module:NAME` names."""

from __future__ import annotations

import inspect
import pkgutil
import sys
import traceback
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Wanted:
    """What a command is to find in a module."""

    name: str
    """What it is called, in the plural."""

    kinds: tuple[type[Any], ...]
    """Its classes, for a list of what there is."""

    example: str
    """A target and what it means, for whoever gives none."""

    declaration: str
    """A line that declares one, for modules that have none."""


ACTORS = Wanted(
    "actors",
    (Actors, Actor),
    "subscribe:ACTORS for ACTORS in subscribe.py",
    "ACTORS = Actors(...)",
)


def load_actors(target: str, directory: Path | None = None) -> Actors:
    """Import the module and give the actors: an `Actors`, an `Actor`, or what a function returns.

    The directory comes first among the places where modules are looked for; None: the current one.

    Raises:
        TargetProblem: no such module or name, a module that cannot be imported, or no actors.
    """
    found, shown = load(target, ACTORS, directory)
    return _actors_of(found, shown)


def load(target: str, wanted: Wanted, directory: Path | None = None) -> tuple[Any, str]:
    """Import the module, and give what has the name in it, or what that function returns.

    The directory comes first among the places where modules are looked for; None: the current one.
    The second of the two is how to name it in an error.

    Raises:
        TargetProblem: no such module or name, or a module or a function that fails.
    """
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise TargetProblem(
            f"{target!r} does not say where the {wanted.name} are",
            f"give MODULE:NAME, such as {wanted.example}",
        )
    if module_name.endswith(".py") or "/" in module_name:
        right = module_name.removeprefix("./").removesuffix(".py").replace("/", ".")
        raise TargetProblem(f"{module_name!r} is a file", f"give the module: {right}:{path}")
    place = str(directory or Path.cwd())
    if sys.path[0] != place:
        sys.path.insert(0, place)
    return _called(_resolve(target, module_name, path, wanted), target)


def chosen(actors: Actors, names: list[str] | None) -> Actors:
    """Give the actors of these names; without names, all.

    Raises:
        TargetProblem: there is no actor of such a name.
    """
    try:
        return actors.only(names or None)
    except ValueError as error:
        raise TargetProblem(str(error)) from error


def _resolve(target: str, module_name: str, path: str, wanted: Wanted) -> Any:
    try:
        return pkgutil.resolve_name(target)
    except (Exception, SystemExit) as error:
        module = sys.modules.get(module_name)
        if isinstance(error, AttributeError) and module is not None:  # else the import failed
            raise TargetProblem(
                f"there is no {path!r} in {module_name!r}", _what_there_is(module, wanted)
            ) from error
        missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise TargetProblem(
                f"there is no module {missing!r}",
                f"it was looked for in {sys.path[0]} and among what is installed",
            ) from error
        if isinstance(error, ValueError) and module_name not in sys.modules and not _place(error):
            raise TargetProblem(
                f"{target!r} is no MODULE:NAME", "both are names of Python, with dots in between"
            ) from error
        raise TargetProblem(f"module {module_name!r} {_failure(error)}") from error


def _failure(error: BaseException) -> str:
    """How somebody's code failed, and where in it."""
    if isinstance(error, SyntaxError):
        return f"cannot be imported: {error.filename}:{error.lineno}: {error.msg}"
    return f"fails: {_place(error)}{type(error).__name__}: {error}"


def _place(error: BaseException) -> str:
    """The last line that is not ours and not Python's own machinery: it is the one to look at."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        own = {PACKAGE, Path(pkgutil.__file__).parent}.intersection(Path(frame.filename).parents)
        if not frame.filename.startswith("<") and not own:
            place = f"{frame.filename}:{frame.lineno}: "
    return place


def _what_there_is(module: ModuleType, wanted: Wanted) -> str:
    there = sorted(name for name, value in vars(module).items() if isinstance(value, wanted.kinds))
    if not there:
        return f"{module.__name__} has no {wanted.name}: declare some, such as {wanted.declaration}"
    return f"there is {', '.join(f'{module.__name__}:{name}' for name in there)}"


def _called(found: Any, target: str) -> tuple[Any, str]:
    if inspect.iscoroutinefunction(found):
        raise TargetProblem(f"{target} is a coroutine function: make it a plain one")
    if callable(found) and not isinstance(found, type):
        try:
            found = found()
        except (Exception, SystemExit) as error:
            raise TargetProblem(f"{target}() {_failure(error)}") from error
        target = f"{target}()"
    return found, target


def _actors_of(found: Any, target: str) -> Actors:
    if isinstance(found, Actors):
        return found
    if _is_actor(found):
        return Actors(found)
    raise TargetProblem(
        f"{target} holds no actors, but {kind_of(found)}",
        "name an Actors, an Actor, or a function that returns one of them",
    )


def kind_of(found: object) -> str:
    """What something is, for an error that says what it should be."""
    return f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__


def _is_actor(found: object) -> TypeGuard[Actor[Any, Any]]:
    return isinstance(found, Actor)


def in_words(actors: Actors) -> str:
    """Which actors, and what they handle."""
    names = [f"{actor.name} ({actor.event.name})" for actor in actors]
    if len(names) > NAMED_AT_MOST:
        names[NAMED_AT_MOST:] = [f"{len(names) - NAMED_AT_MOST} more"]
    return ", ".join(names)
