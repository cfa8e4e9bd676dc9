"""What is changed, and which tests are near it."""

from __future__ import annotations

from pathlib import Path

from tests.mutants._operators import Mutant, changes_in, mutants_of

ROOT = Path(__file__).parent.parent.parent

SHARE = 0.13
"""The part of all mutants of a file that is tried."""

FEWEST, MOST = 3, 14
"""Mutants of a file that are tried, at least and at most."""

RECONNECT = ("_servers.py", "_dialer.py", "_patience.py", "_pending.py", "_link.py")
"""What of the link reconnects."""

NEAR: dict[str, tuple[str, ...]] = {
    "walnats_anyio/_actors/settle/": (
        "tests/actors/settle",
        "tests/actors/test_held_emits.py",
        "tests/middlewares",
    ),
    "walnats_anyio/_actors/pull/_due.py": (
        "tests/actors/test_delays.py",
        "tests/actors/test_early.py",
    ),
    "walnats_anyio/_actors/pull/_early.py": ("tests/actors/test_early.py",),
    "walnats_anyio/_actors/pull/_pull_consumer.py": (
        "tests/actors/pull",
        "tests/actors/test_burst.py",
        "tests/actors/test_consumers.py",
        "tests/actors/test_early.py",
    ),
    "walnats_anyio/_actors/pull/": ("tests/actors/pull", "tests/actors/test_consumers.py"),
    "walnats_anyio/_actors/run/_answering.py": ("tests/actors/test_requests.py",),
    "walnats_anyio/_actors/run/_batch": (
        "tests/actors/run/test_batch_queue.py",
        "tests/actors/test_batches.py",
    ),
    "walnats_anyio/_actors/run/_forks.py": ("tests/actors/run/test_forks.py",),
    "walnats_anyio/_actors/run/_workers.py": (
        "tests/actors/run",
        "tests/actors/test_sharing.py",
        "tests/actors/test_time.py",
    ),
    "walnats_anyio/_actors/run/": (
        "tests/actors/run",
        "tests/actors/test_isolation.py",
        "tests/actors/test_logs.py",
    ),
    "walnats_anyio/_letters/": ("tests/letters", "tests/dead_letters"),
    "walnats_anyio/_events/_publication.py": (
        "tests/dead_letters/test_acknowledged.py",
        "tests/events/test_not_now.py",
        "tests/events/test_emit.py",
        "tests/actors/test_domains.py",
    ),
    "walnats_anyio/_events/": ("tests/events",),
    "walnats_anyio/_link/protocol/": ("tests/link/protocol",),
    "walnats_anyio/_link/": (
        "tests/link/test_servers.py",
        "tests/link/test_patience.py",
        "tests/link/test_requests.py",
        "tests/link/test_bad_servers.py",
        "tests/link/test_what_passes.py",
        "tests/link/test_stopping_servers.py",
        "tests/link/test_refusals_of_the_server.py",
        "tests/link/test_statistics.py",
        "tests/link/test_leaving.py",
        "tests/link/test_connect.py",
        "tests/link/test_option_effects.py",
        "tests/events/test_reconnect.py",
        "tests/events/test_not_now.py",
        "tests/actors/test_outages.py",
    ),
}
"""The tests near the files of a folder, or near one file; the first that fits counts."""

LONG: dict[str, tuple[str, ...]] = {
    "walnats_anyio/_actors/run/_worker.py": (
        "tests/actors/test_consumers.py::test_a_lower_ack_wait_while_listening[asyncio]",
    ),
}
"""Tests of a file that are too long for the first trial; the second one begins with them."""

WIDER = (
    "tests/actors",
    "tests/events",
    "tests/link",
    "tests/letters",
    "tests/dead_letters",
    "tests/middlewares",
    "tests/faults",
)
"""All tests that may notice a change there."""

ELSEWHERE = ("_channel.py", "_process_side.py", "_surroundings.py", "_logs.py", "_calling.py")
"""Files that run in worker processes, where it is not seen which test runs which line."""

PROCESS_TESTS = (
    "tests/actors/run/test_processes.py",
    "tests/actors/run/test_programs.py",
    "tests/actors/run/test_failure.py",
    "tests/actors/run/test_executors.py",
    "tests/actors/test_handlers.py",
)


def files() -> list[str]:
    """The files that are changed, from the root of the repository."""
    found = [
        path
        for folder in NEAR
        for path in sorted((ROOT / folder).glob("*.py"))
        if path.name != "__init__.py"
        and (folder != "walnats_anyio/_link/" or path.name in RECONNECT)
    ]
    return [path.relative_to(ROOT).as_posix() for path in found]


def near(path: str) -> tuple[str, ...]:
    """The tests near a file."""
    if Path(path).name in ELSEWHERE and "_actors/run/" in path:
        return PROCESS_TESTS
    return next(tests for folder, tests in NEAR.items() if path.startswith(folder))


def drawn(path: str) -> list[Mutant]:
    """The mutants of a file that are tried."""
    mutants = mutants_of(path, (ROOT / path).read_bytes())
    count = min(max(round(len(mutants) * SHARE), FEWEST), MOST)
    return list(changes_in(mutants, count))
