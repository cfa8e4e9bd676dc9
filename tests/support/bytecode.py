"""Compile the tests once, before several processes of pytest-xdist begin to collect them.

pytest rewrites the assertions of each file and keeps the bytecode. In a fresh clone there is none
yet; all processes read the files in the same order and at the same time, so each would compile
nearly all of them. pytest has no public way to rewrite a file without running it.
"""

from __future__ import annotations

import compileall
import os
import threading
from collections.abc import Sequence
from fnmatch import fnmatch
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import (
    PYC_TAIL,
    _rewrite_test,
    _write_pyc,
    assertstate_key,
    get_cache_dir,
)


class CompileFirst:
    """A plugin for the process that starts the others."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config) -> None:
        if assertstate_key not in config.stash:  # with --assert=plain
            return
        files = [file for file in _chosen(config) if not _bytecode(config, file).exists()]
        if len(files) < 2 or threading.active_count() > 1:
            _compile(config, files)
            return
        # Two halves, as the other processes wait for both.
        child = os.fork()
        try:
            _compile(config, files[::2] if child == 0 else files[1::2])
        finally:
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)


def _chosen(config: pytest.Config) -> list[Path]:
    """The files that the arguments of pytest name, and those in folders that they name."""
    paths = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    found = {file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))}
    return sorted(found)


def _is_rewritten(config: pytest.Config, file: Path) -> bool:
    patterns: Sequence[str] = config.getini("python_files")
    return any(fnmatch(file.name, pattern) for pattern in ["conftest.py", *patterns])


def _bytecode(config: pytest.Config, file: Path) -> Path:
    if not _is_rewritten(config, file):
        return Path(cache_from_source(str(file)))
    return get_cache_dir(file) / f"{file.stem}{PYC_TAIL}"


def _compile(config: pytest.Config, files: list[Path]) -> None:
    for file in files:
        if not _is_rewritten(config, file):
            compileall.compile_file(file, quiet=2)
            continue
        pyc = _bytecode(config, file)
        try:
            pyc.parent.mkdir(exist_ok=True)
            source, code = _rewrite_test(file, config)
        except (OSError, SyntaxError):
            continue  # pytest says so when it collects the file, or goes on without bytecode
        _write_pyc(config.stash[assertstate_key], code, source, pyc)
