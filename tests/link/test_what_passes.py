"""Limits and refusals of the server that can pass: said, and never the end of a connection."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import anyio
import nkeys  # type: ignore[import-untyped]  # it is not typed
import pytest

import walnats_anyio as walnats
from tests.actors._stage import listening, running, stage
from tests.link.test_credentials import Realm, make_key
from tests.support.recorders import Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio._link import ServerError, open_link, pub
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT: walnats.Event[int] = walnats.Event("numbers", int)
DATA: walnats.Event[bytes] = walnats.Event("data", bytes)


# Limits


async def test_a_max_payload_that_is_lowered_fails_only_what_is_too_large(tmp_path: Path) -> None:
    got: list[int] = []

    async def handle(message: bytes) -> None:
        got.append(len(message))

    async with (
        NatsServer(config={"max_payload": 200_000}, store_dir=tmp_path) as server,
        running(server.url, walnats.Actor("a", DATA, handle)) as on,
    ):
        await on.events.emit(DATA, b"xx", sync=True)
        port = server.port
        await server.stop()
        for size in (1, 150_000, 3, 4):
            await on.events.emit(DATA, b"x" * size)
        async with NatsServer(port=port, config={"max_payload": 100_000}, store_dir=tmp_path):
            with anyio.fail_after(DEADLINE), pytest.raises(walnats.MessageTooLargeError) as failed:
                await on.events.flush()
            assert "at most 100000" in str(failed.value)
            await on.events.emit(DATA, b"x" * 5, sync=True)
            await until(lambda: sorted(set(got)) == [1, 2, 3, 4, 5])
        await server.start()


async def test_a_max_payload_that_a_reload_lowers() -> None:
    async with (
        NatsServer(config={"max_payload": 200_000}) as server,
        walnats.Events(DATA).connect(server.url) as conn,
    ):
        await conn.register()
        await conn.emit(DATA, b"x" * 150_000, sync=True)
        await server.reload({"max_payload": 100_000})
        # The server does not tell of it, but cuts the connection when it sees the event.
        with anyio.fail_after(DEADLINE):
            with pytest.raises(walnats.MessageTooLargeError, match="at most 100000"):
                await conn.emit(DATA, b"x" * 150_000, sync=True)
            await conn.emit(DATA, b"x" * 50_000, sync=True)


async def test_a_message_that_is_too_large_by_now_is_cut_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that nobody waits for, such as a response, and that the socket took a part of."""
    size = 16_000_000
    async with (
        NatsServer(config={"max_payload": size}) as server,
        open_link(server.url) as link,
    ):
        await server.reload({"max_payload": size // 2})
        link.post(pub("answers", b"x" * size))
        link.post(pub("more", b"x"))
        await link.flush(DEADLINE)
        assert link.statistics().reconnects == 1
    assert f"'answers' is not sent: it is {size} bytes" in caplog.text
    assert "'more'" not in caplog.text


async def test_max_connections_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    handled = Handled()
    async with (
        NatsServer(config={"max_connections": 100}) as server,
        running(server.url, walnats.Actor("a", EVENT, handled)) as on,
    ):
        await on.emit(1)
        await server.reload({"max_connections": 1})
        links = on.events._link, on.actors._link
        await until(lambda: any(not link.connected for link in links))
        (cut, *_) = (link for link in links if not link.connected)
        await until(lambda: "maximum connections exceeded" in cut.trouble.lower())
        # What the server said is the reason, and not that it closed the connection then.
        assert "connection lost (maximum connections exceeded" in caplog.text.lower()
        await server.reload({"max_connections": 100})
        with anyio.fail_after(DEADLINE):
            await on.emit(2)
        await handled.come(2)


async def test_max_connections_at_the_start() -> None:
    """The server is full for good: `connect()` says so."""
    async with (
        NatsServer(config={"max_connections": 1}) as server,
        walnats.Events(EVENT).connect(server.url),
    ):
        with anyio.fail_after(DEADLINE):
            with pytest.raises(walnats.ConnectError, match=r"(?i)maximum connections exceeded"):
                async with walnats.Events(EVENT).connect(server.url):
                    pytest.fail("connected")


async def test_max_subscriptions() -> None:
    events = [walnats.Event(f"subs{number}", int) for number in range(8)]
    actors = walnats.Actors(*(walnats.Actor("a", event, print) for event in events))
    async with (
        NatsServer(config={"max_subscriptions": 5}) as server,
        walnats.Events(*events).connect(server.url) as conn,
        actors.connect(server.url) as acting,
    ):
        await conn.register()
        await acting.register()
        with anyio.fail_after(DEADLINE):
            error = await failure_of(acting.listen())
        assert isinstance(error, walnats.WalnatsError)
        assert "maximum subscriptions exceeded" in str(error).lower()
        # The connection itself is as good as before.
        await acting.register()


async def test_max_subscriptions_of_who_requests() -> None:
    """The server does not say which subscription it refuses; a request does not wait in vain."""
    event = walnats.Event("asked", int).with_response(str)
    async with (
        NatsServer(config={"max_subscriptions": 1}) as server,
        walnats.Events(event).connect(server.url) as conn,
        walnats.Actors(walnats.Actor("a", event, lambda _: "x")).connect(server.url) as acting,
    ):
        await conn.register()
        await acting.register()
        for _ in range(2):
            with anyio.fail_after(DEADLINE):
                error = await failure_of(conn.request(event, 1))
            assert type(error) is ServerError
            assert "maximum subscriptions exceeded" in str(error).lower()


async def failure_of(call: Any) -> BaseException:
    """What it fails with; the first one where several did."""
    try:
        await call
    except Exception as error:  # noqa: BLE001 - the test looks at it
        found: BaseException = error
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        return found
    raise AssertionError("it did not fail")


# As whom

BOSS = {"user": "boss", "password": "bosspw"}
KIM = {"user": "kim", "password": "kimspw"}


def users(*users: dict[str, Any]) -> dict[str, Any]:
    return {"authorization": {"users": list(users)}}


async def test_a_removed_user_is_said_as_that_and_all_goes_on_when_he_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    handled = Handled()
    event: walnats.Event[int] = walnats.Event("numbers", int, dedup_window=2)
    async with NatsServer(config=users(BOSS, KIM)) as server:
        url = server.url.replace("//", "//kim:kimspw@")
        async with running(url, walnats.Actor("a", event, handled)) as on:
            await on.emit(1)
            await handled.come(1)
            await server.reload(users(BOSS))
            await until(lambda: not on.events._link.connected)
            with pytest.raises(
                walnats.EmitError, match=r"not connected: .*Authorization Violation"
            ):
                await on.events.emit(event, 2, sync=True)
            assert "Authorization Violation" in caplog.text
            shown = on.events.statistics().connection
            assert shown.last_error.startswith("Authorization Violation: check user, password")
            assert not shown.connected
            assert not shown.closed
            await server.reload(users(BOSS, KIM))
            await until(lambda: on.events._link.connected and on.actors._link.connected)
            assert on.events.statistics().connection.last_error == shown.last_error
            await on.emit(3)
            await until(lambda: 3 in handled.messages)
    assert "kimspw" not in caplog.text


async def test_a_user_jwt_that_expires_is_asked_for_anew() -> None:
    realm = Realm()
    user = make_key(nkeys.PREFIX_BYTE_USER)
    asked: list[bytes] = []

    def user_jwt() -> bytes:
        asked.append(realm.user_jwt(user, seconds=2).encode())
        return asked[-1]

    def sign(nonce: str) -> bytes:
        return base64.b64encode(user.sign(nonce.encode()))

    with NatsServer(config=realm.server_config()) as server:
        async with walnats.Events(EVENT).connect(
            server.url, user_jwt_cb=user_jwt, signature_cb=sign
        ) as conn:
            await conn.register()
            number = 0
            with anyio.fail_after(DEADLINE):
                while len(asked) < 3:
                    number += 1
                    await conn.emit(EVENT, number, sync=True)
                    await anyio.sleep(0.05)
                await conn.emit(EVENT, 0, sync=True)


async def test_credentials_that_are_renewed_count_from_the_next_reconnect(tmp_path: Any) -> None:
    """The file had expired; its new text lets us in again."""
    realm = Realm()
    file = tmp_path / "kim.creds"
    file.write_text(realm.credentials(seconds=2))
    with NatsServer(config=realm.server_config()) as server:
        async with walnats.Events(EVENT).connect(server.url, user_credentials=file) as conn:
            await conn.register()
            await until(lambda: "Expired" in conn._link.trouble or "Auth" in conn._link.trouble)
            file.write_text(realm.credentials())
            with anyio.fail_after(DEADLINE):
                await conn.emit(EVENT, 1, sync=True)


# What this user may not do

PULL = "$JS.API.CONSUMER.MSG.NEXT.numbers.a"
ACK = "$JS.ACK.>"


def without(*denied: str) -> dict[str, Any]:
    return users(BOSS, KIM | {"permissions": {"publish": {"deny": list(denied)}}})


@pytest.mark.parametrize("burst", [False, True], ids=["listen", "burst"])
@pytest.mark.parametrize("denied", [PULL, ACK], ids=["pull", "ack"])
async def test_what_is_denied_from_the_start_ends_listen_with_its_name(
    denied: str, burst: bool
) -> None:
    """Else it would be started and take nothing, or run its events again for ever."""
    actor = walnats.Actor("a", EVENT, Handled(), ack_wait=1)
    async with NatsServer(config=without(denied)) as server:
        boss, kim = (server.url.replace("//", f"//{who}@") for who in ("boss:bosspw", "kim:kimspw"))
        async with (
            walnats.Events(EVENT).connect(boss) as conn,
            walnats.Actors(actor).connect(kim) as acting,
        ):
            await conn.register()
            await acting.register()
            await conn.emit_many(EVENT, range(5), sync=True)
            with anyio.fail_after(DEADLINE):
                error = await failure_of(acting.listen(burst=burst))
    assert isinstance(error, walnats.WalnatsError)
    assert denied.removesuffix(".>") in str(error)
    assert "ermission" in str(error)


@pytest.mark.parametrize("denied", [PULL, ACK], ids=["pull", "ack"])
async def test_what_a_reload_denies_ends_listen_with_its_name(denied: str) -> None:
    handled = Handled()
    actor = walnats.Actor("a", EVENT, handled, ack_wait=1)
    async with NatsServer(config=without("nothing")) as server:
        boss, kim = (server.url.replace("//", f"//{who}@") for who in ("boss:bosspw", "kim:kimspw"))
        async with (
            walnats.Events(EVENT).connect(boss) as conn,
            walnats.Actors(actor).connect(kim) as acting,
        ):
            await conn.register()
            await acting.register()
            errors: list[BaseException] = []

            async def listen(*, task_status: Any) -> None:
                errors.append(await failure_of(acting.listen(task_status=task_status)))

            with anyio.fail_after(DEADLINE):
                async with anyio.create_task_group() as tasks:
                    await tasks.start(listen)
                    await conn.emit(EVENT, 1, sync=True)
                    await handled.come(1)
                    await server.reload(without(denied))
                    for number in range(2, 20):
                        await conn.emit(EVENT, number, sync=True)
    assert isinstance(errors[0], walnats.WalnatsError)
    assert denied.removesuffix(".>") in str(errors[0])


async def test_a_denied_subscription_of_others_ends_no_listen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not what the actor lives on."""
    handled = Handled()
    permissions = {"subscribe": {"deny": ["secret.>"]}}
    users = [{"user": "kim", "password": "kimspw", "permissions": permissions}]
    actor = walnats.Actor("a", EVENT, handled)
    async with (
        NatsServer(config={"authorization": {"users": users}}) as server,
        stage(server.url, actor, user="kim", password="kimspw") as on,
        listening(on.actors),
    ):
        on.link.subscribe_to("secret.plans", print)
        await until(lambda: 'Subscription to "secret.plans"' in caplog.text)
        await on.emit(1)
        await handled.come(1)


async def test_an_emit_that_a_reload_denies() -> None:
    async with NatsServer(config=without("nothing")) as server:
        url = server.url.replace("//", "//kim:kimspw@")
        async with walnats.Events(EVENT).connect(url) as conn:
            await conn.register()
            await conn.emit(EVENT, 1, sync=True)
            await server.reload(without("numbers"))
            with anyio.fail_after(DEADLINE):
                with pytest.raises(walnats.EmitError, match="may not publish to 'numbers'"):
                    await conn.emit(EVENT, 2, sync=True)
                await server.reload(without("nothing"))
                await conn.emit(EVENT, 3, sync=True)
