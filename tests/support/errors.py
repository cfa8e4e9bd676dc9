"""Errors that only a test can have raised."""

from __future__ import annotations


class OwnError(Exception):
    """An error of the test's own: whoever sees it knows where it came from."""


class OwnBaseError(BaseException):
    """The same, and no error of a job but the end of everything."""
