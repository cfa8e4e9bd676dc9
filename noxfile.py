"""Sessions for developers: `nox` runs tests, lint, types and docs.

`nox -s bench` measures, `nox -s faults` and `nox -s soak` break things for minutes, `nox -s long`
runs what is too long for the suite, `nox -s tune` tunes handlers whose best `max_jobs` is known,
`nox -s memory` compares the server in memory with the real one, `nox -s versions` tries other
nats-servers, and `nox -s mutants` breaks the library to see whether a test notices.
"""

from __future__ import annotations

from pathlib import Path

import nox
from packaging.requirements import Requirement

PYTHONS = ["3.11", "3.12", "3.13"]
BENCHMARK_REQUIREMENTS = Path("benchmarks", "requirements.txt")

LOWEST_TESTS = [
    "tests/actors/run/test_executors.py::test_hung_threads_cost_nobody_an_attempt",
    "tests/cli/test_app.py",
    "tests/cli/test_health_http.py",
    "tests/cli/test_reloading.py",
    "tests/cli/test_variables.py",
    "tests/events/test_emit.py",
    "tests/interop",
    "tests/link/test_borrowed_client.py",
    "tests/link/test_conformance.py",
    "tests/link/test_credentials.py",
    "tests/link/test_event_loops.py",
    "tests/link/test_options.py",
    "tests/link/test_websocket.py",
    "tests/linter/test_flake8.py",
    "tests/middlewares/test_logs.py",
    "tests/middlewares/test_opentelemetry_metrics.py",
    "tests/middlewares/test_opentelemetry_trace.py",
    "tests/middlewares/test_prometheus.py",
    "tests/middlewares/test_sentry.py",
    "tests/middlewares/test_statsd.py",
    "tests/middlewares/test_zipkin.py",
    "tests/serializers/test_marshmallow.py",
    "tests/serializers/test_protobuf.py",
    "tests/serializers/test_serializers.py",
    "tests/serializers/test_wrappers.py",
    "tests/test_packaging.py",
    "tests/tune/test_law.py",
    "tests/tune/test_tune.py",
]
"""Tests that between them use every dependency, and see what its older versions do otherwise."""

LONG = {
    "WALNATS_ATOMIC_KILLS": "100",
    "WALNATS_AUTO_LOAD": "1",
    "WALNATS_CANCELS": "1000",
    "WALNATS_CLOCK_SECONDS": "90",
    "WALNATS_DELAYED_KILLS": "5",
    "WALNATS_EXAMPLES": "500",
    "WALNATS_HERD": "1",
    "WALNATS_RETRIES": "1000",
    "WALNATS_RUN_OPTIONS": "1",
    "WALNATS_TEST_CUTS": "1000",
    "WALNATS_TEST_REQUESTS": "10000",
}
"""What makes tests run that the suite leaves out, or run longer; each file says what it means."""

LONG_TESTS = [
    "tests/actors/run/test_auto_load.py",
    "tests/actors/settle/test_postponed_faults.py",
    "tests/actors/test_request_ends.py",
    "tests/actors/test_requests.py",
    "tests/cli/test_cancel_many.py",
    "tests/cli/test_clock.py",
    "tests/cli/test_health.py",
    "tests/cli/test_reloading.py",
    "tests/cli/test_renewing.py",
    "tests/events/test_atomic.py",
    "tests/events/test_clock_killed.py",
    "tests/events/test_delays.py",
    "tests/events/test_registering_at_once.py",
    "tests/serializers",
]

nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "venv"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python found; arguments go to pytest."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "8", "--dist", "worksteal"]))


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run a part of the tests on the lowest versions that pyproject.toml declares."""
    constraints = Path(session.create_tmp(), "lowest.txt")
    constraints.write_text("".join(f"{pin}\n" for pin in _lowest_versions()))
    session.install("-e", ".[test]", "--constraint", str(constraints))
    arguments = session.posargs or ["-n", "8", "--dist", "worksteal"]
    session.run("python", "-m", "pytest", *arguments, *LOWEST_TESTS)


def _lowest_versions() -> list[str]:
    """What users and tests need, each pinned to the lowest version that is declared for it."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    declared = list(project["dependencies"])
    for name in extras.keys() - {"lint", "mutants", "manifests", "types", "docs", "dev"}:
        declared += extras[name]
    requirements = [Requirement(each) for each in declared]
    return sorted(
        f"{each.name}=={bound.version}"
        for each in requirements
        if each.name != project["name"]
        for bound in each.specifier
    )


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

    Before that, 400 programs are interrupted at random moments, and workers that emit what follows
    from 10,000 events are killed at random.
    """
    session.install("-e", ".[test]")
    interrupts = "tests/link/test_interrupts.py"
    session.run("python", "-m", "pytest", interrupts, env={"WALNATS_INTERRUPTS": "400"})
    follow_ups = "tests/faults/test_follow_ups.py"
    session.run("python", "-m", "pytest", follow_ups, env={"WALNATS_FOLLOW_UPS": "10000"})
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run a mixed load with random faults; arguments go to `python -m tests.faults.soak`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults.soak", *session.posargs)


@nox.session
def tune(session: nox.Session) -> None:
    """Tune handlers whose best `max_jobs` is known, ten times each; 40 minutes.

    Arguments go to `python -m tests.tune`.
    """
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.tune", *session.posargs)


@nox.session
def memory(session: nox.Session) -> None:
    """Compare `MemoryServer` with nats-server, and run tests of behaviour on it; 20 minutes."""
    session.install("-e", ".[test]")
    more = {"WALNATS_WALKS": "0:200", "WALNATS_FUZZ": "1000"}
    session.run("python", "-m", "pytest", "-n", "5", "tests/testing/memory", env=more)
    behaviour = session.posargs or ["tests/actors", "tests/events", "tests/middlewares"]
    session.run("python", "-m", "pytest", "-n", "5", "--memory", *behaviour)


@nox.session
def long(session: nox.Session) -> None:
    """Run what is too long for the suite, or needs a machine that does nothing else; half an hour.

    Arguments go to pytest, such as the names of some of `LONG_TESTS`.
    """
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or LONG_TESTS), env=LONG)


@nox.session
def versions(session: nox.Session) -> None:
    """Try the features on many versions of nats-server; `-- --write` writes the docs' table."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.versions", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Try hundreds of small changes to the library; arguments go to `python -m tests.mutants`."""
    session.install("-e", ".[test,mutants]")
    session.run("python", "-m", "tests.mutants", *(session.posargs or ["run"]))
