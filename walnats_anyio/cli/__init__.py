"""The command line: `walnats-anyio`, which is also `python -m walnats_anyio`.

Theory of operation. A command is a plain function whose parameters are the options (`_app.py` lists
the commands). It loads and checks what it was given, runs one async function on the backend asked
for, and ends with an exit code that means something (`_endings.py`). Whatever goes wrong becomes a
sentence and a hint there, in one place; commands only raise.
"""

from __future__ import annotations

import gc
import signal
import sys
from importlib import import_module

INTERRUPTED = 130
"""What shells take as "ended by SIGINT"."""


def main() -> None:
    """Run the command line with the arguments of this process; does not return."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see `walnats_anyio/__init__.py`
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # Here, so that who lacks the extra reads one line, and so that a worker process, which
        # imports the main module again, does not pay for it.
        from walnats_anyio.cli._screen import have_standard_streams

        have_standard_streams()
        # What is imported by now stays until the end: the garbage collector need not go through it.
        gc.freeze()
        if _is_worker(sys.argv[1:]):
            from walnats_anyio.cli._run import run_worker

            run_worker()
        # It is loaded where a command prints something; who lacks it is to read so at once.
        import_module("rich")
        from walnats_anyio.cli._app import app

        app()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"typer", "rich"}:
            raise
        print(
            f"walnats-anyio: {missing} is not installed: pip install 'walnats-anyio[cli]'",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _is_worker(words: list[str]) -> bool:
    """Whether this is a worker process of `run`, as its supervisor starts it.

    It has no options to be read, and reading them takes a quarter of its start.
    """
    match words:
        case ["run", str(target), str(last)]:
            return not target.startswith("-") and last.startswith("--worker=")
        case _:
            return False
