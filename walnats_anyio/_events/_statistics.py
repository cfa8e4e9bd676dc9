"""What emitting shows of itself to those who watch it."""

from __future__ import annotations

from dataclasses import dataclass

from walnats_anyio._link import ConnectionStatistics


@dataclass(frozen=True)
class EmitStatistics:
    """What one connection has emitted, at one moment.

    Every event that was emitted is acknowledged, failed or outstanding.
    """

    connection: ConnectionStatistics
    """The state of the connection."""

    emitted: int
    """Events handed over since the connection was made."""

    acknowledged: int
    """Events of them that their streams have acknowledged."""

    failed: int
    """Events of them that were not accepted, or not acknowledged in time."""

    outstanding: int
    """Events of them that wait for their acknowledgement; 4,096 at most."""

    outstanding_bytes: int
    """Their size, in bytes."""

    waiting: int
    """Tasks that wait in `emit` or `emit_many`, as too much is outstanding."""
