"""A decorated handler stays what it was."""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.decorators import _handlers as handlers
from walnats_anyio import Actor, Event, ExecuteIn
from walnats_anyio.decorators import filter_time, rate_limit, require, suppress

pytestmark = pytest.mark.anyio

NUMBERS = Event("numbers", int)
TIMES = Event("times", datetime)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
DECORATORS: dict[str, Decorator] = {
    "filter_time": filter_time(hour=12),
    "rate_limit": rate_limit(1000, 1),
    "require": require(lambda: True),
    "suppress": suppress(KeyError),
}


@pytest.fixture(params=DECORATORS)
def decorate(request: pytest.FixtureRequest) -> Decorator:
    return DECORATORS[request.param]


async def waits(time: datetime) -> str:
    """Handle it."""
    return f"{time.hour} waited"


def plain(time: datetime) -> str:
    """Handle it."""
    return f"{time.hour}"


class Shop:
    async def waits(self, time: datetime) -> str:
        return f"{time.hour} waited"

    def plain(self, time: datetime) -> str:
        return f"{time.hour}"


class Waits:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, time: datetime) -> str:
        self.calls += 1
        return f"{time.hour} waited"


class Plain:
    def __call__(self, time: datetime) -> str:
        return f"{time.hour}"


async def two(greeting: str, time: datetime) -> str:
    return f"{time.hour} {greeting}"


KINDS = ["function", "method", "object", "partial"]
ASYNC = [waits, Shop().waits, Waits(), functools.partial(two, "waited")]
PLAIN = [plain, Shop().plain, Plain(), functools.partial(Shop.plain, Shop())]


@pytest.mark.parametrize("handler", [*ASYNC, *PLAIN], ids=KINDS + KINDS)
def test_kind_signature_and_name(decorate: Decorator, handler: Callable[..., Any]) -> None:
    decorated = decorate(handler)
    assert inspect.iscoroutinefunction(decorated) == (handler in ASYNC)
    assert inspect.signature(decorated) == inspect.signature(handler)
    assert decorated.__wrapped__ is handler  # type: ignore[attr-defined] # what is tested
    if hasattr(handler, "__qualname__"):
        assert decorated.__qualname__ == handler.__qualname__
        assert (decorated.__doc__, decorated.__module__) == (handler.__doc__, handler.__module__)
    assert "<locals>" not in decorated.__qualname__


@pytest.mark.parametrize("handler", ASYNC, ids=KINDS)
async def test_a_coroutine_function_is_called(
    decorate: Decorator, handler: Callable[..., Any]
) -> None:
    assert await decorate(handler)(NOON) == "12 waited"
    Actor("a", TIMES, decorate(handler))


@pytest.mark.parametrize("handler", PLAIN, ids=KINDS)
async def test_a_plain_function_is_called(decorate: Decorator, handler: Callable[..., Any]) -> None:
    assert decorate(handler)(NOON) == "12"
    Actor("a", TIMES, decorate(handler), execute_in=ExecuteIn.THREAD)


async def test_a_method_is_decorated_in_its_class(decorate: Decorator) -> None:
    class Decorated:
        @decorate
        async def waits(self, time: datetime) -> str:
            return f"{time.hour} {type(self).__name__}"

        @decorate
        def plain(self, time: datetime) -> str:
            return f"{time.hour} {type(self).__name__}"

    class Called:
        @decorate
        async def __call__(self, time: datetime) -> str:
            return f"{time.hour}"

    assert await Decorated().waits(NOON) == "12 Decorated"
    assert Decorated().plain(NOON) == "12 Decorated"
    assert await Called()(NOON) == "12"
    for handler in (Decorated().waits, Decorated().plain, Called()):
        assert list(inspect.signature(handler).parameters) == ["time"]
        Actor("a", TIMES, handler)
    with pytest.raises(TypeError, match="cannot be called with one argument"):
        Actor("a", TIMES, Decorated.waits)


