"""`plan`: what `register` would do, and nothing done; and what `register` says that it did."""

from __future__ import annotations

from typing import Any

import pytest

import walnats_anyio as walnats
from tests.events.test_register import EVENT, OTHER
from tests.link._probe import js, keep, stream_config
from walnats_anyio.testing import NatsServer
from walnats_anyio.types import FieldChange, PlanAction, PlanEntry

pytestmark = pytest.mark.anyio

LIMITED = walnats.Event("user.created", int, limits=walnats.Limits(messages=5))


async def plan(server: NatsServer, *events: walnats.Event[Any], **options: bool) -> list[PlanEntry]:
    async with walnats.Events(*events).connect(server.url) as conn:
        return list(await conn.plan(**options))


async def register(
    server: NatsServer, *events: walnats.Event[Any], **options: bool
) -> list[PlanEntry]:
    async with walnats.Events(*events).connect(server.url) as conn:
        return list(await conn.register(**options))


async def test_a_plan_is_what_register_does_then(nats_server: NatsServer) -> None:
    """In the order of the registry; and the second time nothing is left to do."""
    for events in ((EVENT, OTHER), (OTHER, LIMITED), (OTHER, EVENT)):
        before = [await stream_config(nats_server, event) for event in events]
        planned = await plan(nats_server, *events)
        assert [await stream_config(nats_server, event) for event in events] == before
        assert await register(nats_server, *events) == planned
        assert [entry.declared_by for entry in planned] == [event.name for event in events]
        again = await plan(nats_server, *events)
        assert {entry.action for entry in again} == {PlanAction.KEEP}


async def test_what_an_entry_says(nats_server: NatsServer) -> None:
    (new,) = await register(nats_server, EVENT)
    assert new == PlanEntry(
        "stream", "user-created", "user-created", "user.created", PlanAction.CREATE
    )
    (update,) = await plan(nats_server, LIMITED)
    assert (update.action, update.changes_something) == (PlanAction.UPDATE, True)
    assert update.changes == (FieldChange("max_msgs", -1, 5, "`limits.messages`"),)
    assert str(update.changes[0]) == "max_msgs: -1 -> 5"


async def test_the_schema_alone(nats_server: NatsServer) -> None:
    """It is a change, and a version that cannot read what waits is warned of it."""
    await register(nats_server, EVENT)
    changed = walnats.Event("user.created", str)
    (entry,) = await plan(nats_server, changed)
    assert [change.field for change in entry.changes] == ["metadata"]
    assert "cannot read all messages of the version registered before" in entry.warnings[0]
    (without,) = await plan(nats_server, changed, update=False)
    assert (without.action, without.changes) == (PlanAction.KEEP, ())


async def test_what_register_would_refuse_is_in_the_plan(nats_server: NatsServer) -> None:
    in_memory = walnats.Event("user.created", int, storage="memory")
    twin = walnats.Event("user-created", int)
    (missing,) = await plan(nats_server, EVENT, create=False)
    await register(nats_server, EVENT)
    await keep(nats_server, EVENT)
    failing = [
        missing,
        *await plan(nats_server, LIMITED, update=False),
        *await plan(nats_server, in_memory),
        *await plan(nats_server, in_memory, force=True),
        *await plan(nats_server, twin),
    ]
    assert {entry.action for entry in failing} == {PlanAction.FAIL}
    assert [type(entry.error) for entry in failing] == [
        walnats.StreamConfigError,
        walnats.StreamExistsError,
        walnats.StreamConfigError,
        walnats.StreamConfigError,
        walnats.StreamConfigError,
    ]
    for event, options in (
        (LIMITED, {"update": False}),
        (in_memory, {}),
        (in_memory, {"force": True}),
        (twin, {}),
    ):
        (entry,) = await plan(nats_server, event, **options)
        with pytest.raises(type(entry.error or Exception())) as raised:
            await register(nats_server, event, **options)
        assert str(raised.value) == str(entry.error)


