"""The options about the health port."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

import typer

from walnats_anyio.cli._endings import ExitCode, Problem


@dataclass(frozen=True)
class Health:
    """The options about the health port."""

    health_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Serve /livez, /readyz, /metrics and /scale over HTTP, for all workers together; "
            "0 for any free port.",
            show_default="none",
        ),
    ] = None
    health_host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Where that port is; 0.0.0.0 is reachable from other machines."
        ),
    ] = "127.0.0.1"

    def check(self) -> None:
        """See whether what the port needs is installed.

        Raises:
            Problem: it is not.
        """
        if self.health_port is not None and find_spec("h11") is None:
            raise Problem(
                "--health-port needs h11, which is not installed",
                hint="pip install 'walnats-anyio[health]'",
                code=ExitCode.USAGE,
            )
