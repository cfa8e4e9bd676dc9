"""Requests: the caller gets what the handler returns, or hears why there is no response."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import walnats_anyio as walnats
from tests.actors._asked import Asked, answering, asked, handled, refused
from tests.actors._elsewhere import place_elsewhere, wrong_elsewhere
from tests.actors._stage import letters_of, running, stage
from tests.support.waiting import until
from walnats_anyio import Actor, ActorError, EmitError, ExecuteIn, Reject, Retry
from walnats_anyio._events import _requests
from walnats_anyio._link import api
from walnats_anyio.middlewares import Context, Middleware
from walnats_anyio.serializers import DecodeError
from walnats_anyio.testing import NatsServer, run_job

pytestmark = pytest.mark.anyio

LONG = 120.0

MANY = int(os.environ.get("WALNATS_TEST_REQUESTS", "100"))
"""Requests in flight at once. With 10,000 the test also says how long they take."""


@pytest.fixture
def event() -> Asked:
    return asked()


async def price(message: int) -> str:
    await anyio.lowlevel.checkpoint()
    return f"{message} euros"


def price_at_once(message: int) -> str:
    return f"{message} euros"


class Price:
    async def __call__(self, message: int) -> str:
        return f"{message} euros"


class Surrounds(Middleware):
    """Has a hook, and something around the handler."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_start(self, ctx: Context, /) -> None:
        self.seen.append("start")

    @asynccontextmanager
    async def around(self, ctx: Context, /) -> AsyncIterator[None]:
        self.seen.append("around")
        yield


@pytest.mark.parametrize("handler", [price, price_at_once, Price()])
async def test_the_response_is_what_the_handler_returns(
    url: str, event: Asked, handler: Callable[[int], Any]
) -> None:
    actor: Actor[int, Any] = Actor("price", event, handler)
    async with running(url, actor) as on:
        assert await on.events.request(event, 7, timeout=LONG) == "7 euros"
        await on.until_done(actor)


@pytest.mark.parametrize("place", [ExecuteIn.THREAD, ExecuteIn.PROCESS])
async def test_a_response_from_elsewhere(url: str, event: Asked, place: ExecuteIn) -> None:
    """A process that has answered is there for the next job."""
    async with answering(url, event, place_elsewhere, execute_in=place) as on:
        first, process = (await on.events.request(event, 7, timeout=LONG)).split()
        assert (await on.events.request(event, 8, timeout=LONG)).split() == ["8", process]
        assert first == "7"


@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
async def test_a_response_of_a_wrong_type_fails_the_attempt(
    url: str, event: Asked, place: ExecuteIn
) -> None:
    options: dict[str, Any] = {"max_attempts": 1, "execute_in": place}
    async with answering(url, event, wrong_elsewhere, **options) as on:
        error = await refused(on, event, 7, timeout=LONG)
        assert error.error_type.endswith("EncodeError")
        assert (
            "is answered with str, and what the handler returned (int) does not fit" in error.error
        )


async def test_a_response_that_is_still_to_be_made_is_said(event: Asked) -> None:
    def handler(message: int) -> Any:
        return (f"{each} euros" for each in [message])

    actor: Actor[int, Any] = Actor("price", event, handler, max_attempts=1)
    run = await run_job(actor, 7)
    assert (run.verdict, run.response) == ("dead letter", None)
    with pytest.raises(TypeError, match="returned a generator"):
        raise run.error or AssertionError


@pytest.mark.parametrize("ack", ["sent", "confirmed"])
async def test_hooks_and_what_is_around_a_handler(url: str, event: Asked, ack: Any) -> None:
    surrounds = Surrounds()
    async with answering(url, event, price, middlewares=(surrounds,), ack=ack) as on:
        assert await on.events.request(event, 7, timeout=LONG) == "7 euros"
    assert surrounds.seen == ["start", "around"]


