"""Metrics for Prometheus, as it scrapes them."""

from __future__ import annotations

import urllib.request

import anyio
import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from tests.actors._stage import running, stage
from tests.support.recorders import Gate
from walnats_anyio import Actor, Event
from walnats_anyio.middlewares import PrometheusMiddleware

pytestmark = pytest.mark.anyio


class Metrics:
    """What a registry has for an actor."""

    def __init__(self, registry: CollectorRegistry, event: Event[int], actor: str = "a") -> None:
        self._registry = registry
        self._labels = {"event": event.name, "actor": actor}

    def __getitem__(self, name: str) -> float | None:
        return self._registry.get_sample_value(f"walnats_{name}", self._labels)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry, event: Event[int]) -> Metrics:
    return Metrics(registry, event)


async def test_jobs_are_counted_and_timed(
    url: str, event: Event[int], registry: CollectorRegistry, metrics: Metrics
) -> None:
    async def handle(message: int) -> None:
        if message == 3:
            raise ValueError

    middleware = PrometheusMiddleware(registry)
    actor = Actor("a", event, handle, middlewares=(middleware,), max_attempts=2, retry_delay=())
    async with running(url, actor) as on:
        await on.emit(1, 2, 3)
        await on.emit_raw(b"{")
        await on.until_done(actor)
    assert metrics["handler_started_total"] == 4
    assert metrics["handler_succeeded_total"] == 2
    assert metrics["handler_failed_total"] == 3
    assert metrics["handler_duration_seconds_count"] == 4
    assert metrics["handler_in_flight"] == 0
    assert metrics["events_waiting"] == 0


async def test_what_is_in_flight_and_what_waits(
    url: str, event: Event[int], registry: CollectorRegistry, metrics: Metrics
) -> None:
    gate = Gate()
    middleware = PrometheusMiddleware(registry)
    actor = Actor("a", event, gate, middlewares=(middleware,), max_jobs=2)
    async with stage(url, actor) as on:
        await on.emit(*range(10))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: on.actors.listen(batch=2))
            await gate.come(2)
            assert metrics["handler_in_flight"] == 2
            assert metrics["events_waiting"] == 8
            tasks.cancel_scope.cancel()
    assert metrics["handler_in_flight"] == 0


async def test_what_waits_after_the_consumer_was_made_anew(
    url: str, event: Event[int], registry: CollectorRegistry, metrics: Metrics
) -> None:
    """Its deliveries are counted from one again."""
    gate = Gate()
    gate.open()
    middleware = PrometheusMiddleware(registry)
    actor = Actor("a", event, gate, middlewares=(middleware,), max_jobs=1, max_ack_pending=3)
    async with stage(url, actor) as on:
        await on.emit(*range(8))
        await on.actors.listen(burst=True)
        assert metrics["events_waiting"] == 0
        await on.link.request(f"$JS.API.CONSUMER.DELETE.{event.stream_name}.a", b"")
        await on.actors.register()
        await on.emit(*range(4))
        waiting: list[float | None] = []

        async def note(message: int) -> None:
            waiting.append(metrics["events_waiting"])

        again = Actor("a", event, note, middlewares=(middleware,), max_jobs=1, max_ack_pending=3)
        async with stage(url, again) as other:
            await other.actors.listen(burst=True, batch=1)
    assert waiting == [3, 2, 1, 0]


async def test_actors_share_a_registry(
    url: str, event: Event[int], registry: CollectorRegistry
) -> None:
    """Each with a middleware of its own."""
    gate = Gate()
    gate.open()
    actors = [
        Actor(name, event, gate, middlewares=(PrometheusMiddleware(registry),))
        for name in ("a", "b")
    ]
    async with running(url, *actors) as on:
        await on.emit(1)
        await on.until_done(*actors)
    for actor in actors:
        assert Metrics(registry, event, actor.name)["handler_succeeded_total"] == 1


async def test_prometheus_scrapes(url: str, event: Event[int], registry: CollectorRegistry) -> None:
    gate = Gate()
    gate.open()
    middleware = PrometheusMiddleware(registry, buckets=(0.5, 30))
    actor = Actor("a", event, gate, middlewares=(middleware,))
    async with running(url, actor) as on:
        await on.emit(1)
        await on.until_done(actor)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        where = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(where, timeout=30) as answer:  # noqa: ASYNC210 - of a thread
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    labels = f'actor="a",event="{event.name}"'
    assert f"walnats_handler_succeeded_total{{{labels}}} 1.0" in text
    assert f'walnats_handler_duration_seconds_bucket{{{labels},le="30.0"}} 1.0' in text


def test_one_registry_has_one_set_of_buckets(registry: CollectorRegistry) -> None:
    PrometheusMiddleware(registry, buckets=(1.0, 2.0))
    PrometheusMiddleware(registry)
    PrometheusMiddleware(registry, buckets=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"has the buckets \(1.0, 2.0\), not \(3.0,\)"):
        PrometheusMiddleware(registry, buckets=(3.0,))


def test_names_that_are_taken(registry: CollectorRegistry) -> None:
    Counter("walnats_handler_started", "of somebody else", registry=registry)
    with pytest.raises(ValueError, match="walnats_handler_started"):
        PrometheusMiddleware(registry)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="registry must be of CollectorRegistry, not 'mine'"):
        PrometheusMiddleware("mine")  # type: ignore[arg-type]  # the test is about it
