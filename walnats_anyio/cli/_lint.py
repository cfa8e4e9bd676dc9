"""`walnats-anyio lint`: find mistakes in programs, without running them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from walnats_anyio.cli._choices import DebugOption, JsonOption
from walnats_anyio.cli._endings import ExitCode, Problem, explained
from walnats_anyio.cli._report import to_standard_output, write_report
from walnats_anyio.cli._screen import note, out
from walnats_anyio.linter import Finding, Selection, check_source
from walnats_anyio.linter._files import python_files

CodesHelp = "Codes, or what they begin with, with commas in between; may be repeated."


@dataclass(frozen=True)
class Request:
    """All options of the command."""

    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files, and folders whose *.py files are checked."),
    ]
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODES",
            help=f"What to look for. {CodesHelp} WNS033 has to be named in full.",
            show_default="all but WNS033",
        ),
    ] = None
    extend_select: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="What to look for besides."),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="What to leave out, whatever is selected."),
    ] = None
    json: JsonOption = None
    debug: DebugOption = False

    def selection(self) -> Selection:
        """The codes that are wanted.

        Raises:
            ValueError: there is no such code.
        """
        return Selection(
            _split(self.select) or Selection().select,
            _split(self.extend_select),
            _split(self.ignore),
        )


def _split(given: list[str] | None) -> tuple[str, ...]:
    return tuple(code.strip() for text in given or () for code in text.split(",") if code.strip())


def lint(request: Request) -> None:
    """Find mistakes in programs that use this library. Nothing is run or imported.

    Prints a line for each: path, line, column, code and what to do about it. A comment `# noqa:
    CODE` in its line excuses it. The guide "Linter" has all codes, with examples.

    Exit codes: 0 nothing was found; 1 something was found; 2 a path or a code is wrong.
    """
    with explained(request.debug):
        selection = request.selection()
        screen = out(for_program=to_standard_output(request.json))
        found: list[dict[str, str | int]] = []
        checked = 0
        for file in _files(request.paths):
            checked += 1
            for each in selection.wanted(_check(file)):
                screen.print(f"{_shown(file)}:{each}", markup=False, soft_wrap=True)
                found.append({"path": str(file), **_plain(each)})
        many = len(found)
        note(f"{many} finding{'s' * (many != 1)} in {checked} file{'s' * (checked != 1)}")
        write_report(request.json, {"files": checked, "findings": found})
        if found:
            raise typer.Exit(1)


def _files(paths: list[Path]) -> Iterator[Path]:
    try:
        yield from python_files(paths)
    except OSError as error:
        raise Problem(str(error), code=ExitCode.USAGE) from error


def _check(file: Path) -> list[Finding]:
    try:
        return check_source(file.read_bytes())
    except OSError as error:
        text = f"{file} cannot be read: {error.strerror or error}"
        raise Problem(text, code=ExitCode.USAGE) from error


def _shown(file: Path) -> str:
    """The path; bytes in it that are no text are spelt out."""
    return os.fsencode(file).decode(errors="backslashreplace")


def _plain(found: Finding) -> dict[str, str | int]:
    return {
        "line": found.line,
        "column": found.column,
        "code": found.code,
        "message": found.message,
    }