async def test_one_upon_another(decorate: Decorator) -> None:
    handler = waits
    for other in DECORATORS.values():
        handler = other(decorate(handler))
    assert await handler(NOON) == "12 waited"
    assert inspect.unwrap(handler) is waits


def test_the_checks_of_actor_see_what_is_decorated(decorate: Decorator) -> None:
    with pytest.raises(TypeError, match="cannot be called with one argument"):
        Actor("a", TIMES, decorate(two))
    with pytest.raises(TypeError, match="is a coroutine function, which cannot run in"):
        Actor("a", TIMES, decorate(waits), execute_in=ExecuteIn.THREAD)


async def test_what_a_decorator_below_adds_is_not_asked_for(decorate: Decorator) -> None:
    @functools.wraps(two)
    async def with_greeting(time: datetime) -> str:
        return await two("waited", time)

    handler = decorate(with_greeting)
    Actor("a", TIMES, handler)
    assert await handler(NOON) == "12 waited"


def test_the_attributes_of_an_object_stay_its_own(decorate: Decorator) -> None:
    handler = Waits()
    assert "calls" not in vars(decorate(handler))


def generate(time: datetime) -> Iterator[None]:
    yield


async def generate_async(time: datetime) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    "wrong",
    [generate, generate_async, Shop, 7, None, "handler"],
    ids=lambda wrong: str(getattr(wrong, "__name__", wrong)),
)
def test_what_is_no_handler(decorate: Decorator, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"generator function|decorates a function or an object"):
        decorate(wrong)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_decorator_stands_below_the_kind_of_a_method(decorate: Decorator, kind: type) -> None:
    """Above it, the method would be called with its object as well."""
    with pytest.raises(TypeError, match=f"stands below @{kind.__name__}, not above it"):
        decorate(kind(handlers.plain))


@pytest.mark.parametrize("handler", [handlers.fail_for, handlers.on_the_hour])
def test_what_can_be_pickled(handler: Callable[..., Any]) -> None:
    assert pickle.loads(pickle.dumps(handler)) is handler
    event = Event("texts", str) if handler is handlers.fail_for else TIMES
    Actor("a", event, handler, execute_in=ExecuteIn.PROCESS)


def test_what_was_not_decorated_at_the_top_of_a_module() -> None:
    with pytest.raises(TypeError, match="cannot be pickled, as a process needs it"):
        Actor("a", NUMBERS, suppress(KeyError)(handlers.plain), execute_in=ExecuteIn.PROCESS)


OBJECT = functools.partial(rate_limit(1, 1)(Shop.plain), Shop())


@pytest.mark.parametrize(
    "handler",
    [
        rate_limit(1, 1)(plain),
        suppress(KeyError)(rate_limit(1, 1)(plain)),
        functools.wraps(plain)(rate_limit(1, 1)(plain)),
        functools.partial(rate_limit(1, 1)(plain)),
        OBJECT,
        suppress(KeyError)(OBJECT),
        rate_limit(1, 1, shared="x")(rate_limit(1, 1)(plain)),
    ],
)
def test_a_rate_limit_is_refused_in_a_process(handler: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"cannot run in ExecuteIn.PROCESS: a rate limit counts"):
        Actor("a", TIMES, handler, execute_in=ExecuteIn.PROCESS)


def test_a_limit_that_must_wait_for_the_server_is_refused_in_a_plain_function() -> None:
    shared = rate_limit(1, 1, shared="x")
    with pytest.raises(TypeError, match=r"cannot run in ExecuteIn.MAIN: .* asks the server"):
        Actor("a", TIMES, shared(plain))
    with pytest.raises(TypeError, match=r"cannot run in ExecuteIn.MAIN: .* asks the server"):
        Actor("a", TIMES, suppress(KeyError)(shared(plain)))
    Actor("a", TIMES, shared(waits))
    Actor("a", TIMES, shared(plain), execute_in=ExecuteIn.THREAD)


def test_without_an_event_loop() -> None:
    limited = rate_limit(1, 1)(plain)
    with pytest.raises(RuntimeError, match=r"handler\.__wrapped__"):
        limited(NOON)
