"""Metrics of emits and jobs, as the SDK of OpenTelemetry reads them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.actors._stage import listening, stage
from tests.support.recorders import Gate
from walnats_anyio import Actor, Event, Events
from walnats_anyio.middlewares import OpenTelemetryMetricsMiddleware

pytestmark = pytest.mark.anyio

Attributes = frozenset[tuple[str, Any]]


class Metrics:
    """A provider of its own for each test, and what it has measured."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.meter = MeterProvider([self._reader]).get_meter("test")

    def read(self) -> dict[str, dict[Attributes, Any]]:
        """The points of each metric."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: {
                frozenset((point.attributes or {}).items()): point
                for point in metric.data.data_points
            }
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def of_job(event: Event[int], **more: str) -> Attributes:
    return frozenset(
        {
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.destination.name": event.name,
            "messaging.consumer.group.name": "a",
            **{name.replace("_", "."): value for name, value in more.items()},
        }.items()
    )


def of_emit(event: Event[int], **more: str) -> Attributes:
    return frozenset(
        {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.destination.name": event.name,
            **more,
        }.items()
    )


async def test_metrics_of_jobs_and_emits(url: str, event: Event[int], metrics: Metrics) -> None:
    async def handle(message: int) -> None:
        if message == 3:
            raise ValueError

    middleware = OpenTelemetryMetricsMiddleware(metrics.meter)
    actor = Actor("a", event, handle, middlewares=(middleware,), max_attempts=1)
    async with (
        stage(url, actor) as on,
        Events(event, middlewares=(middleware,)).connect(url) as events,
    ):
        for message in (1, 2, 3):
            await events.emit(event, message, sync=True)
        await on.emit_raw(b"{")
        async with listening(on.actors):
            await on.until_done(actor)
    read = metrics.read()
    assert read["messaging.client.sent.messages"][of_emit(event)].value == 3
    timed = of_emit(event) | {("messaging.operation.type", "send")}
    assert read["messaging.client.operation.duration"][timed].count == 3
    consumed = read["messaging.client.consumed.messages"]
    decode_error = "walnats_anyio.serializers.DecodeError"
    assert {attributes: point.value for attributes, point in consumed.items()} == {
        of_job(event): 3,
        of_job(event, error_type=decode_error): 1,
    }
    processed = read["messaging.process.duration"]
    assert {attributes: point.count for attributes, point in processed.items()} == {
        of_job(event): 2,
        of_job(event, error_type="ValueError"): 1,
    }
    point = processed[of_job(event)]
    assert point.explicit_bounds[:2] == (0.005, 0.01)
    assert 0 <= point.sum < 30
    assert read["walnats.process.in_flight"][of_job(event)].value == 0


async def test_a_stopped_job_is_in_flight_no_longer(
    url: str, event: Event[int], metrics: Metrics
) -> None:
    gate = Gate()
    middleware = OpenTelemetryMetricsMiddleware(metrics.meter)
    actor = Actor("a", event, gate, middlewares=(middleware,))

    def in_flight() -> int:
        return int(metrics.read()["walnats.process.in_flight"][of_job(event)].value)

    async with stage(url, actor) as on:
        await on.emit(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(on.actors.listen)
            await gate.come(2)
            assert in_flight() == 2
            tasks.cancel_scope.cancel()
    assert in_flight() == 0


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="meter must be of Meter, not 'mine'"):
        OpenTelemetryMetricsMiddleware("mine")  # type: ignore[arg-type]  # the test is about it
