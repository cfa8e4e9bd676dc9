"""Zipkin: the spans that its server gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.actors._stage import listening, stage
from tests.middlewares._receivers import HttpReceiver, http_receiver
from walnats_anyio import Actor, Event, Events
from walnats_anyio.middlewares import ZipkinMiddleware

pytestmark = pytest.mark.anyio


@pytest.fixture
def zipkin() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


def endpoint(zipkin: HttpReceiver) -> str:
    return f"http://127.0.0.1:{zipkin.port}/api/v2/spans"


def received(zipkin: HttpReceiver) -> list[dict[str, Any]]:
    return [span for request in zipkin.requests for span in json.loads(request.body)]


async def handle(message: int) -> None:
    if message == 2:
        raise ValueError("no 2")


async def do(url: str, event: Event[int], middleware: ZipkinMiddleware, message: int) -> None:
    actor = Actor("a", event, handle, middlewares=(middleware,), max_attempts=1)
    async with (
        stage(url, actor) as on,
        Events(event, middlewares=(middleware,)).connect(url) as events,
    ):
        await events.emit(event, message, sync=True)
        async with listening(on.actors):
            await on.until_done(actor)
    assert await anyio.to_thread.run_sync(middleware.flush)


async def test_emit_and_job_are_one_trace(
    url: str, event: Event[int], zipkin: HttpReceiver
) -> None:
    middleware = ZipkinMiddleware(endpoint(zipkin), service_name="shop")
    await do(url, event, middleware, 1)
    (request,) = zipkin.requests
    assert request.path == "/api/v2/spans"
    assert request.headers["content-type"] == "application/json"
    spans = {span["name"]: span for span in received(zipkin)}
    emitted, done = spans[f"publish {event.name}"], spans[f"process {event.name}"]
    assert (emitted["kind"], done["kind"]) == ("PRODUCER", "CONSUMER")
    assert done["traceId"] == emitted["traceId"]
    assert done["parentId"] == emitted["id"]
    assert "parentId" not in emitted
    assert done["localEndpoint"]["serviceName"] == "shop"
    assert done["tags"]["messaging.consumer.group.name"] == "a"
    assert done["tags"]["walnats.attempt"] == "1"
    assert "error" not in done["tags"]


async def test_a_failure_is_an_error(url: str, event: Event[int], zipkin: HttpReceiver) -> None:
    middleware = ZipkinMiddleware(endpoint(zipkin))
    await do(url, event, middleware, 2)
    spans = {span["name"]: span for span in received(zipkin)}
    tags = spans[f"process {event.name}"]["tags"]
    assert tags["error"] == "no 2"
    assert tags["error.type"] == "ValueError"


async def test_what_is_not_sampled_is_not_sent(
    url: str, event: Event[int], zipkin: HttpReceiver
) -> None:
    await do(url, event, ZipkinMiddleware(endpoint(zipkin), sample_rate=0.0), 1)
    assert zipkin.requests == []


def test_nothing_starts_before_the_first_span() -> None:
    middleware = ZipkinMiddleware()
    assert middleware.flush()
    assert middleware._provider is None


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"endpoint": object()}, TypeError, "a tracer of aiozipkin needs asyncio"),
        ({"endpoint": "localhost:9411"}, ValueError, "must be a URL such as 'http://localhost"),
        ({"sample_rate": 2.0}, ValueError, "sample_rate must be 0.0 to 1.0, not 2.0"),
        ({"sample_rate": "all"}, TypeError, "sample_rate must be of int or float, not 'all'"),
        ({"service_name": None}, TypeError, "service_name must be of str, not None"),
    ],
    ids=["aiozipkin", "no-url", "too-much", "no-number", "no-name"],
)
def test_bad_input(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ZipkinMiddleware(**arguments)
