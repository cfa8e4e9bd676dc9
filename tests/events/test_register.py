"""Registering: streams become what the events declare, and what is not declared stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.link._probe import change_stream, count, js, keep, stream_config
from tests.support.jetstream import ask, read_page
from tests.support.waiting import DEADLINE, until
from walnats_anyio._events import Action
from walnats_anyio._events._stream_rules import STREAM_RULES
from walnats_anyio.testing import NatsCluster, NatsServer
from walnats_anyio.testing._binary import find_binary

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user.created", int)
OTHER = walnats.Event("other", int)

SECOND = 10**9


async def register(server: NatsServer | str, *events: walnats.Event[Any], **options: bool) -> None:
    url = server if isinstance(server, str) else server.url
    async with walnats.Events(*events).connect(url) as conn:
        await conn.register(**options)


async def config_of(server: NatsServer, event: walnats.Event[Any]) -> dict[str, Any]:
    config = await stream_config(server, event)
    assert config is not None, f"no stream {event.stream_name}"
    return config


# Create


async def test_a_stream_is_made(nats_server: NatsServer) -> None:
    await register(nats_server, EVENT)
    config = await config_of(nats_server, EVENT)
    expected = {
        "name": "user-created",
        "subjects": ["user.created"],
        "retention": "interest",
        "storage": "file",
        "discard": "old",
        "num_replicas": 1,
        "duplicate_window": 120 * SECOND,
        "max_age": 0,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
    }
    assert {name: config.get(name) for name in expected} == expected


async def test_all_that_an_event_declares(nats_server: NatsServer) -> None:
    event = walnats.Event(
        "user.created",
        int,
        description="Somebody joined: ä",
        limits=walnats.Limits(age=600, consumers=5, messages=100, bytes=10_000, message_size=500),
        storage="memory",
        dedup_window=30,
    )
    await register(nats_server, event)
    config = await config_of(nats_server, event)
    expected = {
        "description": "Somebody joined: ä",
        "max_age": 600 * SECOND,
        "max_consumers": 5,
        "max_msgs": 100,
        "max_bytes": 10_000,
        "max_msg_size": 500,
        "storage": "memory",
        "duplicate_window": 30 * SECOND,
    }
    assert {name: config.get(name) for name in expected} == expected


async def test_a_hundred_streams(nats_server: NatsServer) -> None:
    events = [walnats.Event(f"event-{number}", int, storage="memory") for number in range(100)]
    await register(nats_server, *events)
    await register(nats_server, *events)
    for event in events[::33]:
        assert await stream_config(nats_server, event) is not None


@pytest.mark.parametrize("update", [False, True])
async def test_a_missing_stream_that_may_not_be_made(nats_server: NatsServer, update: bool) -> None:
    with pytest.raises(walnats.StreamConfigError, match=r"'user\.created'.* create=True"):
        await register(nats_server, EVENT, create=False, update=update)
    assert await stream_config(nats_server, EVENT) is None


# Again


async def api_calls(server: NatsServer) -> int:
    page = await read_page(server, "/jsz")
    return int(page["api"]["total"])


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("update", [False, True])
async def test_an_identical_stream_is_left_alone(create: bool, update: bool) -> None:
    events: list[walnats.Event[Any]] = [
        EVENT,
        walnats.Event("limited", int, limits=walnats.Limits(age=5, messages=10)),
        walnats.Event("described", bytes, description="d", storage="memory", dedup_window=0.1),
    ]
    with NatsServer(http_port=0) as server:
        await register(server, *events)
        before = await api_calls(server)
        await register(server, *events, create=create, update=update)
        # One question for each, and one whether anything is scheduled.
        assert await api_calls(server) == before + len(events) + update


async def test_what_is_in_the_stream_stays(nats_server: NatsServer) -> None:
    async with walnats.Events(EVENT).connect(nats_server.url) as conn:
        await conn.register()
        await keep(nats_server, EVENT)
        await conn.emit_many(EVENT, range(5), sync=True)
    changed = walnats.Event("user.created", int, description="new", dedup_window=60)
    for event in (EVENT, changed, EVENT):
        await register(nats_server, event)
        assert await count(nats_server, EVENT) == 5


# Update


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "new"},
        {"limits": walnats.Limits(age=60)},
        {"limits": walnats.Limits(messages=10)},
        {"limits": walnats.Limits(bytes=10_000)},
        {"limits": walnats.Limits(message_size=10)},
        {"limits": walnats.Limits(consumers=3)},
        {"dedup_window": 5.5},
    ],
    ids=str,
)
async def test_a_stream_that_differs_is_updated(
    nats_server: NatsServer, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    changed = walnats.Event("user.created", int, **changes)
    await register(nats_server, EVENT)
    with pytest.raises(walnats.StreamExistsError, match=r"'user\.created'.*update=True"):
        await register(nats_server, changed, update=False)
    await register(nats_server, changed, create=False)
    assert "was updated, as it differed: " in caplog.text
    wanted = changed.stream_config()
    config = await config_of(nats_server, EVENT)
    assert {name: config.get(name) for name in wanted} == wanted
    # And now it is as declared.
    await register(nats_server, changed, create=False, update=False)


async def test_what_differs_is_named(nats_server: NatsServer) -> None:
    await register(nats_server, EVENT)
    changed = walnats.Event("user.created", int, limits=walnats.Limits(messages=5))
    with pytest.raises(walnats.StreamExistsError, match=r"max_msgs is -1, not 5"):
        await register(nats_server, changed, update=False)


async def test_settings_of_others_are_kept(nats_server: NatsServer) -> None:
    foreign = {
        "compression": "s2",
        "allow_direct": True,
        "deny_delete": True,
        "metadata": {"owner": "kim"},
        "max_msgs_per_subject": 50,
    }
    created = await js(nats_server, "STREAM.CREATE.user-created", EVENT.stream_config() | foreign)
    assert "error" not in created
    await register(nats_server, EVENT, update=False)
    changed = walnats.Event("user.created", int, limits=walnats.Limits(age=60))
    await register(nats_server, changed)
    config = await config_of(nats_server, EVENT)
    assert config["max_age"] == 60 * SECOND
    for name in foreign.keys() - {"metadata"}:
        assert config[name] == foreign[name]
    assert config["metadata"]["owner"] == "kim"


async def test_a_description_of_others_is_kept(nats_server: NatsServer) -> None:
    await register(nats_server, EVENT)
    await change_stream(nats_server, EVENT, description="theirs")
    await register(nats_server, EVENT, update=False)
    await register(nats_server, EVENT)
    assert (await config_of(nats_server, EVENT))["description"] == "theirs"


# Refused


@pytest.mark.parametrize("update", [False, True])
async def test_another_storage(nats_server: NatsServer, update: bool) -> None:
    await register(nats_server, EVENT)
    changed = walnats.Event("user.created", int, storage="memory")
    error = walnats.StreamConfigError if update else walnats.StreamExistsError
    with pytest.raises(error, match="storage"):
        await register(nats_server, changed, update=update)
    assert (await config_of(nats_server, EVENT))["storage"] == "file"


async def test_another_retention(nats_server: NatsServer) -> None:
    config = EVENT.stream_config() | {"retention": "workqueue"}
    await js(nats_server, "STREAM.CREATE.user-created", config)
    with pytest.raises(walnats.StreamConfigError, match="retention"):
        await register(nats_server, EVENT)


async def test_a_subject_that_belongs_to_another_stream(nats_server: NatsServer) -> None:
    await js(nats_server, "STREAM.CREATE.all", {"name": "all", "subjects": ["user.>"]})
    with pytest.raises(walnats.StreamConfigError, match=r"'user\.created'.*overlap"):
        await register(nats_server, EVENT)


async def test_more_replicas_than_servers(nats_server: NatsServer) -> None:
    event = walnats.Event("user.created", int, replicas=3)
    with pytest.raises(walnats.StreamConfigError, match="replicas > 1 not supported"):
        await register(nats_server, event)


async def test_replicas_in_a_cluster(nats_cluster: NatsCluster) -> None:
    event = walnats.Event("user.created", int, replicas=3)
    async with walnats.Events(event).connect(nats_cluster.urls) as conn:
        await conn.register()
        await conn.emit_many(event, range(100), sync=True)
        await conn.register(create=False, update=False)
    assert (await config_of(nats_cluster.servers[0], event))["num_replicas"] == 3


async def test_while_servers_of_a_cluster_are_restarted(nats_cluster: NatsCluster) -> None:
    """The leader has no peers just now, as after an upgrade of all servers. It waits for them."""
    event = walnats.Event("user.created", int, replicas=3)
    leader = await nats_cluster.leader()
    others = [each for each in nats_cluster.servers if each is not leader]
    for other in others:
        await other.stop()
    answer = await js(leader, f"STREAM.CREATE.{event.stream_name}", event.stream_config())
    assert "peer offline" in answer["error"]["description"]
    async with (
        walnats.Events(event).connect(leader.url) as conn,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(conn.register)
        for other in others:
            await other.start()
    assert (await config_of(leader, event))["num_replicas"] == 3


async def test_one_that_fails_does_not_keep_the_others(nats_server: NatsServer) -> None:
    await js(nats_server, "STREAM.CREATE.all", {"name": "all", "subjects": ["user.>"]})
    events = [walnats.Event(name, int) for name in ("user.created", "user.deleted", "order")]
    with pytest.raises(walnats.StreamConfigError, match=r"'user\.created'"):
        await register(nats_server, EVENT, OTHER)
    assert await stream_config(nats_server, OTHER) is not None
    with pytest.raises(ExceptionGroup, match="2 streams could not be registered") as caught:
        await register(nats_server, *events)
    assert [type(error) for error in caught.value.exceptions] == [walnats.StreamConfigError] * 2
    assert await stream_config(nats_server, events[2]) is not None


# A server without JetStream


@pytest.fixture
def plain_url(tmp_path: Path) -> Iterator[str]:
    """A nats-server without JetStream."""
    command = [find_binary(None), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + DEADLINE
            while not (told := [file for file in tmp_path.glob("*.ports") if file.stat().st_size]):
                assert time.monotonic() < deadline, "no server"
                time.sleep(0.01)
            yield str(json.loads(told[0].read_text())["nats"][0])
        finally:
            server.kill()


async def test_a_server_without_jetstream(plain_url: str) -> None:
    with anyio.fail_after(DEADLINE):
        async with walnats.Events(EVENT).connect(plain_url) as conn:
            with pytest.raises(
                walnats.ServerError, match="start the server with it, nats-server -js"
            ):
                await conn.register()
            with pytest.raises(walnats.EmitError, match="check that JetStream is enabled"):
                await conn.emit(EVENT, 1)
            await conn.flush()


async def test_an_account_without_jetstream() -> None:
    config = "accounts { A { users = [{user: kim, password: p}] } }"
    with NatsServer(config=config) as server:
        async with walnats.Events(EVENT).connect(server.url, user="kim", password="p") as conn:
            with pytest.raises(walnats.ServerError, match="JetStream not enabled for account"):
                await conn.register()
            with pytest.raises(walnats.EmitError, match="check that JetStream is enabled"):
                await conn.emit(EVENT, 1)


@pytest.mark.parametrize("denied", ["$JS.API.STREAM.*.*", "$JS.API.STREAM.CREATE.*"])
async def test_a_user_that_may_not_register(denied: str) -> None:
    """It is no error of the configuration: nobody has looked at that."""
    config = (
        "authorization { users = [{user: kim, password: p, permissions: "
        f'{{publish: {{deny: ["{denied}"]}}}}}}] }}'
    )
    with NatsServer(config=config) as server, anyio.fail_after(DEADLINE):
        async with walnats.Events(EVENT).connect(server.url, user="kim", password="p") as conn:
            with pytest.raises(walnats.ServerError, match=r"may not publish to '\$JS\.API\.STREAM"):
                await conn.register()


async def test_a_server_that_does_not_answer(nats_server: NatsServer) -> None:
    async with walnats.Events(EVENT).connect(nats_server.url) as conn:
        nats_server.pause()
        with anyio.fail_after(DEADLINE), pytest.raises(walnats.ServerError, match="no answer to"):
            await conn.register()
        nats_server.resume()
        await conn.register()


# Several at once


async def test_many_tasks(nats_server: NatsServer) -> None:
    events = walnats.Events(*(walnats.Event(f"event-{number}", int) for number in range(5)))
    async with (
        events.connect(nats_server.url) as one,
        events.connect(nats_server.url) as two,
        anyio.create_task_group() as tasks,
    ):
        for conn in (one, two) * 10:
            tasks.start_soon(conn.register)


async def test_many_tasks_that_update(nats_server: NatsServer) -> None:
    """Each wants what it declares; the last one wins, and nobody fails."""
    declared = [
        walnats.Event("user.created", int, limits=walnats.Limits(messages=number))
        for number in range(10, 20)
    ]
    async with anyio.create_task_group() as tasks:
        for event in declared:
            tasks.start_soon(register, nats_server, event)
    assert (await config_of(nats_server, EVENT))["max_msgs"] in range(10, 20)


PROGRAM = """
import sys, anyio
import walnats_anyio as walnats

