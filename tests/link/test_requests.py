"""The link under events and actors: requests, flush, subscriptions, news of the connection."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import connections
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import Link, Message, Refusal, api, open_link, parse_headers, pub
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


async def test_a_user_that_may_not_have_an_inbox() -> None:
    denied = 'subscribe: {deny: ["_INBOX.>"]}'
    config = f"authorization {{ users = [{{user: u, password: p, permissions: {{{denied}}}}}] }}"
    with NatsServer(config=config) as server:
        with anyio.fail_after(DEADLINE):
            with pytest.raises(walnats.ConnectError, match=r"._INBOX.*pass inbox_prefix"):
                async with linked(server, user="u", password="p"):
                    pytest.fail("connected")
            async with linked(server, user="u", password="p", inbox_prefix="_MINE") as link:
                await link.request(INFO)


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


async def test_watchers_hear_of_the_connection(nats_server: NatsServer) -> None:
    heard: list[str] = []

    class Watcher:
        def on_disconnect(self) -> None:
            heard.append("disconnect")

        def on_reconnect(self) -> None:
            heard.append("reconnect")

        def on_close(self) -> None:
            heard.append("close")

        def on_refusal(self, refusal: Refusal) -> None:
            heard.append("refusal")

    watcher, gone = Watcher(), Watcher()
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
        with pytest.raises(walnats.ConnectionLostError):
            await link.request("nobody.answers", timeout=DEADLINE)
        ended.append("request")

    async def break_it() -> None:
        async with linked(nats_server) as link, anyio.create_task_group() as tasks:
            mailbox = link.subscribe(deliver)
            tasks.start_soon(ask, link)
            link.post(pub(mailbox.subject, b""))
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("body")

    with anyio.fail_after(DEADLINE), pytest.raises(Fault, match="in the machinery"):
        await break_it()
    assert "body" in ended


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
