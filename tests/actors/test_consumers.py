"""Registering actors, and listening to consumers that are not as declared."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

import anyio
import pytest

from tests.actors._stage import Stage, breaking, listening, run_of, stage
from tests.support.recorders import Gate, Handled
from tests.support.waiting import DEADLINE, until
from walnats_anyio import (
    Actor,
    Actors,
    ConsumerConfigError,
    Event,
    Events,
    ServerError,
    StreamConfigError,
    WalnatsError,
)
from walnats_anyio._actors import _listen
from walnats_anyio._actors.pull import _doubts
from walnats_anyio._actors.pull._consumer_rules import CONSUMER_RULES, differences_of
from walnats_anyio._events import Action
from walnats_anyio._link import Link, Message, api, pub
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


async def delete_consumer(link: Link, actor: Actor[Any, Any]) -> None:
    await api(link, f"CONSUMER.DELETE.{actor.event.stream_name}.{actor.consumer_name}")


# register


async def test_register_makes_the_consumer(url: str, event: Event[int]) -> None:
    actor = Actor(
        "a",
        event,
        Handled(),
        description="Notes numbers.",
        ack_wait=1.5,
        max_attempts=7,
        max_ack_pending=9,
    )
    async with stage(url, actor) as on:
        config = (await on.consumer(actor)).config
    assert config["durable_name"] == "a"
    assert config["description"] == "Notes numbers."
    assert config["ack_policy"] == "explicit"
    assert config["deliver_policy"] == "all"
    assert config["ack_wait"] == 1_500_000_000
    assert config["max_deliver"] == -1
    assert config["max_ack_pending"] == 9


async def test_register_again_changes_nothing(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        await on.emit(1, 2, 3)
        before = await on.consumer(actor)
        await on.actors.register()
        assert await on.consumer(actor) == before


@pytest.mark.parametrize(
    ("field", "value", "on_server"),
    [
        ("ack_wait", 3, ("ack_wait", 3_000_000_000)),
        ("max_ack_pending", 50, ("max_ack_pending", 50)),
        ("description", "New.", ("description", "New.")),
    ],
)
async def test_register_brings_changes_to_the_server(
    url: str, event: Event[int], field: str, value: Any, on_server: tuple[str, Any]
) -> None:
    """And what waits in the consumer stays there."""
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await on.emit(1, 2, 3)
        changed = dataclasses.replace(actor, **{field: value})
        async with Actors(changed).connect(url) as conn:
            await conn.register()
            consumer = await on.consumer(changed)
            assert consumer.config[on_server[0]] == on_server[1]
            assert consumer.waiting == 3
            async with listening(conn):
                await handled.come(3)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_register_after_a_restart_says_what_it_has_changed(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The server then answers with what the consumer was before."""
    actor = Actor("a", Event("numbers", int), Handled(), ack_wait=1)
    async with stage(nats_server.url, actor):
        await nats_server.restart()
    async with stage(nats_server.url, dataclasses.replace(actor, ack_wait=2)):
        assert "ack_wait from 1 s to 2 s" in caplog.text
    assert "stays otherwise" not in caplog.text


