"""Packages of the extra `tune`, imported when they are used and not before.

What they give is `Any`: SciPy and Matplotlib are published without complete types.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def optional(module: str) -> Any:
    """Import a module of the extra.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise ModuleNotFoundError(
            f"tuning needs {package}, which is not installed: pip install 'walnats-anyio[tune]'",
            name=error.name,
        ) from error
