"""A worker as a program of its own: `python -m tests.faults._worker URL NOTES ACK_WAIT BACKEND`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from tests.faults._scene import actor_of
from walnats_anyio import Actors, Event
from walnats_anyio.types import ConnectedActors

EVENT: Event[int] = Event("numbers", int)


async def main(url: str, path: str, ack_wait: str) -> None:
    async with Actors(actor_of(EVENT, Path(path), float(ack_wait))).connect(url) as conn:
        await conn.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(shut_down_at_sigterm, conn)
            async with anyio.create_task_group() as listening:
                await listening.start(conn.listen)
                ready_file(Path(path), os.getpid()).touch()
            tasks.cancel_scope.cancel()


async def shut_down_at_sigterm(conn: ConnectedActors, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            conn.shutdown()


def ready_file(notes: Path, pid: int) -> Path:
    """The file that is there once the worker listens."""
    return notes.with_suffix(f".{pid}")


if __name__ == "__main__":
    _, url, path, ack_wait, backend = sys.argv
    anyio.run(main, url, path, ack_wait, backend=backend)