async def test_register_leaves_alone_what_is_not_declared(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        stream = event.stream_name
        config = (await on.consumer(actor)).config | {"metadata": {"team": "blue"}, "ack_wait": 1}
        body = {"stream_name": stream, "config": config, "action": "update"}
        await api(on.link, f"CONSUMER.CREATE.{stream}.a", body)
        await on.actors.register()
        config = (await on.consumer(actor)).config
        assert config["metadata"]["team"] == "blue"
        assert config["ack_wait"] == 16_000_000_000


async def test_register_without_a_stream(url: str, event: Event[int]) -> None:
    async with Actors(Actor("a", event, Handled())).connect(url) as conn:
        with pytest.raises(StreamConfigError, match=rf"actor 'a'.*{event.name}.*register"):
            await conn.register()


async def test_register_several_without_a_stream(url: str, event: Event[int]) -> None:
    """Those that can be registered are; every one that cannot is named."""
    missing = [Event(f"{event.name}-{number}", int) for number in range(2)]
    fine = Actor("fine", event, Handled())
    bad = [Actor(f"bad{number}", one, Handled()) for number, one in enumerate(missing)]
    async with Events(event).connect(url) as events:
        await events.register()
        async with Actors(bad[0], fine, bad[1]).connect(url) as conn:
            with pytest.raises(ExceptionGroup) as raised:
                await conn.register()
            assert len(raised.value.exceptions) == 2
            for error in raised.value.exceptions:
                assert isinstance(error, StreamConfigError)
            info = await api(conn._link, f"CONSUMER.INFO.{event.stream_name}.fine")
            assert info["name"] == "fine"


async def test_a_consumer_of_another_kind(url: str, event: Event[int]) -> None:
    """A push consumer of that name is there, which nobody can pull from."""
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        config = {"durable_name": "a", "ack_policy": "explicit", "deliver_subject": "push"}
        body = {"stream_name": event.stream_name, "config": config}
        await api(conn._link, f"CONSUMER.DURABLE.CREATE.{event.stream_name}.a", body)
        with pytest.raises(ConsumerConfigError, match=r"'a'.*push"):
            await conn.register()
        with pytest.raises(ConsumerConfigError, match=r"actor 'a'.*deliver_subject"):
            await conn.listen()


async def test_an_acknowledgement_policy_that_nats_cannot_change(
    url: str, event: Event[int]
) -> None:
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        body = {
            "stream_name": event.stream_name,
            "config": {"durable_name": "a", "ack_policy": "none"},
        }
        await api(conn._link, f"CONSUMER.DURABLE.CREATE.{event.stream_name}.a", body)
        with pytest.raises(ConsumerConfigError, match=r"actor 'a'.*ack_policy is 'none'.*Delete"):
            await conn.register()


# listen


async def test_listening_without_registering(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        with pytest.raises(ConsumerConfigError, match=r"actor 'a'.*register"):
            await conn.listen()


async def test_listening_without_a_stream(url: str, event: Event[int]) -> None:
    async with Actors(Actor("a", event, Handled())).connect(url) as conn:
        with pytest.raises(WalnatsError, match=r"actor 'a'.*register"):
            await conn.listen()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("ack_wait", 3, "ack_wait is 3 s, not 16 s"), ("max_ack_pending", 50, "is 50, not 1000")],
)
async def test_a_worker_of_an_old_version_starts_again(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, field: str, value: Any, told: str
) -> None:
    """The new version has registered something else: that is said, and worked with."""
    handled = Handled()
    actor = Actor("a", event, handled)
    changed = dataclasses.replace(actor, **{field: value})
    async with stage(url, actor) as on, Actors(changed).connect(url) as conn:
        await conn.register()
        await on.emit(1)
        async with listening(on.actors):
            await handled.come(1)
    assert told in caplog.text


async def test_a_description_does_not_matter(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled, description="One.")
    async with stage(url, actor) as on:
        other = dataclasses.replace(actor, description="Another.")
        async with Actors(other).connect(url) as conn, listening(conn):
            await on.emit(1)
            await handled.come(1)


async def test_a_failed_listen_can_be_repeated(url: str, event: Event[int]) -> None:
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await delete_consumer(on.link, actor)
        with pytest.raises(ConsumerConfigError):
            await on.actors.listen()
        await on.actors.register()
        async with listening(on.actors):
            await on.emit(1)
            await handled.come(1)


# consumers that others made

HOUR = 3600 * 10**9

OTHERS: dict[str, dict[str, Any]] = {
    "ack_wait": {"ack_wait": HOUR},
    "backoff": {"backoff": [10**9, 2 * 10**9]},
    "max_deliver": {"max_deliver": 3},
    "max_ack_pending": {"max_ack_pending": 5},
    "max_batch": {"max_batch": 2},
    "max_expires": {"max_expires": 10**8},
    "max_bytes": {"max_bytes": 1000},
    "inactive_threshold": {"inactive_threshold": HOUR},
    "sample_freq": {"sample_freq": "50%"},
    "deliver_policy": {"deliver_policy": "new"},
    "replay_policy": {"replay_policy": "original"},
    "mem_storage": {"mem_storage": True},
    "max_waiting": {"max_waiting": 3},
    "headers_only": {"headers_only": True},
    "filter_subject": {"filter_subject": "other"},
    "filter_subjects": {"filter_subjects": ["other", "another"]},
    "priority_groups": {"priority_groups": ["g"], "priority_policy": "overflow"},
    "priority_policy": {"priority_groups": ["g"], "priority_policy": "prioritized"},
    "priority_timeout": {
        "priority_groups": ["g"],
        "priority_policy": "pinned_client",
        "priority_timeout": 10**9,
    },
    "pause_until": {"pause_until": "2001-01-01T00:00:00Z"},
    "ack_policy": {"ack_policy": "none"},
    "deliver_subject": {"deliver_subject": "push", "deliver_group": "g"},
}
"""What somebody may have set of each field that a pull consumer can have."""

