"""The link under events and actors: requests, flush, subscriptions, news of the connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.faults._proxy import Proxy
from tests.link._probe import connections
from tests.support.answering import answering
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import (
    Link,
    Message,
    Refusal,
    _jetstream,
    _link,
    _pending,
    api,
    open_link,
    parse_headers,
    pub,
    stream_config,
)
from walnats_anyio._link._pending import RETRY_AFTER
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)

INFO = "$JS.API.INFO"


@pytest.fixture
def nats_server_options() -> dict[str, Any]:
    return {"http_port": 0}


@asynccontextmanager
async def linked(server: NatsServer, **options: Any) -> AsyncIterator[Link]:
    async with open_link(server.url, options=options) as link:
        yield link


async def the_client(server: NatsServer) -> dict[str, Any]:
    """The only connection, as the server shows it."""
    [client] = await connections(server)
    return client


# Requests


async def test_all_answers_arrive_over_one_subscription(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link, anyio.create_task_group() as tasks:
        for _ in range(200):
            tasks.start_soon(link.request, INFO)
        tasks.start_soon(link.flush)
        await link.request(INFO)
        assert len((await the_client(nats_server))["subscriptions_list"]) == 1


async def test_each_request_gets_its_own_answer(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link, anyio.create_task_group() as tasks:

        async def create(number: int) -> None:
            name = f"stream-{number}"
            config = {"name": name, "subjects": [name], "storage": "memory"}
            subject, body = f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode()
            answer = await link.request(subject, body, timeout=DEADLINE)
            assert json.loads(answer.data)["config"]["name"] == name

        for number in range(20):
            tasks.start_soon(create, number)


async def test_a_request_that_nobody_answers(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link:
        nats_server.pause()
        with pytest.raises(
            walnats.ServerError, match=r"no answer to \$JS\.API\.INFO within 0\.2 s"
        ):
            await link.request(INFO, timeout=0.2)
        with pytest.raises(walnats.ServerError, match=r"did not read what was sent within 0\.2 s"):
            await link.flush(timeout=0.2)
        nats_server.resume()
        # Answers that come too late are nobody's.
        assert b'"streams":0' in (await link.request(INFO, timeout=DEADLINE)).data


async def test_a_cancelled_request_leaves_the_link_whole(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link:
        for _ in range(50):
            for what in (link.request(INFO), link.flush()):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await what
        await link.flush()
        assert (await link.request(INFO)).data


async def test_an_error_has_the_code_of_jetstream(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link:
        with pytest.raises(walnats.ServerError, match="stream not found") as caught:
            await api(link, "STREAM.INFO.none")
    assert caught.value.code == 10059


async def test_a_request_the_user_may_not_send() -> None:
    denied = 'publish: {deny: ["$JS.API.STREAM.INFO.*"]}'
    config = f"authorization {{ users = [{{user: u, password: p, permissions: {{{denied}}}}}] }}"
    with NatsServer(config=config) as server:
        async with linked(server, user="u", password="p") as link:
            with anyio.fail_after(DEADLINE):
                with pytest.raises(walnats.ServerError, match=r"may not publish to .*INFO\.UPPER"):
                    await link.request("$JS.API.STREAM.INFO.UPPER", timeout=DEADLINE)
                await link.request(INFO)


async def test_a_refusal_is_for_its_own_subject_only() -> None:
    """And not for what has it in its subject or its payload."""
    denied = 'publish: {deny: ["question"]}'
    users = f"{{user: u, password: p, permissions: {{{denied}}}}}, {{user: o, password: p}}"
    with NatsServer(config=f"authorization {{ users = [{users}] }}") as server:
        other = server.url.replace("//", "//o:p@")
        async with (
            answering(other, "question.>", lambda _: None) as came,
            linked(server, user="u", password="p") as link,
            anyio.create_task_group() as tasks,
        ):
            ask = partial(link.request, "question.more", b"question", timeout=DEADLINE)
            tasks.start_soon(ask)
            await until(lambda: len(came) == 1)
            with pytest.raises(walnats.ServerError, match="may not publish to 'question'"):
                await link.request("question", timeout=DEADLINE)
            assert link.statistics().pending == 1
            came.say(came[0], b"yes")


async def test_a_user_that_may_not_have_an_inbox() -> None:
    denied = 'subscribe: {deny: ["_INBOX.>"]}'
    config = f"authorization {{ users = [{{user: u, password: p, permissions: {{{denied}}}}}] }}"
    told: list[str] = []
    with NatsServer(config=config) as server:
        with anyio.fail_after(DEADLINE):
            with pytest.raises(walnats.ConnectError, match=r"^Perm.*_INBOX.*pass inbox_prefix"):
                async with linked(
                    server,
                    user="u",
                    password="p",
                    disconnected_cb=lambda: told.append("disconnected"),
                    closed_cb=lambda: told.append("closed"),
                ):
                    pytest.fail("connected")
            assert not told  # it has never been connected
            async with linked(server, user="u", password="p", inbox_prefix="_MINE") as link:
                await link.request(INFO)


async def test_a_user_that_may_not_publish_to_the_inbox() -> None:
    """A flush finds another way, and finds it once."""
    errors: list[Exception] = []
    denied = 'publish: {deny: ["_INBOX.>"]}'
    config = f"authorization {{ users = [{{user: u, password: p, permissions: {{{denied}}}}}] }}"
    with NatsServer(config=config) as server:
        async with linked(server, user="u", password="p", error_cb=errors.append) as link:
            for _ in range(3):
                await link.flush()
    assert len(errors) == 1
    assert "_INBOX" in str(errors[0])


async def test_a_cluster_that_elects_a_leader_is_waited_for(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is about something with replicas may take longer than what one server answers."""
    monkeypatch.setattr(_jetstream, "ANSWER_WITHIN", 0.2)
    async with linked(nats_server) as link, anyio.create_task_group() as tasks:
        nats_server.pause()

        async def resume() -> None:
            await anyio.sleep(0.6)
            nats_server.resume()

        with pytest.raises(walnats.ServerError, match=r"within 0\.2 s"):
            await stream_config(link, "none")
        tasks.start_soon(resume)
        assert await stream_config(link, "none", replicas=3) is None


