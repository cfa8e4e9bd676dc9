"""The commands, one line for each, and the module that is imported for it when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from walnats_anyio import __version__
from walnats_anyio.cli._groups import grouped

_MODULES = {
    "demo": "_demo",
    "server": "_server",
    "run": "_run",
    "register": "_register",
    "emit": "_emit",
    "monitor": "_monitor",
    "cancel": "_cancel",
    "pause": "_pause",
    "resume": "_pause",
    "status": "_watch",
    "top": "_watch",
    "prune": "_watch",
    "tune": "_tune",
    "spec": "_spec",
    "lint": "_lint",
    "dead": "_dead",
}
"""Where each command is: in a module beside this one, under its own name."""

_WITH_VARIABLES = {"run"}
"""Commands whose every option can be an environment variable."""


class _Commands(Mapping[str, Any]):
    """The commands by their names, each imported and built when it is looked up.

    Importing and building all of them takes a third of the start of the command line, and each
    worker process of `run` is such a start.
    """

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = _build(name, _MODULES[name])
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in _MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


def _build(name: str, module: str) -> Any:
    """Import a command, or a group of them, and have typer build it."""
    found = getattr(import_module(f"{__package__}.{module}"), name)
    alone = typer.Typer(rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(grouped(found, variables=name in _WITH_VARIABLES))
    return get_group(alone).commands[name]


class _Group(TyperGroup):
    """The command line itself."""

    def __init__(self, **attributes: Any) -> None:
        attributes["commands"] = _Commands()
        super().__init__(**attributes)


app = typer.Typer(
    name="walnats-anyio",
    cls=_Group,
    help="Event-driven background jobs on NATS JetStream, on asyncio and on trio.",
    epilog="New here? Start with: walnats-anyio demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"walnats-anyio {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options before the command."""