BY_THE_SERVER = {
    "durable_name", "description", "metadata",  # tested on their own
    "num_replicas", "opt_start_seq", "opt_start_time", "flow_control", "idle_heartbeat",
    "rate_limit_bps", "deliver_group", "direct", "sourcing",
}  # fmt: skip
"""Fields that need a cluster, belong to one above, or that no pull consumer has."""


def test_every_field_is_tried() -> None:
    assert {rule.field for rule in CONSUMER_RULES} == OTHERS.keys() | BY_THE_SERVER


async def make_by_hand(link: Link, actor: Actor[Any, Any], **fields: Any) -> None:
    """Make a consumer as a person would, with the least there has to be."""
    stream = actor.event.stream_name
    config = {"durable_name": actor.name, "name": actor.name, "ack_policy": "explicit"} | fields
    config = {"ack_wait": 16 * 10**9, "max_ack_pending": 1000} | config
    if "deliver_subject" in fields or fields.get("ack_policy") == "none":
        del config["max_ack_pending"], config["ack_wait"]
    body = {"stream_name": stream, "config": config}
    await api(link, f"CONSUMER.CREATE.{stream}.{actor.name}", body)


@pytest.mark.parametrize("field", OTHERS)
async def test_what_register_does(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, field: str
) -> None:
    """It does what the rule of the field says, and then the actor gets its events, or nobody."""
    (rule,) = (rule for rule in CONSUMER_RULES if rule.field == field)
    handled = Handled()
    actor = Actor("a", event, handled)
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        await make_by_hand(conn._link, actor, **OTHERS[field])
        if rule.register is Action.REFUSE:
            with pytest.raises(ConsumerConfigError, match=rf"actor 'a'.*{field}.*Delete"):
                await conn.register()
            return
        await conn.register()
        info = await api(conn._link, f"CONSUMER.INFO.{event.stream_name}.a")
        found = differences_of(actor.consumer_config(), info["config"], event.subject_name)
        left = {each.field for each in found}
        assert (field in left) == (rule.register is not Action.CHANGE)
        assert all(each.rule.register is not Action.CHANGE for each in found)
        assert (field in caplog.text) == (rule.register is not Action.KEEP)
        caplog.clear()
        await conn.register()
        assert "is changed" not in caplog.text
        await events.emit(event, 1, sync=True)
        async with listening(conn):
            await handled.come(1)


@pytest.mark.parametrize("field", OTHERS)
async def test_what_listen_does(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, field: str
) -> None:
    """It refuses what breaks a promise, and works with the rest."""
    (rule,) = (rule for rule in CONSUMER_RULES if rule.field == field)
    handled = Handled()
    actor = Actor("a", event, handled)
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        await make_by_hand(conn._link, actor, **OTHERS[field])
        if "priority_groups" in OTHERS[field] or rule.listen is Action.REFUSE:
            with pytest.raises(ConsumerConfigError, match=rf"actor 'a'.*{field}|priority_groups"):
                await conn.listen()
            return
        await events.emit_many(event, range(20), sync=True)
        async with listening(conn):
            await handled.come(20)
        assert (field in caplog.text) == (rule.listen is Action.WARN and field != "pause_until")


async def test_a_consumer_whose_requests_may_name_few_bytes(url: str, event: Event[int]) -> None:
    """An actor of many jobs would name more of them, and the server refuse that."""
    handled = Handled()
    actor = Actor("a", event, handled, max_jobs=100)
    async with stage(url, actor) as on:
        await change_consumer(on, actor, max_bytes=5_000_000)
        await on.emit(*range(200))
        async with listening(on.actors, max_jobs=100):
            await handled.come(200)
            await on.until_done(actor)


