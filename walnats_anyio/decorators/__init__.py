"""What decides whether and when a handler runs: filters, rate limits, requirements."""

from __future__ import annotations

from walnats_anyio.decorators._filter_time import filter_time
from walnats_anyio.decorators._rate_limit import RateLimit, RateLimitStatistics, rate_limit
from walnats_anyio.decorators._require import require
from walnats_anyio.decorators._suppress import suppress

__all__ = [
    "RateLimit",
    "RateLimitStatistics",
    "filter_time",
    "rate_limit",
    "require",
    "suppress",
]
