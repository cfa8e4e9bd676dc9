"""Options that belong together are one frozen value: a dataclass whose fields are the options.

Theory of operation. typer reads the options of a command from the signature of a function.
`grouped` gives it a signature in which every parameter that is such a dataclass is replaced by its
fields, and builds the dataclass for the call. So each option is spelled once, wherever it is used.

With `variables` every option that names no environment variable of its own gets one, by its name:
`--max-jobs` is `WALNATS_MAX_JOBS`.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

KIND = Parameter.KEYWORD_ONLY
"""The kind of every parameter: typer passes all by name, and then defaults may stand anywhere."""


VARIABLES = "WALNATS_"
"""What the names of environment variables begin with."""


def variable_of(option: str) -> str:
    """The environment variable of an option, such as `--max-jobs`."""
    return VARIABLES + option.removeprefix("--").replace("-", "_").upper()


def grouped(command: Callable[..., None], *, variables: bool = False) -> Callable[..., None]:
    """Let a command take dataclasses; for typer it has their fields as its options."""
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters.values()
    options = [
        option
        for parameter in own
        for option in _options(parameter.name, hints[parameter.name], parameter.default)
    ]
    if variables:
        options = [_with_variable(option) for option in options]

    def call(**values: Any) -> None:
        command(**{each.name: _take(each.name, hints[each.name], values) for each in own})

    call.__doc__ = command.__doc__
    call.__annotations__ = {option.name: option.annotation for option in options}
    seen: Any = call  # type checkers do not know that a function may have a signature of its own
    seen.__signature__ = inspect.Signature(options)
    return call


def _options(name: str, kind: Any, default: Any) -> Iterator[Parameter]:
    if not is_dataclass(kind):
        yield Parameter(name, KIND, default=default, annotation=kind)
        return
    for each, hint in _fields(kind):
        yield from _options(each.name, hint, _default(each))


def _with_variable(option: Parameter) -> Parameter:
    if get_origin(option.annotation) is not Annotated:
        return option
    kind, *notes = get_args(option.annotation)
    found = [note for note in notes if isinstance(note, OptionInfo)]
    if not found or found[0].envvar is not None or found[0].hidden:
        return option
    info = copy.copy(found[0])  # other commands have it as well, without a variable
    # In `Annotated` typer takes the first name for a default, until it looks.
    given = [info.default, *(info.param_decls or ())]
    names = [name for name in given if isinstance(name, str) and name.startswith("--")]
    info.envvar = variable_of(names[0] if names else option.name)
    return option.replace(annotation=Annotated[kind, info])


def _take(name: str, kind: Any, values: dict[str, Any]) -> Any:
    if not isinstance(kind, type) or not is_dataclass(kind):
        return values[name]
    return kind(**{each.name: _take(each.name, hint, values) for each, hint in _fields(kind)})


def _fields(kind: Any) -> Iterator[tuple[Field[Any], Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return ((each, hints[each.name]) for each in fields(kind) if each.metadata.get("option", True))


def _default(each: Field[Any]) -> Any:
    return Parameter.empty if each.default is MISSING else each.default
