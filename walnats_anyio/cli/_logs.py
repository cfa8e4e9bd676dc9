"""What `run` logs and where: its own lines go the way of those of the library and the actors."""

from __future__ import annotations

import configparser
import enum
import json
import logging
import logging.config
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from walnats_anyio.cli._choices import absolute
from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.cli._log_lines import JsonFormatter, LineHandler, report_uncaught
from walnats_anyio.cli._screen import tell_failures_to

LIBRARY = "walnats_anyio"

logger = logging.getLogger(f"{LIBRARY}.run")

INI = (".ini", ".cfg", ".conf")

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

FORMAT_OF_SEVERAL = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
"""In a worker process: `run` says once which worker has which process id."""


class Level(enum.StrEnum):
    """From which level on records are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogFormat(enum.StrEnum):
    """What a record of the log looks like."""

    TEXT = "text"
    """A line for a person; below it the traceback, if there is one."""

    JSON = "json"
    """One line of JSON for a program, the traceback included."""


@dataclass(frozen=True)
class Logs:
    """The options about logging."""

    log_level: Annotated[
        Level | None,
        typer.Option(
            case_sensitive=False,
            metavar="LEVEL",
            help=f"{', '.join(Level)}: show records of all loggers from this level on.",
            show_default="info for walnats_anyio, warning for all others",
        ),
    ] = None
    log_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            callback=absolute,
            help="A logging configuration: .json or .toml with what logging.config.dictConfig "
            "takes, or .ini.",
        ),
    ] = None
    log_format: Annotated[
        LogFormat,
        typer.Option(
            help="text for people; json for programs: one object a line, with the fields of the "
            "record."
        ),
    ] = LogFormat.TEXT
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing while all is well.")] = (
        False
    )

    def set_up_before_actors(self, lock: int | None = None) -> None:
        """Configure logging by the file, so that what the actors' module logs is shown as well.

        Args:
            lock: the descriptor of a file that all processes lock while they write to the log.

        Raises:
            Problem: the file cannot be used, or the options contradict each other.
        """
        if self.quiet and self.log_level is not None:
            raise Problem(
                f"--quiet and --log-level {self.log_level} contradict each other",
                hint="give one of them; --quiet is the level warning for walnats_anyio",
                code=ExitCode.USAGE,
            )
        if self.log_config is not None:
            if self.log_format is LogFormat.JSON:
                raise Problem(
                    "--log-config and --log-format json both say what a record looks like",
                    hint="give one of them; a configuration names its formatters itself",
                    code=ExitCode.USAGE,
                )
            configure(self.log_config)
        elif self.log_format is LogFormat.JSON:
            # Whatever is said from here on is for a program.
            self._show(LineHandler(sys.stderr, lock), JsonFormatter())
            logging.captureWarnings(capture=True)
            report_uncaught(logger)
            tell_failures_to(_log_failure)

    def set_up_after_actors(self, *, several: bool, lock: int | None = None) -> None:
        """Show the log, unless the file or the actors' module has made arrangements for that."""
        root, library = logging.getLogger(), logging.getLogger(LIBRARY)
        if self.log_format is LogFormat.JSON:
            for handler in _to_standard_streams(root):
                handler.setFormatter(JsonFormatter())
        elif self.log_config is None and not root.hasHandlers():
            text = logging.Formatter(FORMAT_OF_SEVERAL if several else FORMAT)
            self._show(LineHandler(sys.stderr, lock), text)
        if self.log_level is not None:
            root.setLevel(self.log_level.upper())
            library.setLevel(self.log_level.upper())
        elif self.quiet:
            library.setLevel(logging.WARNING)
        elif library.level == logger.level == logging.NOTSET:
            # Whoever runs it is to see that it runs, also if all other logs begin with warnings.
            logger.setLevel(logging.INFO)
        enable_library()

    def _show(self, handler: logging.Handler, formatter: logging.Formatter) -> None:
        handler.setFormatter(formatter)
        logging.getLogger().addHandler(handler)
        logging.getLogger(LIBRARY).setLevel(logging.INFO)


def _to_standard_streams(root: logging.Logger) -> list[logging.Handler]:
    """The handlers that write to standard output or standard error, the module's own included."""
    streams = [each for each in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__) if each]
    return [each for each in root.handlers if getattr(each, "stream", None) in streams]


def _log_failure(text: str, hint: str | None, shown: BaseException | None) -> None:
    """Say what went wrong as a record, where people would read it in colours."""
    logger.error("%s", text, exc_info=shown, extra={} if hint is None else {"hint": hint})


def enable_library() -> None:
    """Undo what `disable_existing_loggers`, true by default, has done to the library's loggers."""
    ours = [
        each
        for name, each in logging.root.manager.loggerDict.items()
        if f"{name}.".startswith(f"{LIBRARY}.") and isinstance(each, logging.Logger)
    ]
    disabled = [each for each in ours if each.disabled]
    for each in disabled:
        each.disabled = False
    if disabled:
        logger.warning(
            "the logging configuration had disabled the loggers of walnats_anyio, and they are "
            'enabled again: set "disable_existing_loggers" to false in it'
        )


def configure(file: Path) -> None:
    """Configure logging by a file.

    Raises:
        Problem: it cannot be read, or `logging` does not take what is in it.
    """
    try:
        if file.suffix in INI:
            logging.config.fileConfig(file, disable_existing_loggers=False)
        else:
            # Its default would silence what was imported before, such as this library.
            logging.config.dictConfig({"disable_existing_loggers": False, **_read(file)})
    except Problem:
        raise
    except (Exception, configparser.Error) as error:
        raise Problem(
            f"--log-config {file} is no logging configuration: {_reasons(error)}",
            hint="https://docs.python.org/3/library/logging.config.html has the fields",
            code=ExitCode.USAGE,
        ) from error


def _read(file: Path) -> dict[str, Any]:
    readers = {".json": json.loads, ".toml": tomllib.loads}
    if file.suffix not in readers:
        raise Problem(
            f"--log-config {file} is none of .json, .toml, {', '.join(INI)}",
            hint="rename it: the ending says what is in it",
            code=ExitCode.USAGE,
        )
    found: Any = readers[file.suffix](file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"it holds {type(found).__name__}, not an object")
    return cast("dict[str, Any]", found)


def _reasons(error: BaseException | None) -> str:
    """What went wrong, and what that came from: `logging` says the cause in an exception below."""
    reasons: list[str] = []
    while error is not None:
        reasons.append(str(error) or type(error).__name__)
        error = error.__cause__
    return ": ".join(dict.fromkeys(reasons))