events = walnats.Events(*(walnats.Event(f"event-{n}", int) for n in range(20)))

async def main():
    async with events.connect(sys.argv[1]) as conn:
        await conn.register()
        for event in events:
            await conn.emit(event, 1)

anyio.run(main, backend=sys.argv[2])
"""


async def test_many_processes(nats_server: NatsServer, anyio_backend_name: str) -> None:
    command = [sys.executable, "-c", PROGRAM, nats_server.url, anyio_backend_name]
    environment = {"PYTHONPATH": str(Path.cwd())}
    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                run = partial(anyio.run_process, command, env=environment, stderr=subprocess.STDOUT)
                tasks.start_soon(run)


# While the server goes and comes


async def test_while_the_server_is_restarted(nats_server: NatsServer) -> None:
    """Whoever registers just then waits for the server, and does not fail."""
    async with walnats.Events(EVENT, OTHER).connect(nats_server.url) as conn:
        rounds = 0

        async def register_again_and_again() -> None:
            nonlocal rounds
            while True:
                await conn.register()
                rounds += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(register_again_and_again)
            for change in (nats_server.restart, nats_server.kill, nats_server.restart):
                so_far = rounds
                await until(lambda: rounds > so_far + 5)  # noqa: B023 - awaited here
                changing = change()
                if changing is not None:
                    await changing
                else:
                    await nats_server.start()
            so_far = rounds
            await until(lambda: rounds > so_far + 5)
            tasks.cancel_scope.cancel()


# Streams that others made


SETTINGS: dict[str, Any] = {
    "description": "theirs",
    "max_age": 600 * SECOND,
    "max_consumers": 7,
    "max_msgs": 1000,
    "max_bytes": 100_000,
    "max_msg_size": 1000,
    "duplicate_window": 5 * SECOND,
    "subjects": ["user.created", "user.deleted"],
    "retention": "limits",
    "storage": "memory",
    "discard": "new",
    "discard_new_per_subject": True,
    "no_ack": True,
    "sealed": True,
    "mirror": {"name": "other"},
    "allow_msg_counter": True,
    "subject_transform": {"src": "user.created", "dest": "user.transformed"},
    "max_msgs_per_subject": 50,
    "allow_rollup_hdrs": True,
    "subject_delete_marker_ttl": 60 * SECOND,
    "persist_mode": "async",
    "consumer_limits": {"inactive_threshold": 3600 * SECOND},
    "sources": [{"name": "other"}],
    "republish": {"src": "user.created", "dest": "copies"},
    "deny_delete": True,
    "deny_purge": True,
    "first_seq": 5,
    "compression": "s2",
    "allow_direct": True,
    "allow_msg_ttl": True,
    "allow_atomic": True,
    "allow_batched": True,
    "allow_msg_schedules": True,
    "metadata": {"owner": "kim"},
}
"""What somebody may have set of each field of a stream."""

NEEDS: dict[str, dict[str, Any]] = {
    "allow_msg_counter": {"retention": "limits"},
    "discard_new_per_subject": {"discard": "new", "max_msgs_per_subject": 5},
    "subject_delete_marker_ttl": {"allow_msg_ttl": True, "max_age": 600 * SECOND},
}
"""What the server wants beside a field."""

OTHERWISE = {"num_replicas", "placement", "mirror_direct"}
"""Fields that need a cluster or a mirror."""


def test_every_field_of_a_stream_is_tried() -> None:
    assert {rule.field for rule in STREAM_RULES} == SETTINGS.keys() | OTHERWISE


async def make_by_hand(server: NatsServer, **settings: Any) -> None:
    """Make the stream as a person would."""
    await js(server, "STREAM.CREATE.other", {"name": "other", "subjects": ["elsewhere"]})
    config = {"name": "user-created", "subjects": ["user.created"], "retention": "interest"}
    # Made with what can be made, and updated to what only an update gives.
    late = {"sealed": settings.pop("sealed")} if "sealed" in settings else {}
    config |= settings
    if "mirror" in settings:
        del config["subjects"], config["retention"]
    for verb, changes in (("CREATE", {}), ("UPDATE", late)):
        if verb == "CREATE" or changes:
            answer = await js(server, f"STREAM.{verb}.user-created", config | changes)
            assert "error" not in answer, answer


@pytest.mark.parametrize("field", SETTINGS)
async def test_a_stream_that_somebody_else_made(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    """What its rule says is done, and nothing else is changed."""
    (rule,) = (rule for rule in STREAM_RULES if rule.field == field)
    await make_by_hand(nats_server, **{field: SETTINGS[field]}, **NEEDS.get(field, {}))
    before = await config_of(nats_server, EVENT)
    event = walnats.Event("user.created", int, description="ours")
    if rule.register in (Action.FORCE, Action.REFUSE):
        with pytest.raises(walnats.StreamConfigError, match=rf"'user\.created'.*{field} is") as e:
            await register(nats_server, event)
        assert ("force=True" in str(e.value)) == (rule.register is Action.FORCE)
        assert await config_of(nats_server, EVENT) == before
        return
    await register(nats_server, event)
    after = await config_of(nats_server, EVENT)
    assert (after[field] != before[field]) == (rule.register is Action.CHANGE)
    warned = any(field in r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert warned == (rule.register is Action.WARN)
    async with walnats.Events(event).connect(nats_server.url) as conn:
        await conn.emit(event, 1, sync=True)


async def fill(server: NatsServer, count: int = 10, **settings: Any) -> None:
    """A stream of somebody else that holds messages."""
    await make_by_hand(server, **settings)
    await keep(server, EVENT)
    for number in range(count):
        await ask(server, "user.created", number)


@pytest.mark.parametrize(
    "settings",
    [{"retention": "limits"}, {"subjects": ["user.created", "audit"]}, {"discard": "new"}],
    ids=str,
)
async def test_force(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    await fill(nats_server, **settings)
    with pytest.raises(walnats.StreamExistsError):
        await register(nats_server, EVENT, update=False)
    with pytest.raises(walnats.StreamConfigError, match="force=True"):
        await register(nats_server, EVENT)
    assert await count(nats_server, EVENT) == 10
    await register(nats_server, EVENT, force=True)
    assert "holds 10 messages" in caplog.text
    wanted = EVENT.stream_config()
    config = await config_of(nats_server, EVENT)
    assert {name: config[name] for name in wanted} == wanted
    await register(nats_server, EVENT, update=False)
    # The keeper waits for all of them.
    assert await count(nats_server, EVENT) == 10


async def test_force_without_update(nats_server: NatsServer) -> None:
    with pytest.raises(ValueError, match="update=True"):
        await register(nats_server, EVENT, update=False, force=True)
    assert await stream_config(nats_server, EVENT) is None


async def test_a_storage_by_force(nats_server: NatsServer) -> None:
    """NATS cannot change it: a stream that has nothing is made anew, and no other."""
    await register(nats_server, EVENT)
    await keep(nats_server, EVENT)
    changed = walnats.Event("user.created", int, storage="memory")
    with pytest.raises(walnats.StreamConfigError, match=r"cannot change the storage.*1 consumers"):
        await register(nats_server, changed, force=True)
    assert (await config_of(nats_server, EVENT))["storage"] == "file"
    await js(nats_server, "CONSUMER.DELETE.user-created.keeper")
    await register(nats_server, changed, force=True)
    assert (await config_of(nats_server, EVENT))["storage"] == "memory"


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (walnats.Limits(messages=5), "max_msgs would be 5 and it holds 10 messages"),
        (walnats.Limits(bytes=100), "max_bytes would be 100 and it holds"),
        (walnats.Limits(age=0.2), "max_age would be 0.2 s and it holds messages"),
    ],
    ids=str,
)
async def test_a_limit_that_would_drop_events(
    nats_server: NatsServer, limits: walnats.Limits, told: str
) -> None:
    await fill(nats_server)
    await anyio.sleep(0.3)
    limited = walnats.Event("user.created", int, limits=limits)
    with pytest.raises(walnats.StreamConfigError, match=rf"{told}.*force=True"):
        await register(nats_server, limited)
    assert await count(nats_server, EVENT) == 10
    await register(nats_server, walnats.Event("user.created", int, limits=walnats.Limits(age=60)))
    await register(nats_server, limited, force=True)
    assert await count(nats_server, EVENT) < 10


@pytest.mark.parametrize(("mine", "theirs"), [("a.b", "a-b"), ("a-b", "a.b"), ("a.b-c", "a-b.c")])
async def test_the_stream_of_another_event(nats_server: NatsServer, mine: str, theirs: str) -> None:
    ours, other = walnats.Event(mine, int), walnats.Event(theirs, int)
    async with walnats.Events(ours).connect(nats_server.url) as conn:
        await conn.register()
        for update in (True, False):
            with pytest.raises(walnats.StreamConfigError, match=f"'{theirs}'.*'{mine}'"):
                await register(nats_server, other, update=update)
        async with walnats.Events(other).connect(nats_server.url) as strangers:
            with pytest.raises(walnats.EmitError, match=f"'{theirs}'.*'{mine}'"):
                await strangers.emit(other, 1)
        await conn.emit(ours, 1, sync=True)