async def test_many_requests_at_once_over_one_inbox(url: str, event: Asked) -> None:
    all_here, waiting = anyio.Event(), 0
    got: dict[int, str] = {}

    async def all_at_once(message: int) -> str:
        nonlocal waiting
        waiting += 1
        if waiting == MANY:
            all_here.set()
        await all_here.wait()
        return str(message)

    options: dict[str, Any] = {"max_jobs": MANY, "max_ack_pending": 2 * MANY, "job_timeout": 600}
    async with answering(url, event, all_at_once, at_once=MANY, **options) as on:

        async def ask(message: int) -> None:
            got[message] = await on.events.request(event, message, timeout=500)

        before = len(on.events._link._subscriptions)
        began, cpu = time.monotonic(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for message in range(MANY):
                tasks.start_soon(ask, message)
        assert len(on.events._link._subscriptions) == before + 1
        assert len(on.events._requests) == 0
    assert got == {message: str(message) for message in range(MANY)}
    if MANY > 1000:
        print(
            f"{MANY} requests: {time.monotonic() - began:.1f} s, CPU "
            f"{time.process_time() - cpu:.1f} s, at most "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB in the process"
        )


async def test_the_first_answer_wins(url: str, event: Asked) -> None:
    first, second, late = anyio.Event(), anyio.Event(), anyio.Event()

    async def slowly(message: int) -> str:
        await (first if message == 1 else second).wait()
        late.set()
        return "slow"

    async def quickly(message: int) -> str:
        return "quick"

    actors = [Actor("slow", event, slowly), Actor("quick", event, quickly)]
    async with running(url, *actors) as on:
        assert await on.events.request(event, 1, timeout=LONG) == "quick"
        first.set()
        await on.until_done(*actors)
        await late.wait()
        # The late answer is no answer to the next request either.
        assert await on.events.request(event, 2, timeout=LONG) == "quick"
        second.set()


async def test_an_actor_of_the_plain_event_does_not_answer(url: str, event: Asked) -> None:
    plain = walnats.Event(event.name, int, storage="memory")
    seen: list[int] = []
    audit = Actor("audit", plain, seen.append)
    async with stage(url, audit) as on, running(url, Actor("price", event, price)) as asking:
        assert await asking.events.request(event, 7, timeout=LONG) == "7 euros"
        await on.actors.listen(burst=True)
    assert seen == [7]


async def test_an_event_that_is_only_emitted_is_handled_all_the_same(
    url: str, event: Asked
) -> None:
    async with answering(url, event, price) as on:
        await on.emit(1, 2, 3)
        await until(lambda: handled(on).handled == 3)


# Failures


async def test_an_actor_that_rejects_answers_at_once(url: str, event: Asked) -> None:
    async def reject(message: int) -> str:
        raise Reject("no such item ä")

    async with answering(url, event, reject) as on:
        error = await refused(on, event, 7, timeout=LONG)
    assert (error.event, error.actor) == (event.name, "price")
    assert (error.error_type, error.error) == ("walnats_anyio.Reject", "no such item ä")
    assert "actor 'price' failed: walnats_anyio.Reject: no such item ä" in str(error)
    assert len(await letters_of(url, event)) == 1


async def test_only_the_last_attempt_that_fails_answers(url: str, event: Asked) -> None:
    tried: list[int] = []

    async def fail(message: int) -> str:
        tried.append(message)
        raise KeyError(f"attempt {len(tried)}")

    async with answering(url, event, fail, max_attempts=3, retry_delay=(0.01,)) as on:
        error = await refused(on, event, 7, timeout=LONG)
    assert (error.error_type, error.error) == ("KeyError", "'attempt 3'")
    assert tried == [7, 7, 7]


async def test_an_attempt_after_a_failed_one_answers(url: str, event: Asked) -> None:
    tried: list[int] = []

    async def fail_once(message: int) -> str:
        tried.append(message)
        if len(tried) == 1:
            raise KeyError("not now")
        return "now"

    async with answering(url, event, fail_once, retry_delay=(0.01,)) as on:
        assert await on.events.request(event, 7, timeout=LONG) == "now"


async def test_a_failure_answers_when_no_attempt_is_left_in_time(url: str, event: Asked) -> None:
    """What comes again after the caller's time is not run again."""
    tried: list[int] = []

    async def retry(message: int) -> str:
        tried.append(message)
        raise Retry(delay=21)

    async with answering(url, event, retry) as on:
        error = await refused(on, event, 7, timeout=20)
        assert error.error_type == "walnats_anyio.Retry"
    assert tried == [7]


async def test_a_message_that_the_actor_cannot_decode(url: str, event: Asked) -> None:
    texts = walnats.Event(event.name, str, storage="memory").with_response(str)
    async with (
        answering(url, event, price),
        walnats.Events(texts).connect(url) as emitting,
    ):
        with pytest.raises(ActorError, match="DecodeError") as caught:
            await emitting.request(texts, "seven", timeout=LONG)
    assert caught.value.actor == "price"


async def test_a_job_that_takes_too_long(url: str, event: Asked) -> None:
    async def forever(message: int) -> str:
        await anyio.sleep_forever()
        return ""

    async with answering(url, event, forever, job_timeout=0.05, max_attempts=1) as on:
        error = await refused(on, event, 7, timeout=LONG)
    assert error.error_type == "TimeoutError"
    assert "job_timeout=0.05" in error.error


async def test_a_response_that_is_too_large_for_the_server(url: str, event: Asked) -> None:
    async def large(message: int) -> str:
        return "x" * 2_000_000

    async with answering(url, event, large) as on:
        error = await refused(on, event, 7, timeout=LONG)
        assert error.error_type == "walnats_anyio.MessageTooLargeError"
        assert "the response is 2000002 bytes, and the server takes at most 1048576" in error.error
        # The handler has done its work: it is not done again.
        assert handled(on).handled == 1
    assert await letters_of(url, event) == []


async def test_an_error_of_any_size_and_kind_is_told(
    url: str, event: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    # What is no Unicode cannot go from a worker of pytest to its parent.
    caplog.set_level(logging.CRITICAL, "walnats_anyio")
    odd = type("Odd\r\nWalnats-Error: x", (Exception,), {"__module__": "\ud800"})

    async def fail(message: int) -> str:
        raise odd("\ud800" + "x" * 5_000_000)

    async with answering(url, event, fail, max_attempts=1) as on:
        error = await refused(on, event, 7, timeout=LONG)
    assert "OddWalnats-Error: x" in error.error_type
    assert error.error.startswith("\\ud800xxx")


async def test_a_response_that_does_not_fit_the_callers_schema(url: str, event: Asked) -> None:
    numbers = walnats.Event(event.name, int, storage="memory").with_response(int)
    async with (
        answering(url, event, price),
        walnats.Events(numbers).connect(url) as emitting,
    ):
        with pytest.raises(DecodeError, match=f"event '{event.name}' is answered with int"):
            await emitting.request(numbers, 7, timeout=LONG)


# Nobody answers


async def test_no_actor_is_registered(url: str, event: Asked) -> None:
    async with walnats.Events(event).connect(url) as emitting:
        await emitting.register()
        with pytest.raises(ActorError, match="no actor is registered for it") as caught:
            await emitting.request(event, 7, timeout=LONG)
    assert (caught.value.event, caught.value.actor) == (event.name, "")


async def test_the_event_is_not_registered(url: str, event: Asked) -> None:
    async with walnats.Events(event).connect(url) as emitting:
        with pytest.raises(EmitError, match="no stream takes it"):
            await emitting.request(event, 7, timeout=LONG)


async def test_a_timeout_says_that_nobody_listens(url: str, event: Asked) -> None:
    async with stage(url, Actor("price", event, price)) as on:
        with pytest.raises(TimeoutError) as caught:
            await on.events.request(event, 7, timeout=1.5)
    assert "was not answered within 1.5 s: it was stored as number 1" in str(caught.value)
    assert "no process takes events of actor 'price' now" in str(caught.value)


async def test_a_timeout_says_that_the_stream_is_silent(url: str, event: Asked) -> None:
    async with stage(url, Actor("price", event, price)) as on:
        config = (await api(on.link, f"STREAM.INFO.{event.stream_name}"))["config"]
        await api(on.link, f"STREAM.UPDATE.{event.stream_name}", config | {"no_ack": True})
        with pytest.raises(TimeoutError, match="its stream has not acknowledged it"):
            await on.events.request(event, 7, timeout=0.3)


async def test_a_timeout_says_who_has_the_event(url: str, event: Asked) -> None:
    async def forever(message: int) -> str:
        await anyio.sleep_forever()
        return ""

    async with answering(url, event, forever) as on:
        with pytest.raises(TimeoutError, match="delivered to actor 'price'"):
            await on.events.request(event, 7, timeout=1.5)


async def test_an_event_of_the_same_uid_is_not_answered_twice(url: str, event: Asked) -> None:
    async with answering(url, event, price) as on:
        assert await on.events.request(event, 7, uid="seven", timeout=LONG) == "7 euros"
        with pytest.raises(EmitError, match="has one with uid='seven' already"):
            await on.events.request(event, 7, uid="seven", timeout=LONG)


async def test_a_connection_that_is_left_ends_its_requests(url: str, event: Asked) -> None:
    caught: list[BaseException] = []
    async with stage(url, Actor("price", event, price)) as on, anyio.create_task_group() as tasks:
        async with walnats.Events(event).connect(url) as emitting:

            async def ask() -> None:
                try:
                    await emitting.request(event, 7, timeout=None)
                except walnats.ConnectionLostError as error:
                    caught.append(error)

            tasks.start_soon(ask)
            await on.until_left(Actor("price", event, price), 1)
        await until(lambda: len(caught) == 1)
    assert "the connection has been left" in str(caught[0])


# Wrong arguments


async def test_what_cannot_be_requested(url: str, event: Asked) -> None:
    plain: Any = walnats.Event(event.name, int)
    seven: Any = "seven"
    async with walnats.Events(event).connect(url) as emitting:
        with pytest.raises(TypeError, match=r"make one with Event\(...\).with_response\(schema\)"):
            await emitting.request(plain, 7)
        for timeout in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="timeout must be None or seconds over 0"):
                await emitting.request(event, 7, timeout=timeout)
        with pytest.raises(ValueError, match="which a request sets itself: drop it"):
            await emitting.request(event, 7, meta={"Walnats-Reply": "here"})
        with pytest.raises(ValueError, match="is not in the registry"):
            await emitting.request(asked(), 7)
        with pytest.raises(TypeError, match="takes int"):
            await emitting.request(event, seven)
        assert len(emitting._requests) == 0


async def test_headers_of_the_caller_reach_the_actor(url: str, event: Asked) -> None:
    seen: list[dict[str, str]] = []

    async def note(message: int) -> str:
        seen.append(walnats.current_context().headers)
        return "noted"

    async with answering(url, event, note) as on:
        await on.events.request(event, 7, uid="u", trace_id="t", meta={"a": "b"}, timeout=60)
    assert {name: seen[0][name] for name in ("Nats-Msg-Id", "Walnats-Trace", "a")} == {
        "Nats-Msg-Id": "u", "Walnats-Trace": "t", "a": "b",
    }  # fmt: skip
    assert 59 < float(seen[0]["Walnats-Timeout"]) <= 60


async def test_a_request_with_a_delay(nats_server: NatsServer) -> None:
    event = walnats.Event("asked", int).with_response(str)
    left: list[float] = []

    async def note(message: int) -> str:
        left.append(anyio.current_effective_deadline() - anyio.current_time())
        return "noted"

    async with answering(nats_server.url, event, note, job_timeout=600) as on:
        began = time.monotonic()
        assert await on.events.request(event, 7, delay=0.5, timeout=LONG) == "noted"
        assert time.monotonic() - began >= 0.5
        # What is left is counted from when it was due.
        assert LONG - 30 < left[0] <= LONG - 0.4
        with pytest.raises(TimeoutError, match="it waits in the server, or was due"):
            await on.events.request(event, 8, delay=1.5, timeout=0.3)
        # The caller has left before it was due.
        await until(lambda: handled(on).cancelled == 1)
    assert len(left) == 1


async def test_a_request_that_is_answered_quickly_asks_nothing(
    url: str, event: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_requests, "LOOK_AFTER", 3600.0)
    async with answering(url, event, price) as on:
        said = await on.overhear("$JS.API.CONSUMER.LIST.>")
        for number in range(10):
            await on.events.request(event, number, timeout=LONG)
        await on.link.flush()
        assert said == []
