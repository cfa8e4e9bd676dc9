"""How a command ends: exit codes, and errors as sentences with a hint."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from signal import Signals
from typing import cast

import typer

from walnats_anyio._link import ConnectError, ConnectionLostError, WalnatsError
from walnats_anyio.cli._screen import fail

BY_SIGNAL = 128
"""Added to the number of a signal that ended a command at once, as shells do."""


class ExitCode(enum.IntEnum):
    """What the exit code of a command says."""

    DONE = 0
    """It did what it was asked to, a graceful stop included."""

    BROKEN = 1
    """Something broke. Trying again may help."""

    USAGE = 2
    """What was asked for cannot be done. Trying the same again does not help."""

    NO_CONNECTION = 3
    """No NATS server was reached, or the connection was closed for good."""


SEVERITY = (ExitCode.DONE, ExitCode.NO_CONNECTION, ExitCode.USAGE, ExitCode.BROKEN)
"""Codes from the best to the worst; that of a signal is in between."""

AT_ONCE = (BY_SIGNAL + Signals.SIGINT, BY_SIGNAL + Signals.SIGTERM, BY_SIGNAL + Signals.SIGHUP)
"""Codes of a command that a signal ended at once."""


def worst(codes: list[int]) -> int:
    """The code that stands for several processes.

    `codes` are return codes as Python has them: below 0 for a process that died of a signal. That
    counts as broken, and so does a code that says nothing here, such as that of `os._exit(7)`.
    """
    return max((_seen(code) for code in codes), key=_severity, default=ExitCode.DONE)


def _seen(code: int) -> int:
    known = code in SEVERITY or code in AT_ONCE
    return code if known else ExitCode.BROKEN


def _severity(code: int) -> float:
    # A second signal that was asked for is worse than a graceful end, and better than any failure.
    return SEVERITY.index(ExitCode(code)) if code in SEVERITY else 0.5


def code_of_signal(signal: Signals) -> int:
    """The exit code of a command that a signal ended at once."""
    return BY_SIGNAL + signal


class Problem(Exception):
    """The command cannot go on, and its user is to read why."""

    def __init__(
        self, message: str, *, hint: str | None = None, code: ExitCode = ExitCode.BROKEN
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@contextmanager
def explained(debug: bool) -> Iterator[None]:
    """Turn whatever the body raises into words on standard error and an exit code.

    With `debug` the traceback comes first.

    Raises:
        typer.Exit: in place of everything else.
    """
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        raise typer.Exit(code_of_signal(Signals.SIGINT)) from None
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - told, and the exit code
        # The traceback once, where several things went wrong.
        shown = iter([error] if debug else [])
        codes = [_tell(leaf, debug, error, next(shown, None)) for leaf in _leaves(error)]
        raise typer.Exit(worst(codes)) from None


def _tell(
    leaf: BaseException, debug: bool, raised: BaseException, shown: BaseException | None
) -> int:
    text, hint = _in_words(leaf)
    code = _code_of(leaf, raised)
    if code is ExitCode.BROKEN and not debug and not isinstance(leaf, Problem | WalnatsError):
        hint = "add --debug to see where it comes from"
    fail(text, hint, shown)
    return code


def _code_of(leaf: BaseException, raised: BaseException) -> ExitCode:
    match leaf:
        case Problem(code=code):
            return code
        case ConnectError() | ConnectionLostError():
            return ExitCode.NO_CONNECTION
        case ValueError() | TypeError() if leaf is raised and not isinstance(leaf, WalnatsError):
            # By the convention of the whole library: an argument was wrong. In a group it is what
            # broke some task.
            return ExitCode.USAGE
        case _:
            return ExitCode.BROKEN


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    group = cast("BaseExceptionGroup[BaseException]", error)
    for inner in group.exceptions:
        yield from _leaves(inner)


def _in_words(error: BaseException) -> tuple[str, str | None]:
    text = str(error)
    if isinstance(error, Problem):
        return text, error.hint
    if isinstance(error, WalnatsError | ValueError | TypeError) and text:
        return text, None
    # Of all others the message alone says too little: KeyError("x") is just 'x'.
    return f"{type(error).__name__}: {text}" if text else type(error).__name__, None
