"""Moved to tests/support/leftovers.py; goes once tests/link imports from there."""

from __future__ import annotations

from tests.support.leftovers import Leftovers as Leftovers
