"""Which files are checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def python_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Find the Python files under some paths, each once, in the order of their names.

    A file that is named counts, whatever it is called. Of a folder, all files `*.py` in it and
    below, except in folders that begin with a dot, virtual environments, `__pycache__` and
    `node_modules`.

    Raises:
        FileNotFoundError: one of the paths does not exist.
    """
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: name files and folders")
        for file in _below(path) if path.is_dir() else [path]:
            if (same := file.resolve()) not in seen:
                seen.add(same)
                yield file


def _below(folder: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(folder):
        here = Path(directory)
        folders[:] = sorted(name for name in folders if not _is_left_out(here / name))
        yield from (here / name for name in sorted(files) if name.endswith(".py"))


def _is_left_out(folder: Path) -> bool:
    return (
        folder.name.startswith(".")
        or folder.name in {"__pycache__", "node_modules"}
        or (folder / "pyvenv.cfg").exists()
    )
