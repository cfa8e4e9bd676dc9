"""What surrounds a handler: hooks for logs, metrics, traces and error reports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from walnats_anyio._actors.declare import (
    BaseContext,
    Context,
    ErrorContext,
    Middleware,
    OkContext,
)
from walnats_anyio._events import EmitContext, EmitMiddleware
from walnats_anyio.middlewares._current_context import CurrentContextMiddleware
from walnats_anyio.middlewares._error_threshold import ErrorThresholdMiddleware
from walnats_anyio.middlewares._extra_log import ExtraLogMiddleware
from walnats_anyio.middlewares._frequency import FrequencyMiddleware
from walnats_anyio.middlewares._text_log import TextLogMiddleware

if TYPE_CHECKING:
    from walnats_anyio.middlewares._opentelemetry_metrics import OpenTelemetryMetricsMiddleware
    from walnats_anyio.middlewares._opentelemetry_trace import OpenTelemetryTraceMiddleware
    from walnats_anyio.middlewares._prometheus import PrometheusMiddleware
    from walnats_anyio.middlewares._sentry import SentryMiddleware
    from walnats_anyio.middlewares._statsd import StatsdMiddleware
    from walnats_anyio.middlewares._zipkin import ZipkinMiddleware

__all__ = [
    "BaseContext",
    "Context",
    "CurrentContextMiddleware",
    "EmitContext",
    "EmitMiddleware",
    "ErrorContext",
    "ErrorThresholdMiddleware",
    "ExtraLogMiddleware",
    "FrequencyMiddleware",
    "Middleware",
    "OkContext",
    "OpenTelemetryMetricsMiddleware",
    "OpenTelemetryTraceMiddleware",
    "PrometheusMiddleware",
    "SentryMiddleware",
    "StatsdMiddleware",
    "TextLogMiddleware",
    "ZipkinMiddleware",
]

_OPTIONAL = {
    "OpenTelemetryMetricsMiddleware": ("_opentelemetry_metrics", "opentelemetry"),
    "OpenTelemetryTraceMiddleware": ("_opentelemetry_trace", "opentelemetry"),
    "PrometheusMiddleware": ("_prometheus", "prometheus"),
    "SentryMiddleware": ("_sentry", "sentry"),
    "StatsdMiddleware": ("_statsd", "statsd"),
    "ZipkinMiddleware": ("_zipkin", "zipkin"),
}
"""What needs a package of an extra: the file it is in, and the extra."""


def __getattr__(name: str) -> Any:
    """Import what needs an optional package when it is first asked for.

    Raises:
        AttributeError: there is no such name.
        ImportError: its package is not installed.
    """
    if name not in _OPTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file, extra = _OPTIONAL[name]
    try:
        module = import_module(f"{__name__}.{file}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs the package {error.name!r}: pip install 'walnats-anyio[{extra}]'"
        ) from error
    value = getattr(module, name)
    # Tracebacks and help() name the module that people import it from.
    value.__module__ = __name__
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
