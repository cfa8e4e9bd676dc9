"""Standard streams of a command that goes on for long: reading and writing block no event loop.

A program that reads slowly fills its pipe, and a plain write would wait for it, with the event loop
and so with the connection. So a pipe, a socket and a terminal are waited for, as anyio can, and
written in pieces that fit. Files and devices never make anybody wait.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio
from anyio.lowlevel import checkpoint

PIECE = 4096
"""Bytes that a pipe takes at once when it takes any: PIPE_BUF of Linux."""

CHUNK = 65536
"""Bytes that are read at once."""


async def write(fd: int, data: bytes) -> None:
    """Write all of the data. Waits for as long as nobody reads.

    Raises:
        BrokenPipeError: nobody will read it any more.
        OSError: it cannot be written.
    """
    wait = _waiting(fd, anyio.wait_writable)
    view = memoryview(data)
    while view:
        await wait()
        view = view[os.write(fd, view[:PIECE]) :]


async def read(fd: int) -> AsyncGenerator[bytes, None]:
    """Give what comes, piece by piece, until its end.

    Raises:
        OSError: it cannot be read.
    """
    wait = _waiting(fd, anyio.wait_readable)
    while True:
        await wait()
        data = os.read(fd, CHUNK)
        if not data:
            return
        yield data


async def read_lines(fd: int, longest: int) -> AsyncGenerator[bytes, None]:
    """Give the lines that come, without their ends; the last one may lack one.

    Raises:
        ValueError: a line has more bytes than `longest`.
        OSError: it cannot be read.
    """
    rest = b""
    async for data in read(fd):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > longest:
            raise ValueError(f"a line has over {longest} bytes, which no event takes")
    if rest:
        yield rest


def _waiting(fd: int, wait: Callable[[int], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd):
        return lambda: wait(fd)
    return checkpoint