async def test_what_delays_and_expiry_need(nats_server: NatsServer) -> None:
    """Planned, and not made yet; also of a stream that is there."""
    for event in (
        walnats.Event("later", int, delays=True, ttl=True),
        walnats.Event("user.created", int, delays=True, ttl=True),
    ):
        if event.name == EVENT.name:
            await register(nats_server, EVENT)
            await js(nats_server, "STREAM.DELETE.walnats-schedules")
        planned = await plan(nats_server, event)
        answer = await js(nats_server, "STREAM.INFO.walnats-schedules")
        assert answer["error"]["err_code"] == 10059
        assert await register(nats_server, event) == planned
        (stream, schedules) = planned
        assert (schedules.kind, schedules.action.value) == ("helper stream", "create")
        if event.name == EVENT.name:
            assert [each.field for each in stream.changes] == ["allow_msg_ttl", "sources"]
        again = await plan(nats_server, event)
        assert {entry.action for entry in again} == {PlanAction.KEEP}
        assert [entry.kept for entry in again] == [(), ()]


async def test_force_without_update(nats_server: NatsServer) -> None:
    with pytest.raises(ValueError, match="update=True"):
        await plan(nats_server, EVENT, update=False, force=True)


async def test_what_is_left_alone_is_in_the_plan(nats_server: NatsServer) -> None:
    config = EVENT.stream_config() | {"deny_delete": True, "max_msgs_per_subject": 5}
    assert "error" not in await js(nats_server, "STREAM.CREATE.user-created", config)
    (entry,) = await plan(nats_server, EVENT)
    assert {(each.field, each.old) for each in entry.kept} == {
        ("deny_delete", True),
        ("max_msgs_per_subject", 5),
    }


def test_a_facade_plans_as_well() -> None:
    with NatsServer() as server, walnats.Events(EVENT).connect_sync(server.url) as conn:
        planned = conn.plan()
        assert planned == conn.register()
        assert [entry.action.value for entry in (*planned, *conn.plan())] == ["create", "keep"]


# Actors


async def nothing(message: int) -> None:
    """Handle an event."""


async def test_consumers_and_the_streams_of_the_library(nats_server: NatsServer) -> None:
    pack = walnats.Actor("pack", EVENT, nothing)
    slow = walnats.Actor("pack", EVENT, nothing, ack_wait=60)
    async with walnats.Actors(pack).connect(nats_server.url) as conn:
        (missing, *_) = await conn.plan()
        assert "register the event first" in str(missing.error)
        await register(nats_server, EVENT)
        planned = await conn.plan()
        assert [(each.kind, each.action.value) for each in planned] == [
            ("consumer", "create"),
            ("helper stream", "create"),
            ("helper stream", "create"),
        ]
        assert await conn.register() == planned
        assert {each.action for each in await conn.plan()} == {PlanAction.KEEP}
    async with walnats.Actors(slow).connect(nats_server.url) as conn:
        (entry, *_) = await conn.plan()
        assert [str(each) for each in entry.changes] == ["ack_wait: 16 s -> 60 s"]
        with pytest.raises(walnats.ConsumerConfigError, match=r"ack_wait is 16 s.*update=True"):
            await conn.register(update=False)
        assert (await conn.register())[0] == entry
        await js(nats_server, "CONSUMER.DELETE.user-created.pack")
        with pytest.raises(walnats.ConsumerConfigError, match="create=True"):
            await conn.register(create=False)


async def test_a_helper_stream_that_is_missing_or_falls_short(nats_server: NatsServer) -> None:
    await register(nats_server, EVENT)
    actors = walnats.Actors(walnats.Actor("pack", EVENT, nothing))
    async with actors.connect(nats_server.url) as conn:
        await conn.register()
        await js(nats_server, "STREAM.DELETE.walnats-attempts")
        with pytest.raises(walnats.StreamConfigError, match=r"'walnats-attempts'.*create=True"):
            await conn.register(create=False)
        letters = await js(nats_server, "STREAM.INFO.walnats-dead-letters")
        fewer = letters["config"] | {"subjects": letters["config"]["subjects"][:1], "max_msgs": 9}
        await js(nats_server, "STREAM.UPDATE.walnats-dead-letters", fewer)
        (_, attempts, dead) = await conn.plan()
        assert (attempts.action, dead.action) == (PlanAction.CREATE, PlanAction.UPDATE)
        assert [each.field for each in dead.changes] == ["subjects"]
        assert [(each.field, each.old) for each in dead.kept] == [("max_msgs", 9)]
        with pytest.raises(ExceptionGroup, match="2 streams failed") as raised:
            await conn.register(create=False, update=False)
        assert "subjects: ['walnats.dead" in str(raised.value.exceptions[1])
        assert {each.action for each in (await conn.register())[1:]} == {"create", "update"}
        assert {each.action for each in await conn.plan()} == {PlanAction.KEEP}
