"""Requests and messages of strangers: whoever may publish there writes what he likes."""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel
import pytest

import walnats_anyio as walnats
from tests.actors._asked import Asked, Slow, answering, asked, handled
from tests.actors._stage import Stage, run_of, stage
from tests.support.waiting import until
from walnats_anyio import Actor, ActorError
from walnats_anyio._actors.settle import _callers
from walnats_anyio._events import Control, encode_control, read_control, subject_of
from walnats_anyio._link import Message, ServerError, pub
from walnats_anyio.serializers import DecodeError
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

LONG = 120.0


@pytest.fixture
def event() -> Asked:
    return asked()


async def answer(message: int) -> str:
    await anyio.lowlevel.checkpoint()
    return f"answer {message}"


def request_by_hand(on: Stage, event: Asked, *headers: tuple[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    on.link.post(pub(event.subject_name, b"7", b"", block))


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.API.STREAM.DELETE.walnats-attempts",
        "overheard",
        "_INBOX.a b",
        "_INBOX.a 3\r\nPUB overheard 0",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX..x",
        "_INBOX.x.",
        "_INBOX.\x00",
        "_" * 5000,
    ],
)
async def test_a_response_goes_to_an_inbox_and_nowhere_else(
    url: str, event: Asked, reply: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is published with the permissions of the worker, and the caller says where."""
    async with answering(url, event, answer) as on:
        said = await on.overhear(">")
        request_by_hand(on, event, ("Walnats-Reply", reply.replace("\r\n", "\t")))
        request_by_hand(on, event, ("Walnats-Reply", reply.replace("\r\n", "\t")))
        await until(lambda: handled(on).handled == 2)
        await on.link.flush()
        assert b'"answer 7"' not in said
        # The connection goes on, and so do requests.
        assert await on.events.request(event, 8, timeout=LONG) == "answer 8"
    assert caplog.text.count("is not answered: only subjects that begin with '_'") == 1


async def test_the_inbox_prefix_of_the_worker_is_one_too(url: str, event: Asked) -> None:
    actor = Actor("price", event, answer)
    async with (
        walnats.Events(event).connect(url, inbox_prefix="mine") as emitting,
        walnats.Actors(actor).connect(url, inbox_prefix="mine") as conn,
        anyio.create_task_group() as tasks,
    ):
        await emitting.register()
        await conn.register()
        await tasks.start(lambda *, task_status: conn.listen(task_status=task_status))
        assert await emitting.request(event, 7, timeout=LONG) == "answer 7"
        conn.shutdown()


@pytest.mark.parametrize("timeout", ["", "nan", "-1", "1e9", "inf", "9" * 400, "1.", "٣", "0x1"])
async def test_a_time_that_is_none_is_no_limit(url: str, event: Asked, timeout: str) -> None:
    async with answering(url, event, answer) as on:
        said = await on.overhear("_INBOX.x")
        request_by_hand(on, event, ("Walnats-Reply", "_INBOX.x"), ("Walnats-Timeout", timeout))
        await until(lambda: said == [b'"answer 7"'])


async def test_random_messages_cancel_nothing(url: str, event: Asked) -> None:
    chance = random.Random(11)
    slow = Slow()
    async with answering(url, event, slow) as on:
        await on.events.emit(event, 1, uid="one", sync=True)
        await until(lambda: slow.running == 1)
        subject = subject_of(event.stream_name, on.link.prefixes)
        shapes = [
            b"", b"{}", b"null", b"[]", b'"reply"', b'{"reply": 1}', b'{"sequence": "1"}',
            b'{"sequence": -1}', b'{"what": "eat", "sequence": 1}', b"[" * 4000, b"\xff" * 100,
            b'{"sequence": 1, "x": "%b"}' % (b"x" * 5000), b'{"uid": "\\ud800"}',
            b'{"what": "answer", "sequence": 1}', b'{"reply": "%b"}' % (b"x" * 4000),
        ]  # fmt: skip
        shapes += [chance.randbytes(chance.randrange(40)) for _ in range(200)]
        for shape in shapes:
            on.link.post(pub(subject, shape))
            on.link.post(pub(subject, shape, b"_INBOX.nobody"))
        await on.link.flush()
        on.link.post(pub(subject, encode_control(Control(uid="one"))))
        await until(lambda: slow.cancelled == [1])
        assert handled(on).cancelled == 1


def test_what_is_no_message_is_none() -> None:
    assert read_control(b'{"reply": "_INBOX.x"}') == Control(reply="_INBOX.x")
    assert read_control(b'{"reply": "_INBOX.x"}' + b" " * 5000) is None
    assert read_control(b'{"sequence": 0}') is None


@pytest.mark.parametrize("most", [3])
async def test_callers_that_have_left_are_forgotten_in_the_end(
    url: str, event: Asked, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_callers, "REMEMBERED", most)
    monkeypatch.setattr(_callers, "MAX_KEPT", 100)
    async with answering(url, event, answer) as on:
        subject = subject_of(event.stream_name, on.link.prefixes)
        for number in range(10):
            on.link.post(pub(subject, encode_control(Control(reply=f"_INBOX.{number}"))))
            await on.events.request(event, number, timeout=LONG)
        callers = run_of(on.actors).callers
        assert callers is not None
        assert len(callers._left) == most
        assert callers._size == sum(map(len, callers._answers.values())) <= 100


async def test_answers_of_strangers(url: str, event: Asked) -> None:
    """Whoever can read the stream knows where responses go."""
    told = [
        (b"not json", b"", DecodeError),
        (b"oh", b"NATS/1.0\r\nWalnats-Error: KeyError\r\n\r\n", ActorError),
        (b"\xff", b"NATS/1.0\r\nWalnats-Error:\r\n\r\n", ActorError),
    ]
    async with walnats.Events(event).connect(url) as emitting:
        link = emitting._link
        await emitting.register()
        answers = iter(told)

        def on_request(message: Message) -> None:
            payload, headers, _ = next(answers)
            link.post(pub(message.headers["Walnats-Reply"], payload, b"", headers))

        link.subscribe_to(event.subject_name, on_request)
        for _, _, error in told:
            with pytest.raises(error):
                await emitting.request(event, 7, timeout=LONG)


NO_CONTROL = """
jetstream {}
authorization { users: [
  { user: worker, password: w, permissions: { subscribe: { deny: "walnats.control.>" } } }
  { user: caller, password: c, permissions: { publish: { deny: "walnats.control.>" } } }
  { user: deaf, password: d, permissions: { subscribe: { deny: "_INBOX.*.*" } } }
] }
"""


async def test_without_permissions_only_the_deadline_ends_a_handler() -> None:
    event, slow = walnats.Event("asked", int).with_response(str), Slow()
    actor = Actor("price", event, slow)
    async with (
        NatsServer(config=NO_CONTROL) as server,
        walnats.Events(event).connect(server.url, user="caller", password="c") as emitting,
        walnats.Actors(actor).connect(server.url, user="worker", password="w") as conn,
        anyio.create_task_group() as tasks,
    ):
        await emitting.register()
        await conn.register()
        await tasks.start(lambda *, task_status: conn.listen(task_status=task_status))
        with anyio.move_on_after(0.3):
            await emitting.request(event, 7, timeout=None)
        await until(lambda: slow.cancelled == [7])
        conn.shutdown()


async def test_a_user_who_may_not_receive_answers_is_told() -> None:
    event = walnats.Event("asked", int).with_response(str)
    config = NO_CONTROL.replace('"_INBOX.*.*"', '["_INBOX.*.*"]')
    async with NatsServer(config=config) as server:
        with pytest.raises((ServerError, walnats.ConnectError), match="inbox_prefix"):
            async with walnats.Events(event).connect(server.url, user="deaf", password="d") as deaf:
                await deaf.request(event, 7, timeout=LONG)


async def test_a_user_who_may_not_receive_answers_any_more_is_told() -> None:
    """What else is refused to him does not end his requests."""
    event = walnats.Event("asked", int).with_response(str)
    config = """
    jetstream {}
    authorization { users: [ { user: kim, password: p, permissions: {
      publish: { deny: "elsewhere" }, subscribe: { deny: ["elsewhere"%s] } } } ] }
    """
    errors: list[BaseException] = []

    async def ask(on: Stage) -> None:
        try:
            await on.events.request(event, 7, timeout=LONG)
        except ServerError as error:
            errors.append(error)

    async with (
        NatsServer(config=config % "") as server,
        stage(server.url, Actor("price", event, answer), user="kim", password="p") as on,
        anyio.create_task_group() as tasks,
    ):
        link = on.events._link
        tasks.start_soon(ask, on)
        await until(lambda: len(on.events._requests) == 1)
        link.post(pub("elsewhere", b""))
        link.subscribe_to("elsewhere", print)
        await link.flush()
        assert errors == []
        inbox = on.events._requests._prefix.decode()
        await server.reload(config % f', "{inbox}*"')
        await until(lambda: len(errors) == 1)
        await ask(on)
    assert all("pass inbox_prefix" in str(error) for error in errors)
    assert len(errors) == 2
