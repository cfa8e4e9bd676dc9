"""A process that runs levels: `python -m walnats_anyio.tune._worker`.

It keeps its standard input and output for itself, and gives others in their place to the handler:
what that prints goes to standard error, and what it reads is empty.
"""

from __future__ import annotations

import os
import ssl
import sys
from typing import IO, Any

import anyio
import anyio.to_thread
import msgspec

from walnats_anyio.tune._bench import LocalBench, local_bench
from walnats_anyio.tune._orders import Answer, Assignment, Order
from walnats_anyio.tune._run import Sketch, Window
from walnats_anyio.tune._target import load


def main() -> None:
    """Run the levels that standard input asks for, until it ends."""
    orders, answers = _take_streams()
    assignment = msgspec.json.decode(orders.readline(), type=Assignment)
    os.chdir(assignment.directory)
    options: dict[str, Any] = {"use_uvloop": True} if assignment.uvloop else {}
    anyio.run(
        _serve, assignment, orders, answers, backend=assignment.backend, backend_options=options
    )


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    orders = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - its number is what counts
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return orders, answers


async def _serve(assignment: Assignment, orders: IO[bytes], answers: IO[bytes]) -> None:
    actors, actor = load(assignment.target, assignment.actor)
    connect = dict(assignment.connect)
    if assignment.tls:
        connect["tls"] = tls_context(assignment.tls)
    async with local_bench(actors, actor, assignment.top, connect, assignment.listen) as bench:
        answers.write(msgspec.json.encode(Answer(ok=True)) + b"\n")
        # The thread must not keep the process: its parent ends it by ending what it reads from.
        while line := await anyio.to_thread.run_sync(orders.readline, abandon_on_cancel=True):
            answer = await _obey(bench, msgspec.json.decode(line, type=Order))
            answers.write(msgspec.json.encode(answer) + b"\n")


async def _obey(bench: LocalBench, order: Order) -> Answer:
    result: Any = await getattr(bench, order.do)(*order.arguments)
    return Answer(
        ok=True,
        window=result if isinstance(result, Window) else None,
        sketch=result if isinstance(result, Sketch) else None,
    )


def tls_context(files: dict[str, str]) -> ssl.SSLContext:
    """The TLS context of those files."""
    context = ssl.create_default_context(cafile=files.get("ca"))
    if "cert" in files:
        context.load_cert_chain(files["cert"], files.get("key"))
    return context


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
