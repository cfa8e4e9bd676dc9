"""Handlers whose best `max_jobs` is known by construction, for `tests.tune`."""

from __future__ import annotations

import time

import anyio

import walnats_anyio as walnats

JOB = 0.02
"""Seconds that a job takes."""

NUMBERS = walnats.Event("tune.numbers", int)


async def sleep(number: int) -> None:
    """Waits for something that has no limit: more is better."""
    await anyio.sleep(JOB)


class Lock:
    """One job at a time."""

    def __init__(self) -> None:
        self._lock: anyio.Lock | None = None

    async def __call__(self, number: int) -> None:
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            await anyio.sleep(JOB)


def burn(number: int) -> None:
    """Keeps a core busy: one job at a time."""
    until = time.thread_time() + JOB
    while time.thread_time() < until:
        pass


async def block(number: int) -> None:
    """Waits, and blocks the event loop meanwhile: one job at a time."""
    time.sleep(JOB)  # noqa: ASYNC251 - what is to be noticed


class Pool:
    """Ten connections."""

    def __init__(self, size: int, job: float = JOB) -> None:
        self._size, self._job = size, job
        self._pool: anyio.CapacityLimiter | None = None

    async def __call__(self, number: int) -> None:
        if self._pool is None:
            self._pool = anyio.CapacityLimiter(self._size)
        async with self._pool:
            await anyio.sleep(self._job)


class Service:
    """A service that slows down beyond so many requests at once, so that its throughput falls."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._busy = 0

    async def __call__(self, number: int) -> None:
        self._busy += 1
        try:
            slower = max(1.0, self._busy / self._size) ** 2
            await anyio.sleep(2 * JOB * slower)
        finally:
            self._busy -= 1


SLEEP = walnats.Actor("sleep", NUMBERS, sleep)
LOCK = walnats.Actor("lock", NUMBERS, Lock())
BURN = walnats.Actor("burn", NUMBERS, burn)
BLOCK = walnats.Actor("block", NUMBERS, block)
POOL = walnats.Actor("pool", NUMBERS, Pool(10, job=0.05))
SERVICE = walnats.Actor("service", NUMBERS, Service(30))

BEST = {"SLEEP": 64, "LOCK": 1, "BURN": 1, "BLOCK": 1, "POOL": 10, "SERVICE": 30}
"""The best `max_jobs` of each, with 64 the highest level that is offered."""
