"""Sessions for developers: `nox` runs tests, lint, types and docs.

`nox -s bench` measures, `nox -s faults` and `nox -s soak` break things for minutes.
"""

from __future__ import annotations

from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13"]
BENCHMARK_REQUIREMENTS = Path("benchmarks", "requirements.txt")

nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "venv"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python found; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "4", "--dist", "worksteal"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with both checkers."""
    session.install("-e", ".[types]")
    session.run("mypy", "--strict")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into `site/`; a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks against the peers; arguments go to `python -m benchmarks`."""
    session.install("-e", ".[all]", "-r", str(BENCHMARK_REQUIREMENTS))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Send 10,000 events through every fault; arguments go to `python -m tests.faults`.

    Before that, 400 programs are interrupted at random moments.
    """
    session.install("-e", ".[test]")
    interrupts = "tests/link/test_interrupts.py"
    session.run("python", "-m", "pytest", interrupts, env={"WALNATS_INTERRUPTS": "400"})
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run a mixed load with random faults; arguments go to `python -m tests.faults.soak`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults.soak", *session.posargs)
