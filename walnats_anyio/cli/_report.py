"""What a command shows a person, for a program: a file of JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from walnats_anyio.cli._endings import ExitCode, Problem

STANDARD_OUTPUT = Path("-")
"""What names standard output in the place of a file."""


def to_standard_output(file: Path | None) -> bool:
    """Whether the report goes where people otherwise read: then they read standard error."""
    return file == STANDARD_OUTPUT


def write_report(file: Path | None, report: dict[str, Any], *, last: bool = True) -> None:
    """Write the report, unless no file is wanted; a reader sees the old file or the whole new one.

    Standard output gets the last one only, so that it holds one document.

    Raises:
        Problem: the file cannot be written.
    """
    if file is None or (to_standard_output(file) and not last):
        return
    write_text(file, json_text(report))


def json_text(report: dict[str, Any]) -> str:
    """A report as the text of a file, in ASCII."""
    return json.dumps(report, indent=2) + "\n"


def write_text(file: Path, text: str) -> None:
    """Write a text as UTF-8; a reader of the file sees the old one or the whole new one.

    Raises:
        Problem: the file cannot be written.
    """
    try:
        if to_standard_output(file):
            sys.stdout.flush()
            # Not by its encoding, which a locale may say has no letters beyond ASCII.
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
        elif file.exists() and not file.is_file():  # /dev/null must stay what it is
            file.write_text(text, encoding="utf-8")
        else:
            _replace(file, text)
    except OSError as error:
        raise Problem(
            f"{file} cannot be written: {error.strerror or error}", code=ExitCode.USAGE
        ) from error


def _replace(file: Path, text: str) -> None:
    # Beside the target, as a rename works within one file system only.
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
