"""Traces of emits and jobs in Zipkin."""

from __future__ import annotations

from threading import Lock

from opentelemetry.exporter.zipkin.json import (  # pyright: ignore[reportMissingTypeStubs] - py.typed is below
    ZipkinExporter,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from walnats_anyio._events._arguments import check_type
from walnats_anyio.middlewares._opentelemetry_trace import OpenTelemetryTraceMiddleware

ENDPOINT = "http://localhost:9411/api/v2/spans"


class ZipkinMiddleware(OpenTelemetryTraceMiddleware):
    """Sends spans of emits and jobs to Zipkin, from a thread of its own, on every event loop.

    An `OpenTelemetryTraceMiddleware` with a provider and an exporter of its own. Zipkin knows no
    links, so the span of a job is a child of the span of the emit. A program that has a provider
    of OpenTelemetry already adds a `ZipkinExporter` to it instead, and uses that class.

    Nothing is sent, and no thread started, before the first span. What is left is sent when the
    program ends, or by `flush`.

    Args:
        endpoint: where Zipkin takes spans.
        service_name: the name of the program in Zipkin.
        sample_rate: the part of the traces that begin here that is sent, from 0.0 to 1.0. A trace
            that is continued is sent if its beginning was.

    Raises:
        TypeError: an argument is of another type, such as a tracer of aiozipkin.
        ValueError: `sample_rate` is not from 0.0 to 1.0, or `endpoint` no URL.
    """

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        *,
        service_name: str = "walnats",
        sample_rate: float = 1.0,
    ) -> None:
        super().__init__(same_trace=True)
        if not isinstance(endpoint, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users may
            raise TypeError(
                f"ZipkinMiddleware: endpoint must be a URL such as {ENDPOINT!r}, not {endpoint!r}; "
                "a tracer of aiozipkin needs asyncio"
            )
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(
                f"ZipkinMiddleware: endpoint must be a URL such as {ENDPOINT!r}, not {endpoint!r}"
            )
        check_type("ZipkinMiddleware: service_name", service_name, str)
        check_type("ZipkinMiddleware: sample_rate", sample_rate, (int, float))
        if not 0.0 <= sample_rate <= 1.0:
            raise ValueError(
                f"ZipkinMiddleware: sample_rate must be 0.0 to 1.0, not {sample_rate!r}"
            )
        self.endpoint = endpoint
        self.service_name = service_name
        self.sample_rate = sample_rate
        self._lock = Lock()
        self._provider: TracerProvider | None = None

    @property
    def tracer(self) -> Tracer:
        """What makes the spans."""
        with self._lock:
            if self._tracer is None:
                self._provider = self._make_provider()
                self._tracer = self._provider.get_tracer("walnats_anyio")
            return self._tracer

    def flush(self, timeout: float = 30.0) -> bool:
        """Send the spans that wait. It blocks: in an event loop, call it in a thread.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether all were handed over within the time.
        """
        provider = self._provider
        return provider is None or provider.force_flush(round(timeout * 1000))

    def _make_provider(self) -> TracerProvider:
        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(self.sample_rate)),
            resource=Resource.create({SERVICE_NAME: self.service_name}),
        )
        exporter = ZipkinExporter(endpoint=self.endpoint)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return provider
