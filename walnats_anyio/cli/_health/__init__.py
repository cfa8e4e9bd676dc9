"""The health port: what a supervisor tells over HTTP, for all of its worker processes.

Theory of operation. `_http.py` knows HTTP and nothing of workers: it reads one request a connection
and calls a function for the answer. `_pages.py` is that function. What a page shows is either known
here (`_metrics.py`: what the workers told last) or asked of NATS (`_backlog.py`: the consumers of
the actors), and then it is kept for a moment, so that many requests are no load for NATS.
"""

from __future__ import annotations

from walnats_anyio.cli._health._options import Health

__all__ = ["Health"]