# Across a lost connection


async def test_a_request_is_sent_again_after_a_reconnect(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link:
        nats_server.pause()
        answers: list[Message] = []

        async def ask() -> None:
            answers.append(await link.request(INFO, timeout=DEADLINE))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            nats_server.kill()
            await nats_server.start()
        assert len(answers) == 10


async def test_a_request_made_while_disconnected(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link:
        nats_server.kill()
        await until(lambda: not link.connected)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                link.request,
                INFO,
                b"",
            )
            tasks.start_soon(link.flush, DEADLINE)
            await nats_server.start()


class Watcher:
    """Notes what it hears of the connection."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_disconnect(self) -> None:
        self.heard.append("disconnect")

    def on_reconnect(self) -> None:
        self.heard.append("reconnect")

    def on_close(self) -> None:
        self.heard.append("close")

    def on_refusal(self, refusal: Refusal) -> None:
        self.heard.append("refusal")


async def test_watchers_hear_of_the_connection(nats_server: NatsServer) -> None:
    watcher, gone = Watcher(), Watcher()
    heard = watcher.heard
    async with linked(nats_server) as link:
        link.watch(watcher)
        link.watch(gone)
        link.unwatch(gone)
        for number in (1, 2):
            nats_server.kill()
            await until(lambda: not link.connected)
            await nats_server.start()
            await until(lambda: heard.count("reconnect") == number)  # noqa: B023 - awaited here
    assert heard == ["disconnect", "reconnect"] * 2 + ["close"]
    assert gone.heard == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_watchers_hear_of_a_connection_whose_task_was_cancelled(
    nats_server: NatsServer,
) -> None:
    """By somebody who cancels all tasks but his own. It is connected again at once."""
    watcher = Watcher()
    async with linked(nats_server) as link:
        link.watch(watcher)
        for task in asyncio.all_tasks():
            if task.get_name() == "walnats/connection":
                task.cancel()
        await until(lambda: "reconnect" in watcher.heard)
        await link.flush()
    assert watcher.heard == ["disconnect", "reconnect", "close"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_connection_whose_tasks_were_all_cancelled(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go on, and also do so when a body that was cancelled would have had to end."""
    monkeypatch.setattr(_link, "LEAVE_WITHIN", 0.1)
    async with linked(nats_server) as link:
        for task in asyncio.all_tasks():
            if task.get_name().startswith("walnats/"):
                task.cancel()
        await anyio.sleep(3 * _link.LEAVE_WITHIN)
        await link.flush(DEADLINE)
        assert link.closed is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_writer_that_was_cancelled_mixes_no_messages(nats_server: NatsServer) -> None:
    """Cancelled in the same way while the socket is full: nobody knows what has been sent."""
    got: list[bytes] = []
    errors: list[Exception] = []
    async with linked(nats_server, error_cb=errors.append) as link:
        mailbox = link.subscribe(lambda message: got.append(message.data))
        await link.flush()
        nats_server.pause()
        # Many of them make a piece that is sent at once. Were it sent twice, its end would meet its
        # beginning in the middle of a message, and the server would find nothing wrong with that.
        size = 8192 - (len(pub(mailbox.subject, b"x" * 8000)) - 8000)
        link.post(pub("nobody.listens", b"x" * 3000))
        for number in range(2500):
            link.post(pub(mailbox.subject, b"%04d" % number * (size // 4) + b"x" * (size % 4)))
        await until(lambda: link._outbox.unsent > 0)
        for task in asyncio.all_tasks():
            if task.get_name() == "walnats/writer":
                task.cancel()
        await anyio.wait_all_tasks_blocked()
        nats_server.resume()
        await link.flush(DEADLINE)
    mixed = [data for data in got if data != data[:4] * (size // 4) + b"x" * (size % 4)]
    assert (len(mixed), errors) == (0, [])
    assert {data[:4] for data in got} == {b"%04d" % number for number in range(2500)}


async def test_what_is_asked_while_the_socket_is_full(nats_server: NatsServer) -> None:
    """It comes after what was sent before, of which the rest waits; and all of it comes once."""
    got: list[bytes] = []
    async with linked(nats_server) as link, anyio.create_task_group() as tasks:
        mailbox = link.subscribe(lambda message: got.append(message.data[:4]))
        await link.flush()
        nats_server.pause()
        for number in range(120):
            link.post(pub(mailbox.subject, b"%04d" % number + b"x" * 100_000))
        await until(lambda: link._outbox.unsent > 0)
        for number in range(120, 123):
            link.post(pub(mailbox.subject, b"%04d" % number))
            tasks.start_soon(link.flush, DEADLINE)
            await anyio.wait_all_tasks_blocked()
        nats_server.resume()
        await link.flush(DEADLINE)
        assert link.statistics().reconnects == 0
        await nats_server.restart()
        await link.flush(DEADLINE)
    assert got == [b"%04d" % number for number in range(123)]


async def test_nothing_is_sent_twice_that_was_never_sent(nats_server: NatsServer) -> None:
    """What is posted while disconnected goes out once."""
    async with linked(nats_server) as link:
        got: list[bytes] = []
        mailbox = link.subscribe(lambda message: got.append(message.data))
        nats_server.kill()
        await until(lambda: not link.connected)
        for number in range(100):
            link.post(pub(mailbox.subject, b"%d" % number))
        await nats_server.start()
        await link.flush(DEADLINE)
    assert got == [b"%d" % number for number in range(100)]


# Flush


async def test_flush_waits_until_the_server_has_read_all(nats_server: NatsServer) -> None:
    async with linked(nats_server) as link:
        before = (await the_client(nats_server))["in_msgs"]
        for _ in range(1000):
            link.post(pub("nobody.listens", b"x" * 1000))
        await link.flush(DEADLINE)
        assert (await the_client(nats_server))["in_msgs"] >= before + 1000


# Subscriptions


async def test_a_subscription_delivers_in_order(nats_server: NatsServer) -> None:
    got: list[bytes] = []
    async with linked(nats_server) as link:
        mailbox = link.subscribe(lambda message: got.append(message.data))
        for number in range(1000):
            link.post(pub(mailbox.subject, b"%d" % number))
        await until(lambda: len(got) == 1000)
        link.end(mailbox)
        await link.flush()
        link.post(pub(mailbox.subject, b"too late"))
        await link.flush()
        link.forget(mailbox)
    assert got == [b"%d" % number for number in range(1000)]


async def test_headers_go_along(nats_server: NatsServer) -> None:
    got: list[Message] = []
    async with linked(nats_server) as link:
        mailbox = link.subscribe(got.append)
        link.post(pub(mailbox.subject, b"x", "", b"NATS/1.0\r\nKey: \xc3\xa4\r\n\r\n"))
        link.post(pub(mailbox.subject, b"", "reply"))
        await until(lambda: len(got) == 2)
    assert parse_headers(got[0].header) == {"Key": "ä"}
    assert got[0].data == b"x"
    assert (got[1].header, got[1].data, got[1].reply) == (b"", b"", b"reply")


class Fault(Exception):
    pass


async def test_a_callback_that_raises_ends_the_link(nats_server: NatsServer) -> None:
    """It is a fault of the machinery: nobody must wait for ever for what does not come any more."""
    ended: list[str] = []

    def deliver(_message: Message) -> None:
        raise Fault("in the machinery")

    async def ask(link: Link) -> None:
        # The cancellation that follows must not be what ends it.
        with anyio.CancelScope(shield=True), pytest.raises(walnats.ConnectionLostError):
            await link.request("nobody.answers", timeout=DEADLINE)
        ended.append("request")

    async def break_it() -> None:
        async with linked(nats_server) as link, anyio.create_task_group() as tasks:
            link.subscribe_to("nobody.answers", lambda _: None)
            mailbox = link.subscribe(deliver)
            tasks.start_soon(ask, link)
            await until(lambda: link.statistics().pending == 1)
            link.post(pub(mailbox.subject, b""))
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("body")

    with anyio.fail_after(DEADLINE), pytest.raises(Fault, match="in the machinery"):
        await break_it()
    assert sorted(ended) == ["body", "request"]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_what_ends_a_program_in_the_reader_leaves_the_body_a_connection(
    nats_server: NatsServer,
) -> None:
    """A handler of signals may raise it anywhere. asyncio would end its event loop at once."""
    ended: list[str] = []

    def deliver(_message: Message) -> None:
        raise SystemExit("mine")

    async def break_it() -> None:
        async with linked(nats_server) as link:
            mailbox = link.subscribe(deliver)
            link.post(pub(mailbox.subject, b""))
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await link.flush(_link.LEAVE_WITHIN / 2)
                    ended.append(link.statistics().last_error)

    with anyio.fail_after(DEADLINE), pytest.raises(SystemExit, match="mine"):
        await break_it()
    assert ended == ["the program was interrupted"]


# Closed for good


@pytest.mark.parametrize(
    "options",
    [{"allow_reconnect": False}, {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.05}],
    ids=["never", "once"],
)
async def test_a_link_that_gives_up(nats_server: NatsServer, options: dict[str, Any]) -> None:
    async with linked(nats_server, **options) as link:
        nats_server.pause()
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(walnats.ConnectionLostError):
                    await link.request(INFO, timeout=DEADLINE)

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            nats_server.kill()
        assert not link.connected
        with pytest.raises(walnats.ConnectionLostError):
            await link.flush()
        with pytest.raises(walnats.ConnectionLostError):
            await link.request(INFO)
        link.post(pub("x", b""))  # which does nothing, and raises nothing


# Requests that are let go


@pytest.mark.parametrize("how", ["timed out", "cancelled"])
async def test_a_request_that_is_let_go_is_not_repeated(nats_server: NatsServer, how: str) -> None:
    """Neither by the clock nor by a reconnect: nobody waits for it any more."""
    came: list[bytes] = []
    async with linked(nats_server) as witness:
        witness.subscribe_to("question", lambda message: came.append(message.data))
        await witness.flush()
        with Proxy(nats_server.port) as proxy:
            async with open_link(proxy.url) as link:
                if how == "timed out":
                    with pytest.raises(walnats.ServerError, match=r"within 0\.1 s"):
                        await link.request("question", b"let go", timeout=0.1)
                else:
                    with anyio.move_on_after(0.1):
                        await link.request("question", b"let go", timeout=DEADLINE)
                assert link.statistics().pending == 0
                proxy.cut()
                await until(lambda: not link.connected)
                await until(lambda: link.connected)
                link.post(pub("question", b"later"))
                await until(lambda: b"later" in came)
    assert came == [b"let go", b"later"]


async def test_what_is_under_way_is_repeated_at_once_after_a_reconnect(
    nats_server: NatsServer,
) -> None:
    """The reconnect repeats it, long before the clock would."""
    async with linked(nats_server) as link:
        nats_server.pause()
        answers: list[Message] = []

        async def ask() -> None:
            answers.append(await link.request(INFO, timeout=DEADLINE))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: link.statistics().pending == 1)
            nats_server.kill()
            await nats_server.start()
            await until(lambda: link.connected)
            await until(lambda: len(answers) == 1, within=RETRY_AFTER * 0.75)


async def test_what_is_never_answered_is_sent_again(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again and again, but not before it is known that the server has read it."""
    monkeypatch.setattr(_pending, "RETRY_AFTER", 0.4)
    async with (
        answering(
            nats_server.url, "question", lambda number: b"yes" if number == 3 else None
        ) as came,
        linked(nats_server) as link,
    ):
        began = monotonic()
        assert (await link.request("question", timeout=DEADLINE)).data == b"yes"
        took = monotonic() - began
    assert len(came) == 3
    # Each time the server is asked first, and then has as long again.
    assert 4 * 0.4 <= took < 8 * 0.4


async def test_a_server_that_stands_still_is_asked_once_whether_it_reads(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pending, "RETRY_AFTER", 0.2)
    async with linked(nats_server) as link, anyio.create_task_group() as tasks:
        nats_server.pause()
        tasks.start_soon(partial(link.request, INFO, timeout=DEADLINE))
        await until(lambda: link.statistics().pending == 2)
        await anyio.sleep(3 * _pending.RETRY_AFTER)
        assert link.statistics().pending == 2
        nats_server.resume()


async def test_that_the_question_is_refused_shows_that_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is never answered is sent again, also by a user who may ask for nothing else."""
    monkeypatch.setattr(_pending, "RETRY_AFTER", 0.2)
    denied = f'publish: {{deny: ["_INBOX.>", "{INFO}"]}}'
    users = f"{{user: u, password: p, permissions: {{{denied}}}}}, {{user: o, password: p}}"
    with NatsServer(config=f"authorization {{ users = [{users}] }}") as server:
        other = server.url.replace("//", "//o:p@")
        answer = lambda number: b"yes" if number == 2 else None  # noqa: E731 - short beside its name
        async with (
            answering(other, "question", answer),
            linked(server, user="u", password="p") as link,
        ):
            assert (await link.request("question", timeout=DEADLINE)).data == b"yes"


async def test_no_two_answers_go_to_the_same_place(nats_server: NatsServer) -> None:
    replies: list[bytes] = []
    async with (
        linked(nats_server) as witness,
        walnats.Events(EVENT).connect(nats_server.url) as conn,
    ):
        await conn.register()
        for subject in ("user-created", "question"):
            witness.subscribe_to(subject, lambda message: replies.append(message.reply))
        await witness.flush()
        for number in range(5):
            await conn.emit(EVENT, number)
            with anyio.move_on_after(0.02):
                await conn._link.request("question", timeout=DEADLINE)
        await until(lambda: len(replies) == 10)
    assert len(set(replies)) == 10


async def test_a_callback_that_raises_at_an_answer_ends_the_link(nats_server: NatsServer) -> None:
    """Whoever waits for that answer hears of it as well."""

    def accepts(_message: Message) -> bool:
        raise Fault("in the machinery")

    async def break_it() -> None:
        async with linked(nats_server) as link:
            with anyio.CancelScope(shield=True), pytest.raises(walnats.ConnectionLostError):
                await link.request(INFO, timeout=DEADLINE, accepts=accepts)

    with anyio.fail_after(DEADLINE), pytest.raises(Fault, match="in the machinery"):
        await break_it()
