"""What the services of a system emit and handle: AsyncAPI documents, diagrams, a page to read."""

from __future__ import annotations

from walnats_anyio.services._flow import Service
from walnats_anyio.services._services import Direction, Services

__all__ = ["Direction", "Service", "Services"]
