"""All rows of the table, in order."""

from __future__ import annotations

from tests.versions import _features, _more_features
from tests.versions._site import FEATURES

__all__ = ["FEATURES", "MODULES"]

MODULES = (_features, _more_features)
"""Those that add rows while they are imported."""
