"""Declaring an actor: a value, and a clear word about every wrong argument."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import pydoc
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NewType, NoReturn, TypedDict
from unittest.mock import Mock

import pytest

from tests.actors._elsewhere import Note, note
from walnats_anyio import Actor, Actors, Auto, Event, ExecuteIn, Priority, Reject, Retry
from walnats_anyio._actors.declare._fingerprint import KNOWS_ACTOR
from walnats_anyio.middlewares import Middleware

EVENT = Event("user-created", int)


async def handle(message: int) -> None: ...


def handle_plainly(message: int) -> None: ...


class Handler:
    def __call__(self, message: int) -> None: ...

    def method(self, message: int) -> None: ...

    async def async_method(self, message: int) -> None: ...


class AsyncHandler:
    async def __call__(self, message: int) -> None: ...


def test_the_defaults() -> None:
    actor = Actor("send-email", EVENT, handle)
    assert dataclasses.asdict(dataclasses.replace(actor, event=EVENT))["name"] == "send-email"
    fields = {field.name: getattr(actor, field.name) for field in dataclasses.fields(actor)}
    assert fields == {
        "name": "send-email",
        "event": EVENT,
        "handler": handle,
        "description": None,
        "ack_wait": 16,
        "max_attempts": None,
        "max_ack_pending": 1000,
        "middlewares": (),
        "max_jobs": 16,
        "job_timeout": 32,
        "execute_in": ExecuteIn.MAIN,
        "retry_delay": (0.5, 1, 2, 4),
        "pulse": True,
        "priority": Priority.NORMAL,
        "dead_letters": True,
        "ack": "sent",
        "max_jobs_total": None,
        "pause_on_failures": None,
        "batch": None,
    }
    assert actor.consumer_name == "send-email"


def test_an_actor_is_a_value() -> None:
    actor, same = (Actor("a", EVENT, handle, retry_delay=[1, 2], max_jobs=3) for _ in range(2))
    other = Actor("a", EVENT, handle, retry_delay=[1, 3], max_jobs=3)
    assert actor == same
    assert hash(actor) == hash(same)
    assert actor != other
    assert len({actor, same, other}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        actor.max_jobs = 1  # type: ignore[misc]  # that it cannot be set is what is tested
    changed = dataclasses.replace(actor, max_jobs=1)
    assert (changed.max_jobs, actor.max_jobs) == (1, 3)


def test_an_actor_shows_what_differs_from_the_defaults() -> None:
    assert repr(Actor("a", EVENT, handle)) == "Actor('a', event='user-created', handler=handle)"
    actor = Actor("a", EVENT, Handler().method, max_jobs=3, execute_in=ExecuteIn.THREAD)
    assert repr(actor) == (
        "Actor('a', event='user-created', handler=Handler.method, max_jobs=3,"
        f" execute_in={ExecuteIn.THREAD!r})"
    )
    assert "handler=functools.partial(" in repr(Actor("a", EVENT, functools.partial(handle)))


def test_help_describes_every_argument() -> None:
    told = pydoc.plain(pydoc.render_doc(Actor))
    arguments = [field.name for field in dataclasses.fields(Actor) if field.init]
    assert [name for name in arguments if f"  {name}: " not in told] == []


def test_sequences_are_copied() -> None:
    delays: list[float] = [1, 2]
    middlewares = [Middleware()]
    actor = Actor("a", EVENT, handle, retry_delay=delays, middlewares=middlewares)
    delays.append(3)
    middlewares.clear()
    assert actor.retry_delay == (1, 2)
    assert len(actor.middlewares) == 1


def test_the_configuration_of_its_consumer() -> None:
    actor = Actor("a", EVENT, handle, ack_wait=1.5, max_attempts=3, max_ack_pending=7)
    config = actor.consumer_config()
    metadata = config.pop("metadata")
    assert metadata.pop(KNOWS_ACTOR) == "1"
    (declaration,) = metadata.values()
    assert declaration.endswith(" handle")
    assert config == {
        "durable_name": "a",
        "name": "a",
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "ack_wait": 1_500_000_000,
        "max_deliver": -1,
        "max_ack_pending": 7,
    }
    described = Actor("a", EVENT, handle, description="Sends.")
    assert described.consumer_config()["description"] == "Sends."


# names


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a.b", "*", "a>", "a/b", "a\\b", "a\n", "a\x00", "x" * 256, "ä" * 128]
)
def test_names_that_nats_does_not_take(name: str) -> None:
    with pytest.raises(ValueError, match="actor name"):
        Actor(name, EVENT, handle)


@pytest.mark.parametrize("name", [None, 1, b"a", EVENT])
def test_names_that_are_no_strings(name: Any) -> None:
    with pytest.raises(TypeError, match="actor name"):
        Actor(name, EVENT, handle)


@pytest.mark.parametrize("name", ["a", "send-email", "send_email", "Größe", "x" * 255, "$a"])
def test_names_that_nats_takes(name: str) -> None:
    assert Actor(name, EVENT, handle).consumer_name == name


# numbers and choices

WRONG_VALUES: list[tuple[str, Any]] = [
    *[("ack_wait", value) for value in (0, -1, 0.09, math.inf, math.nan)],
    *[("job_timeout", value) for value in (0, -1, math.inf, math.nan)],
    *[("max_attempts", value) for value in (0, -1)],
    *[("max_ack_pending", value) for value in (0, -1)],
    *[("max_jobs", value) for value in (0, -1)],
    *[("retry_delay", value) for value in ((-1,), (1, math.inf), [math.nan])],
    ("description", "x" * 4097),
    ("description", "ä" * 2049),
]

WRONG_TYPES: list[tuple[str, Any]] = [
    *[("event", value) for value in ("user-created", None, Event)],
    *[("description", value) for value in (1, b"text")],
    *[("ack_wait", value) for value in ("16", None, True)],
    *[("job_timeout", value) for value in ("32", None, False)],
    *[("max_attempts", value) for value in (1.0, "1", True)],
    *[("max_ack_pending", value) for value in (1.0, None)],
    *[("max_jobs", value) for value in (1.5, None, True, "16", "automatic")],
    *[("execute_in", value) for value in ("thread", None, ExecuteIn)],
    *[("priority", value) for value in ("high", 1, None)],
    *[("pulse", value) for value in (1, None, "no")],
    *[("retry_delay", value) for value in (1, None, "12", ("1",), (None,), (True,), {1: 2})],
    *[("middlewares", value) for value in (None, Middleware(), (Middleware,), (object(),), "m")],
    *[("handler", value) for value in (None, "handle", 1, Handler, int)],
]


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES)
def test_values_out_of_range(field: str, value: Any) -> None:
    shown = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    with pytest.raises(ValueError, match=rf"actor 'a': .*{field}") as raised:
        _declare(field, value)
    if field not in ("description", "retry_delay"):
        assert repr(shown) in str(raised.value)


@pytest.mark.parametrize(("field", "value"), WRONG_TYPES)
def test_values_of_a_wrong_type(field: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"actor 'a': .*{field}") as raised:
        _declare(field, value)
    if not isinstance(value, tuple):
        assert repr(value) in str(raised.value)


@pytest.mark.parametrize("field", ["ack_wait", "job_timeout", "retry_delay"])
def test_times_that_do_not_fit_the_wire(field: str) -> None:
    """NATS counts nanoseconds in 64 bits: 292 years."""
    for seconds in (1e300, 1e12):
        value = (seconds,) if field == "retry_delay" else seconds
        try:
            actor = _declare(field, value)
        except ValueError as error:
            assert field in str(error)  # noqa: PT017 - either is right, to refuse or to cut
        else:
            assert 0 < actor.consumer_config()["ack_wait"] < 2**63


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ack_wait", 0.1),
        ("job_timeout", 0.001),
        ("job_timeout", 86400),
        ("max_attempts", 1),
        ("max_attempts", None),
        ("max_ack_pending", 1),
        ("max_jobs", 1),
        ("retry_delay", ()),
        ("retry_delay", (0,)),
        ("retry_delay", lambda attempt: attempt),
        ("description", "x" * 4096),
    ],
)
def test_values_at_the_edge(field: str, value: Any) -> None:
    assert getattr(_declare(field, value), field) == value


def _declare(field: str, value: Any) -> Actor[Any, Any]:
    arguments: dict[str, Any] = {"name": "a", "event": EVENT, "handler": handle}
    return Actor(**(arguments | {field: value}))


# handlers


def in_closure() -> Callable[[int], None]:
    def inner(message: int) -> None: ...

    return inner


async def async_generator(message: int) -> AsyncIterator[int]:
    yield message


def generator(message: int) -> Iterator[int]:
    yield message


class Unpicklable:
    def __reduce__(self) -> NoReturn:
        raise TypeError("not this one")


def with_more(message: int, more: object) -> None: ...


COROUTINES: list[Any] = [
    handle,
    AsyncHandler(),
    Handler().async_method,
    functools.partial(handle),
    functools.partial(functools.partial(AsyncHandler())),
]


@pytest.mark.parametrize("handler", COROUTINES)
@pytest.mark.parametrize("place", [ExecuteIn.THREAD, ExecuteIn.PROCESS])
def test_coroutine_functions_run_in_the_event_loop_only(handler: Any, place: ExecuteIn) -> None:
    with pytest.raises(TypeError, match=r"coroutine function.*ExecuteIn\.MAIN"):
        Actor("a", EVENT, handler, execute_in=place)
    Actor("a", EVENT, handler)


@pytest.mark.parametrize(
    "handler", [lambda _: None, in_closure(), functools.partial(with_more, more=Unpicklable())]
)
def test_what_cannot_be_pickled_cannot_go_to_a_process(handler: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot be pickled.*top of a module"):
        Actor("a", EVENT, handler, execute_in=ExecuteIn.PROCESS)
    Actor("a", EVENT, handler, execute_in=ExecuteIn.THREAD)


class Colour(enum.Enum):
    RED = 1


@dataclass
class Order:
    colour: Colour
    earlier: Order | None = None


def test_a_message_that_cannot_be_pickled_cannot_go_to_a_process() -> None:
    @dataclass
    class Local:
        number: int

    class LocalColour(enum.Enum):
        RED = 1

    class Plain(TypedDict):
        number: int

    Number = NewType("Number", int)
    refused: list[Any] = [Local, list[Local], dict[str, Local | None], Annotated[Local, 1]]
    refused += [LocalColour, tuple[int, LocalColour]]
    for schema in refused:
        with pytest.raises(TypeError, match=r"Local.*cannot be pickled.*top of a module"):
            Actor("a", Event("x", schema), handle_plainly, execute_in=ExecuteIn.PROCESS)
        Actor("a", Event("x", schema), handle_plainly, execute_in=ExecuteIn.THREAD)
    fine: list[Any] = [Order, list[Order], Plain, Number, datetime, bytes, Any, dict[str, Colour]]
    for schema in fine:
        Actor("a", Event("x", schema), handle_plainly, execute_in=ExecuteIn.PROCESS)


@pytest.mark.parametrize(
    "handler", [handle_plainly, Note("x"), Note("x").as_method, functools.partial(note, path="x")]
)
@pytest.mark.parametrize("place", ExecuteIn)
def test_what_runs_everywhere(handler: Any, place: ExecuteIn) -> None:
    assert Actor("a", EVENT, handler, execute_in=place).execute_in is place


@pytest.mark.parametrize("handler", [generator, async_generator])
@pytest.mark.parametrize("place", ExecuteIn)
def test_generators_would_never_run(handler: Any, place: ExecuteIn) -> None:
    with pytest.raises(TypeError, match=r"actor 'a': .*generator.*yield"):
        Actor("a", EVENT, handler, execute_in=place)


def of_nothing() -> None: ...


def of_two(message: int, more: int) -> None: ...


def of_keywords(*, message: int) -> None: ...


class TwoParameters:
    def __call__(self, message: int, more: int) -> None: ...

    def of_nothing(self) -> None: ...

    async def of_keywords(self, *, message: int) -> None: ...


def injecting(function: Callable[[int, int], None]) -> Callable[[int], None]:
    """A decorator that adds an argument of its own."""

    @functools.wraps(function)
    def call(message: int) -> None:
        function(message, 2)

    return call


def taking_two(function: Callable[[int], None]) -> Callable[[int, int], None]:
    @functools.wraps(function)
    def call(message: int, more: int) -> None:
        function(message)

    return call


@pytest.mark.parametrize(
    "handler",
    [
        of_nothing,
        of_two,
        of_keywords,
        lambda: None,
        TwoParameters(),
        TwoParameters().of_nothing,
        TwoParameters().of_keywords,
        functools.partial(of_two, 1, 2),
        functools.partial(of_nothing),
        taking_two(handle_plainly),
    ],
)
@pytest.mark.parametrize("place", [ExecuteIn.MAIN, ExecuteIn.THREAD])
def test_a_handler_takes_one_argument(handler: Any, place: ExecuteIn) -> None:
    with pytest.raises(TypeError, match=r"actor 'a': .*one argument.*functools\.partial"):
        Actor("a", EVENT, handler, execute_in=place)


@pytest.mark.parametrize(
    "handler",
    [
        functools.partial(of_two, 1),
        functools.partial(of_two, more=1),
        injecting(of_two),
        lambda message, more=None: None,
        lambda *messages: None,
        lambda *messages, **more: None,
        print,
        [].append,
        {}.get,
    ],
)
def test_handlers_that_take_one_argument_among_others(handler: Any) -> None:
    assert Actor("a", EVENT, handler).handler == handler


@pytest.mark.timeout(20)
def test_a_mock_is_a_handler() -> None:
    Actor("a", EVENT, Mock(), execute_in=ExecuteIn.THREAD)


# the registry


def test_a_registry_keeps_the_order() -> None:
    actors = [Actor(name, EVENT, handle) for name in "bac"]
    registry = Actors(*actors)
    assert list(registry) == actors
    assert len(registry) == 3
    assert actors[0] in registry
    assert Actor("d", EVENT, handle) not in registry
    assert registry.get("a") is actors[1]
    assert registry.get("d") is None
    assert repr(registry) == "Actors('b', 'a', 'c')"


def test_a_large_registry_shows_its_first_actors() -> None:
    many = Actors(*[Actor(f"a{number}", EVENT, handle) for number in range(12)])
    assert repr(many).endswith("'a9', and 2 more)")


@pytest.mark.parametrize("wrap", [list, tuple, iter])
def test_many_actors_in_one_argument_need_a_star(wrap: Any) -> None:
    with pytest.raises(TypeError, match=r"takes actors, not \w+: put a \* .* Actors\(\*actors\)"):
        Actors(wrap([Actor("a", EVENT, handle)]))


def test_a_registry_needs_an_actor() -> None:
    with pytest.raises(ValueError, match="at least one actor"):
        Actors()


@pytest.mark.parametrize("wrong", [EVENT, "a", None, Actor, handle])
def test_a_registry_takes_actors(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Actors\(\) takes actors, not"):
        Actors(Actor("a", EVENT, handle), wrong)


def test_two_actors_of_one_name_on_one_event() -> None:
    first = Actor("a", EVENT, handle)
    for second in (first, Actor("a", EVENT, handle_plainly)):
        with pytest.raises(ValueError, match=r"two actors of event 'user-created'.*'a'.*rename"):
            Actors(first, second)


def test_two_actors_of_one_name_on_events_that_share_a_stream() -> None:
    one, other = Event("user.created", int), Event("user-created", int)
    with pytest.raises(ValueError, match="rename"):
        Actors(Actor("a", one, handle), Actor("a", other, handle))


def test_one_name_on_two_events() -> None:
    actors = [Actor("a", Event(name, int), handle) for name in ("x", "y")]
    assert len(Actors(*actors)) == 2
    assert Actors(*actors).get("a") is actors[0]


# what handlers raise


@pytest.mark.parametrize("wrong", [-1, -0.1, math.inf, math.nan])
def test_retry_after_no_time(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"Retry.*delay.*seconds"):
        Retry(delay=wrong)


@pytest.mark.parametrize("wrong", ["1", True, (1,)])
def test_retry_after_something_else(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Retry.*delay.*seconds"):
        Retry(delay=wrong)


@pytest.mark.parametrize("wrong", [None, 1, ValueError("x")])
def test_reject_without_a_reason_people_can_read(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Reject.*str"):
        Reject(wrong)


def test_what_retry_and_reject_say() -> None:
    assert str(Retry()) == "again later"
    assert str(Retry(delay=2)) == "again in 2 s"
    assert str(Reject("no such user")) == "no such user"
    assert Reject("no such user").reason == "no such user"
    assert Retry().delay is None


def test_jobs_that_are_found() -> None:
    actor = Actor("a", EVENT, handle, max_jobs="auto")
    assert actor.auto == Auto(least=1, most=1000, start=8)
    assert Actor("a", EVENT, handle, max_jobs=Auto(2, 30, 4)).auto == Auto(2, 30, 4)
    assert Actor("a", EVENT, handle).auto is None
    assert "max_jobs='auto'" in repr(actor)
    assert hash(actor) == hash(Actor("a", EVENT, handle, max_jobs="auto"))


@pytest.mark.parametrize("bounds", [(0, 1, 1), (1, 0, 1), (3, 5, 2), (1, 5, 6)])
def test_bounds_of_jobs_that_are_found(bounds: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="Auto: "):
        Auto(*bounds)


def test_bounds_that_are_no_numbers() -> None:
    with pytest.raises(TypeError, match="Auto: most must be an int"):
        Auto(most=5.0)  # type: ignore[arg-type]  # what is to be refused
