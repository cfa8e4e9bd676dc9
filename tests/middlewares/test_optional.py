"""What needs an optional package is imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from walnats_anyio import middlewares

ROOT = Path(__file__).parent.parent.parent

NEEDS = {
    "SentryMiddleware": ("sentry_sdk", "sentry"),
    "OpenTelemetryTraceMiddleware": ("opentelemetry", "opentelemetry"),
    "OpenTelemetryMetricsMiddleware": ("opentelemetry", "opentelemetry"),
    "PrometheusMiddleware": ("prometheus_client", "prometheus"),
    "StatsdMiddleware": ("datadog", "statsd"),
    "ZipkinMiddleware": ("opentelemetry", "zipkin"),
}

MISSING = f"""
import sys
import walnats_anyio
packages = {{package for package, _ in {NEEDS!r}.values()}}
assert not packages & sys.modules.keys(), packages & sys.modules.keys()
for package in packages:
    sys.modules[package] = None  # as if it were not installed
for name, (package, extra) in {NEEDS!r}.items():
    try:
        getattr(walnats_anyio.middlewares, name)
    except ImportError as error:
        assert package in str(error), error
        assert f"pip install 'walnats-anyio[{{extra}}]'" in str(error), error
    else:
        raise AssertionError(name)
print("named")
"""


def test_a_missing_package_names_its_extra() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", MISSING], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.split() == ["named"]


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_installed_is_there(name: str) -> None:
    found = getattr(middlewares, name)
    assert issubclass(found, middlewares.Middleware)
    assert found.__module__ == "walnats_anyio.middlewares"
    assert name in dir(middlewares)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Elsewhere'"):
        middlewares.Elsewhere  # noqa: B018 - to look it up is the test
