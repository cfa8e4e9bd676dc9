"""What the examples of a page set for the whole process is taken back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_sentry_afterwards() -> Iterator[None]:
    """Without a client, the SDK does nothing in the tests that follow in this process."""
    yield
    sentry = sys.modules.get("sentry_sdk")
    if sentry is not None:
        sentry.get_global_scope().set_client(None)
