"""What a command shows a person, for a program: a file of JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from walnats_anyio.cli._endings import ExitCode, Problem


def write_report(file: Path | None, report: dict[str, Any]) -> None:
    """Write the report, unless no file is wanted; a reader sees the old file or the whole new one.

    Raises:
        Problem: the file cannot be written.
    """
    if file is None:
        return
    text = json.dumps(report, indent=2) + "\n"
    # Beside the target, as a rename works within one file system only.
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if file.exists() and not file.is_file():  # /dev/null must stay what it is
            file.write_text(text, encoding="utf-8")
        else:
            beside.write_text(text, encoding="utf-8")
            beside.replace(file)
    except OSError as error:
        raise Problem(
            f"{file} cannot be written: {error.strerror or error}", code=ExitCode.USAGE
        ) from error
