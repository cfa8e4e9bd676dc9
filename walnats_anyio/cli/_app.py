"""The commands, one line for each."""

from __future__ import annotations

from typing import Annotated

import typer

from walnats_anyio import __version__
from walnats_anyio.cli._cancel import cancel
from walnats_anyio.cli._clock import clock
from walnats_anyio.cli._dead import dead
from walnats_anyio.cli._demo import demo
from walnats_anyio.cli._emit import emit
from walnats_anyio.cli._groups import grouped
from walnats_anyio.cli._lint import lint
from walnats_anyio.cli._monitor import monitor
from walnats_anyio.cli._pause import pause, resume
from walnats_anyio.cli._register import register
from walnats_anyio.cli._run import run
from walnats_anyio.cli._server import server
from walnats_anyio.cli._spec import spec
from walnats_anyio.cli._tune import tune
from walnats_anyio.cli._watch import prune, status, top

app = typer.Typer(
    name="walnats-anyio",
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


app.command("demo")(grouped(demo))
app.command("server")(grouped(server))
app.command("run")(grouped(run, variables=True))
app.command("register")(grouped(register))
app.command("clock")(grouped(clock))
app.command("emit")(grouped(emit))
app.command("monitor")(grouped(monitor))
app.command("cancel")(grouped(cancel))
app.command("pause")(grouped(pause))
app.command("resume")(grouped(resume))
app.command("status")(grouped(status))
app.command("top")(grouped(top))
app.command("prune")(grouped(prune))
app.command("tune")(grouped(tune))
app.command("spec")(grouped(spec))
app.command("lint")(grouped(lint))
app.add_typer(dead, name="dead")
