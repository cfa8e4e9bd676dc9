"""Moved to tests/support/sweep.py; goes once tests/link imports from there."""

from __future__ import annotations

from tests.support.sweep import Scenario as Scenario
from tests.support.sweep import cancelled_at as cancelled_at
from tests.support.sweep import sweep as sweep
