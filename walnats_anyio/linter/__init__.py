"""Finds mistakes in programs that use this library, without running them.

Theory of operation. One engine looks at the syntax tree of one file at a time: `_scopes.py` notes
what each name is bound to, `_values.py` follows names to imports, constants and functions, and the
other files are the checks. What cannot be told from the file alone is not reported. Two front ends
use it: the plugin of flake8, and the command `walnats-anyio lint`. The room imports nothing of the
rest of the library, so that checking a file costs what reading it costs.
"""

from __future__ import annotations

from walnats_anyio.linter._codes import CODES, Code, Finding
from walnats_anyio.linter._flake8 import Flake8Plugin
from walnats_anyio.linter._selection import Selection
from walnats_anyio.linter._source import check_source

__all__ = ["CODES", "Code", "Finding", "Flake8Plugin", "Selection", "check_source"]