async def test_a_client_that_is_pinned(url: str, event: Event[int]) -> None:
    """It loses its hold, or events would wait until that times out."""
    handled = Handled()
    actor = Actor("a", event, handled)
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        fields = OTHERS["priority_timeout"] | {"priority_timeout": HOUR}
        await make_by_hand(conn._link, actor, **fields)
        await events.emit(event, 1, sync=True)
        came: list[Message] = []
        inbox = conn._link.subscribe(came.append)
        body = b'{"batch": 1, "expires": 10000000000, "group": "g"}'
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{event.stream_name}.a"
        conn._link.post(pub(pull, body, inbox.subject))
        await until(lambda: bool(came))
        assert "Nats-Pin-Id" in (came[0].headers or {})
        await conn.register()
        await events.emit(event, 2, sync=True)
        async with listening(conn):
            await handled.come(1)


async def test_an_ephemeral_consumer_of_the_same_name(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        body = {"stream_name": event.stream_name, "config": {"name": "a", "ack_policy": "explicit"}}
        await api(conn._link, f"CONSUMER.CREATE.{event.stream_name}.a", body)
        for refused in (conn.register, conn.listen):
            with pytest.raises(ConsumerConfigError, match=r"durable_name"):
                await refused()


async def test_requests_that_may_wait_no_time(url: str, event: Event[int]) -> None:
    """They would come by the thousand."""
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        await make_by_hand(conn._link, actor, max_expires=2 * 10**6)
        with pytest.raises(ConsumerConfigError, match=r"max_expires is 0\.002 s.*register"):
            await conn.listen()


async def test_a_filter_of_the_event_itself(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        await events.register()
        await make_by_hand(conn._link, actor, filter_subject=event.subject_name)
        await conn.listen(burst=True, poll_delay=0)
        await conn.register()
        assert "filter" not in caplog.text
        info = await api(conn._link, f"CONSUMER.INFO.{event.stream_name}.a")
        assert info["config"]["filter_subject"] == event.subject_name


async def test_a_paused_consumer_is_said_and_stays_paused(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        body = {"pause_until": "2100-01-01T00:00:00Z"}
        await api(on.link, f"CONSUMER.PAUSE.{event.stream_name}.a", body)
        changed = dataclasses.replace(actor, ack_wait=20)
        async with Actors(changed).connect(url) as conn:
            await conn.register()
            await conn.listen(burst=True, poll_delay=0)
        assert "pause_until" in caplog.text
        info = await api(on.link, f"CONSUMER.INFO.{event.stream_name}.a")
        assert info["paused"]


async def test_a_limit_that_the_stream_puts_on_consumers(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    """What register cannot change it does not claim to have changed."""
    actor = Actor("a", event, Handled())
    async with Events(event).connect(url) as events, Actors(actor).connect(url) as conn:
        config = event.stream_config() | {"consumer_limits": {"inactive_threshold": HOUR}}
        await api(conn._link, f"STREAM.CREATE.{event.stream_name}", config)
        await events.register()
        assert "consumer_limits" in caplog.text
        await conn.register()
        await conn.register()
        assert "inactive_threshold is 3600 s" in caplog.text
        assert "is changed" not in caplog.text


# another event's stream


async def test_an_actor_of_another_events_stream(url: str) -> None:
    """It has the stream's name, so a consumer of this name may be there too."""
    token = secrets.token_hex(4)
    mine = Event(f"orders.{token}", int, storage="memory")
    theirs = Event(f"orders-{token}", int, storage="memory")
    async with (
        stage(url, Actor("a", mine, Handled())),
        Actors(Actor("a", theirs, Handled())).connect(url) as conn,
    ):
        for refused in (conn.register, conn.listen):
            with pytest.raises(StreamConfigError, match=f"'{theirs.name}'.*'{mine.name}'"):
                await refused()


# declarations that differ


async def register_as(url: str, actor: Actor[Any, Any]) -> None:
    async with Actors(actor).connect(url) as conn:
        await conn.register()


async def test_another_program_with_the_same_actor(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    def another_handler(_number: int) -> None: ...

    actor = Actor("a", event, Handled())
    async with stage(url, actor) as on:
        await on.actors.listen(burst=True, poll_delay=0)
        assert "another declaration" not in caplog.text
        await register_as(url, Actor("a", event, another_handler))
        await on.actors.listen(burst=True, poll_delay=0)
        assert "another_handler" in caplog.text
        assert "share its events" in caplog.text
        caplog.clear()
        await register_as(url, dataclasses.replace(actor, max_attempts=3))
        await on.actors.listen(burst=True, poll_delay=0)
        assert "the same handler and other options" in caplog.text


# underneath a `listen`


async def change_consumer(on: Stage, actor: Actor[Any, Any], **changes: Any) -> None:
    stream = actor.event.stream_name
    config = (await on.consumer(actor)).config | changes
    body = {"stream_name": stream, "config": config, "action": "update"}
    await api(on.link, f"CONSUMER.CREATE.{stream}.{actor.name}", body)


async def test_headers_only_while_listening(url: str, event: Event[int]) -> None:
    """No event is run, or given up, without its payload; and none is lost."""
    handled = Handled()
    actor = Actor("a", event, handled, max_attempts=1)
    async with stage(url, actor) as on:
        async with breaking(on.actors, ConsumerConfigError):
            await _until_asked(on, actor)
            await change_consumer(on, actor, headers_only=True)
            await on.emit(1, 2, 3)
        assert handled.messages == []
        await on.actors.register()
        async with listening(on.actors):
            await handled.come(3)


async def test_a_payload_that_was_always_empty(url: str) -> None:
    """Whoever emits such a header is not taken for a consumer that leaves payloads out."""
    event = Event(f"empty-{secrets.token_hex(4)}", bytes, storage="memory")
    handled = Handled()
    actor = Actor("a", event, handled)
    async with stage(url, actor) as on:
        await on.events.emit(event, b"", meta={"Nats-Msg-Size": "5"}, sync=True)
        async with listening(on.actors):
            await handled.come(1)


async def test_a_change_that_shows_in_nothing(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_listen, "LOOK_EVERY", 0.2)
    actor = Actor("a", event, Handled(), ack_wait=1)
    async with stage(url, actor) as on, listening(on.actors):
        await change_consumer(on, actor, max_deliver=7)
        await until(lambda: "max_deliver is 7" in caplog.text)
        await anyio.sleep(1)
        assert caplog.text.count("max_deliver is 7") == 1


async def test_a_lower_ack_wait_while_listening(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that comes again while it is held makes the worker look, and pulse in time."""
    monkeypatch.setattr(_listen, "LOOK_EVERY", DEADLINE)
    gate = Gate()
    actor = Actor("a", event, gate, ack_wait=16, job_timeout=60)
    async with stage(url, actor) as on, listening(on.actors):
        await on.emit(1)
        await gate.come(1)
        await change_consumer(on, actor, ack_wait=2 * 10**9)
        await until(lambda: "ack_wait is 2 s, not 16 s" in caplog.text)
        # What was nearly due comes once more; then nothing does.
        await anyio.sleep(2)
        runs = len(gate.started)
        assert runs >= 2
        await anyio.sleep(5)
        assert len(gate.started) == runs
        gate.open()


async def test_the_servers_ack_wait_is_pulsed_by(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, ack_wait=60, job_timeout=60)
    async with stage(url, actor) as on:
        await change_consumer(on, actor, ack_wait=2 * 10**9)
        async with listening(on.actors):
            await on.emit(1)
            await gate.come(1)
            await anyio.sleep(5)
            assert gate.started == [1]
            gate.open()


async def test_priority_groups_while_listening(url: str, event: Event[int]) -> None:
    actor = Actor("a", event, Handled(), ack_wait=1)
    async with stage(url, actor) as on:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_listen, "LOOK_EVERY", 0.2)
            async with breaking(on.actors, ConsumerConfigError):
                await _until_asked(on, actor)
                await change_consumer(on, actor, priority_groups=["g"], priority_policy="overflow")


async def test_a_status_that_nobody_knows(
    url: str, event: Event[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in an error that has it, not in silence."""
    monkeypatch.setattr(_doubts, "UNKNOWN_FOR", 1.0)
    actor = Actor("a", event, Handled(), ack_wait=1)
    async with stage(url, actor) as on, breaking(on.actors, ServerError):
        await _until_asked(on, actor)
        subscription = run_of(on.actors).consumer._subscription
        assert subscription is not None
        reply = subscription.subject
        block = b"NATS/1.0 499 Something New\r\n\r\n"
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                while on.actors._listening is not None:
                    on.link.post(
                        b"HPUB %b %d %d\r\n%b\r\n" % (reply, len(block), len(block), block)
                    )
                    await anyio.sleep(0.1)

            tasks.start_soon(answer)


@pytest.mark.parametrize("burst", [False, True])
async def test_a_consumer_deleted_while_listening(url: str, event: Event[int], burst: bool) -> None:
    actor = Actor("a", event, Handled())
    async with (
        stage(url, actor) as on,
        breaking(on.actors, ConsumerConfigError, burst=burst, poll_delay=DEADLINE),
    ):
        await _until_asked(on, actor)
        await delete_consumer(on.link, actor)


async def test_a_consumer_deleted_and_made_again_is_said(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had not handed out is gone. No status tells of it, as all slots are busy."""
    monkeypatch.setattr(_listen, "LOOK_EVERY", 0.2)
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=1, ack_wait=1)
    async with stage(url, actor) as on, listening(on.actors):
        await on.emit(1)
        await gate.come(1)
        await anyio.sleep(
            1.1
        )  # a server may say of one consumer that it was made in another moment
        monkeypatch.setattr(on.actors._listening, "_look_after", _never)
        await delete_consumer(on.link, actor)
        await on.actors.register()
        monkeypatch.undo()
        await until(lambda: "was deleted and made again" in caplog.text)
        gate.open()
        await on.emit(2)
        await gate.come(2)
    assert caplog.text.count("was deleted and made again") == 1


async def _never(_: object) -> None:
    """Not between the two, or it would be found deleted."""


async def test_a_consumer_deleted_while_all_slots_are_busy(url: str, event: Event[int]) -> None:
    gate = Gate()
    actor = Actor("a", event, gate, max_jobs=1)
    async with stage(url, actor) as on, breaking(on.actors, ConsumerConfigError):
        await on.emit(1)
        await gate.come(1)
        await delete_consumer(on.link, actor)
        gate.open()


async def test_a_stream_deleted_while_listening(url: str, event: Event[int]) -> None:
    """The other actor's job is cancelled, and its event handed back, as one of them is broken."""
    gate = Gate()
    other = Event(f"{event.name}-other", int, storage="memory")
    actors = Actor("a", event, gate, ack_wait=120), Actor("b", other, Handled())
    async with stage(url, *actors) as on:
        async with breaking(on.actors, ConsumerConfigError):
            await on.emit(1)
            await gate.come(1)
            await _until_asked(on, actors[1])
            await api(on.link, f"STREAM.DELETE.{other.stream_name}")
        handled = Handled()
        again = dataclasses.replace(actors[0], handler=handled)
        async with Actors(again).connect(url) as conn, listening(conn):
            await handled.come(1)


async def _until_asked(on: Stage, actor: Actor[Any, Any]) -> None:
    with anyio.fail_after(DEADLINE):
        while (await on.consumer(actor)).requested == 0:
            await anyio.sleep(0.01)


# arguments of `listen`

WRONG: list[tuple[type[Exception], dict[str, Any]]] = [
    *[(ValueError, {name: 0}) for name in ("max_jobs", "max_polls", "batch")],
    *[(ValueError, {name: -1}) for name in ("max_threads", "max_processes", "shutdown_timeout")],
    (ValueError, {"poll_delay": 0}),
    (ValueError, {"poll_delay": -1}),
    (ValueError, {"poll_delay": float("inf")}),
    (ValueError, {"poll_delay": -1, "burst": True}),
    (ValueError, {"shutdown_timeout": float("nan")}),
    *[(TypeError, {name: 1.5}) for name in ("max_jobs", "max_polls", "batch", "max_threads")],
    (TypeError, {"max_jobs": None}),
    (TypeError, {"max_jobs": True}),
    (TypeError, {"max_processes": "2"}),
    (TypeError, {"poll_delay": "1"}),
    (TypeError, {"shutdown_timeout": "1"}),
]


@pytest.mark.parametrize(("error", "arguments"), WRONG, ids=str)
async def test_wrong_arguments(
    url: str, event: Event[int], error: type[Exception], arguments: dict[str, Any]
) -> None:
    name = next(iter(arguments))
    async with Actors(Actor("a", event, Handled())).connect(url) as conn:
        with pytest.raises(error, match=name) as raised:
            await conn.listen(**arguments)
    assert repr(arguments[name]) in str(raised.value)


async def test_streams_for_letters_and_notes_are_made_again(url: str, event: Event[int]) -> None:
    """`listen` makes them where somebody has deleted them since the actor was registered."""
    async with stage(url, Actor("a", event, print)) as on:
        for name in ("walnats-dead-letters", "walnats-attempts"):
            await api(on.link, f"STREAM.DELETE.{name}")
        await on.actors.listen(burst=True)
        for name in ("walnats-dead-letters", "walnats-attempts"):
            assert await api(on.link, f"STREAM.INFO.{name}")
