"""`--edit`: the payload of a letter in an editor, before it goes back.

Theory of operation. The payload is written to a file as indented JSON, below lines that begin with
`#` and say what it is. (No line of JSON begins so.) The editor is given the terminal, while the
connection goes on. What comes back is checked as JSON, and by the event where its declaration is
known; where it is wrong the file is opened again, with the error in its first lines. As with
`git commit`, an empty file or an editor that fails ends the command; as with `kubectl edit`, what
was not changed is not applied.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from tempfile import mkstemp
from typing import Annotated, Any, NoReturn

import anyio
import msgspec
import typer

from walnats_anyio._events import BaseEvent, decode_message
from walnats_anyio.cli._dead._view import text_of, visible
from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.cli._event_target import load_events
from walnats_anyio.dead_letters import DeadLetter, RequeueError
from walnats_anyio.serializers import DecodeError

COMMENT = "#"
"""What a line of the file begins with that is no part of the payload."""

SHOWN = 200
"""Characters of an error that the file shows."""

Edit = Callable[[DeadLetter], Awaitable[DeadLetter | None]]


@dataclass(frozen=True)
class Editing:
    """The options of editing."""

    edit: Annotated[
        bool,
        typer.Option(
            "--edit",
            help="Edit the payload of each letter before it goes back, in $VISUAL or $EDITOR.",
        ),
    ] = False
    events: Annotated[
        str | None,
        typer.Option(
            "--events",
            metavar="MODULE:NAME",
            help="With --edit: events that edited payloads must fit: shop:EVENTS is EVENTS in "
            "shop.py of the current directory.",
        ),
    ] = None

    def editor(self, *, dry_run: bool) -> Edit | None:
        """What edits letters; None: nothing is edited.

        Raises:
            Problem: the options do not fit together, or there is no editor.
            TargetProblem: --events names no events.
        """
        if self.events is not None and not self.edit:
            _refuse("--events checks edited payloads", "add --edit, or leave it out")
        if not self.edit:
            return None
        if dry_run:
            _refuse("--dry-run changes nothing, and --edit is for changes", "leave one of them out")
        events = (
            {} if self.events is None else {each.name: each for each in load_events(self.events)}
        )
        return _Editor(_command(), events).edit


def _command() -> list[str]:
    """The words that start the editor.

    Raises:
        Problem: there is none.
    """
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or which(words[0]) is None:
        _refuse(
            f"there is no editor {text!r}",
            "set VISUAL or EDITOR to a command that edits a file and waits, such as nano or "
            "'code --wait'",
        )
    return words


class _Editor:
    """Edits the payloads of letters."""

    def __init__(self, command: list[str], events: dict[str, BaseEvent[Any]]) -> None:
        self._command = command
        self._events = events

    async def edit(self, letter: DeadLetter) -> DeadLetter | None:
        """The letter with its payload as it was saved; None: it was not changed.

        Raises:
            RequeueError: its payload is no JSON.
            Problem: the file was left empty, the editor failed, or what was saved is still wrong.
        """
        text = _indented(letter)
        handle, name = mkstemp(prefix=f"dead-letter-{letter.number}-", suffix=".json")
        os.close(handle)
        file = Path(name)
        keep = False
        try:
            return await self._edit(letter, text, file)
        except _StillWrongError as error:
            keep = True
            _refuse_saved(letter, error, file)
        finally:
            if not keep:
                _remove(file)

    async def _edit(self, letter: DeadLetter, text: str, file: Path) -> DeadLetter | None:
        problem: str | None = None
        original, shown = text, text
        while True:
            _write(file, _head(letter, problem) + shown + "\n")
            await self._run(file)
            saved = _without_comments(file)
            if not saved:
                raise Problem(
                    f"dead letter {letter.number}: the file is empty, so nothing more is requeued"
                )
            if saved == original.strip():
                return None
            try:
                return self._read(letter, saved)
            except ValueError as error:
                if problem is not None and saved == shown.strip():
                    # Nobody corrects it: a program edits it, or somebody gives up.
                    raise _StillWrongError(str(error)) from error
                problem, shown = str(error), saved

    async def _run(self, file: Path) -> None:
        words = [*self._command, str(file)]
        try:
            process = await anyio.open_process(words, stdin=None, stdout=None, stderr=None)
        except OSError as error:
            raise Problem(f"the editor {words[0]!r} could not be started: {error}") from error
        async with process:
            code = await process.wait()
        if code:
            raise Problem(f"the editor {words[0]!r} ended with {code}, so nothing more is requeued")

    def _read(self, letter: DeadLetter, saved: str) -> DeadLetter:
        """The letter with what was saved.

        Raises:
            ValueError: that is no JSON, or does not fit the event.
        """
        edited = replace(letter, payload=_formatted(saved, indent=-1).encode())
        event = self._events.get(letter.event)
        if event is not None:
            try:
                decode_message(event, edited.payload, edited.headers)
            except DecodeError as error:
                raise ValueError(str(error)) from error
        return edited


class _StillWrongError(Exception):
    """What was saved is wrong, and was saved again as it is."""


def _indented(letter: DeadLetter) -> str:
    """The payload as people edit it.

    Raises:
        RequeueError: it is no JSON.
    """
    text = text_of(letter.payload)
    try:
        if text is None:
            raise ValueError("it is no text")
        return _formatted(text, indent=2)
    except ValueError as error:
        raise RequeueError(
            f"dead letter {letter.number} cannot be edited and is kept: its payload is no JSON: "
            f"{error}"
        ) from error


def _formatted(text: str, *, indent: int) -> str:
    """JSON, indented or, below 0, without spaces; numbers and strings stay as they are written.

    Raises:
        ValueError: it is none, and why.
    """
    try:
        # The one says where it is wrong, the other finds what is no Unicode.
        json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return msgspec.json.format(text, indent=indent)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _head(letter: DeadLetter, problem: str | None) -> str:
    error = ": ".join(filter(None, (letter.error_type, letter.error)))
    lines = [
        f"dead letter {letter.number}: {letter.event} for {letter.actor}, {letter.reason}",
        f"{' '.join(error.split())[:SHOWN]}",
        "",
        "Save the payload as it is to go back. Lines that begin with # are left out. A file that",
        "is not changed leaves the letter as it is, and an empty one ends the command.",
    ]
    if problem is not None:
        lines += ["", f"This cannot go back: {' '.join(problem.split())}"]
    return "".join(f"{COMMENT} {visible(line)}".rstrip() + "\n" for line in lines)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Problem(f"{file} cannot be written: {error.strerror or error}") from error


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _without_comments(file: Path) -> str:
    try:
        # An editor on another system may begin with a mark of the byte order.
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"what was saved cannot be read: {error}") from error
    lines = [line for line in text.split("\n") if not line.startswith(COMMENT)]
    return "\n".join(lines).strip()


def _refuse_saved(letter: DeadLetter, error: Exception, file: Path) -> NoReturn:
    raise Problem(
        f"dead letter {letter.number}: what was saved cannot go back, so nothing more is requeued: "
        f"{error}",
        hint=f"what was saved is in {file}",
    )


def _refuse(problem: str, hint: str) -> NoReturn:
    raise Problem(problem, hint=hint, code=ExitCode.USAGE)
