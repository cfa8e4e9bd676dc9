"""Moved to tests/support/jetstream.py; goes once tests/link and tests/events import from there."""

from __future__ import annotations

from tests.support.jetstream import ask as ask
from tests.support.jetstream import make_consumer as make_consumer
from tests.support.jetstream import read_page as read_page
