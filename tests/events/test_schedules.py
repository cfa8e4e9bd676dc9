"""The stream of schedules: its names, and whether an event's stream sources from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import walnats_anyio as walnats
from tests.support.waiting import DEADLINE
from walnats_anyio._events import _schedules as schedules
from walnats_anyio._events._event import in_namespace
from walnats_anyio._link import Link, Prefixes, api, open_link
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("order.placed", int)
SPACED = Prefixes(namespace="south.eu")
NONE = Prefixes()


def test_the_names() -> None:
    subject = schedules.schedule_subject(NONE, "delay", "order-placed", "abc", "1")
    assert subject == "walnats.schedules.delay.order-placed.abc.1"
    assert schedules.due_subject(NONE, "order-placed") == "walnats.due.order-placed"
    assert schedules.source_of(EVENT, NONE) == {
        "name": "walnats-schedules",
        "subject_transforms": [{"src": "walnats.due.order-placed", "dest": "order.placed"}],
    }


def test_the_names_in_a_namespace() -> None:
    stream = in_namespace(EVENT, SPACED).stream_name
    subject = schedules.schedule_subject(SPACED, "retry", stream, "actor", "7")
    assert subject == "south.eu.walnats.schedules.retry.south-eu-order-placed.actor.7"
    assert schedules.source_of(EVENT, SPACED) == {
        "name": "south-eu-walnats-schedules",
        "subject_transforms": [
            {
                "src": "south.eu.walnats.due.south-eu-order-placed",
                "dest": "south.eu.order.placed",
            }
        ],
    }


@pytest.mark.parametrize(
    "name",
    [
        "walnats.schedules.x",
        "walnats.schedules-edge.x",
        "walnats.due.x",
        "walnats.schedules",
        "walnats-schedules",
    ],
)
def test_events_keep_off_the_names(name: str) -> None:
    with pytest.raises(ValueError, match="this library keeps for itself"):
        walnats.Event(name, int)


@given(st.text())
def test_a_token_of_any_text_is_one_token(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    token = schedules.token_of(text)
    assert token.isalnum()
    assert len(token) == 32
    assert token != schedules.token_of(text + " ")


def test_the_headers() -> None:
    due = datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    assert schedules.headers_at(due, "walnats.due.a") == {
        "Nats-Schedule": "@at 2030-01-02T01:04:05.000006Z",
        "Nats-Schedule-Target": "walnats.due.a",
    }
    assert schedules.headers_at(due, "walnats.due.a", 1.2)["Nats-Schedule-TTL"] == "2s"


@pytest.mark.parametrize(
    ("version", "keeps"),
    [
        ("2.9.25", False),
        ("2.12.8", False),
        ("2.13.99", False),
        ("2.14.0", True),
        ("2.14.0-RC.1", True),
        ("2.15.1", True),
        ("3.0.0", True),
        ("", True),
    ],
)
def test_the_versions(version: str, keeps: bool) -> None:
    assert schedules.keeps_schedules(version) is keeps


def test_a_source_that_is_another_one() -> None:
    source = schedules.source_of(EVENT, NONE)
    other = {"name": "walnats-schedules", "filter_subject": "x"}
    abroad = source | {"external": {"api": "$JS.hub.API"}}
    assert not schedules.has_source({}, source)
    assert not schedules.has_source({"sources": None}, source)
    assert not schedules.has_source({"sources": [other, abroad]}, source)
    # As the server gives it back, with more fields.
    assert schedules.has_source({"sources": [other, source | {"opt_start_seq": 1}]}, source)


# On the server


@pytest.fixture
async def link(nats_server: NatsServer) -> AsyncIterator[Link]:
    async with open_link(nats_server.url) as link:
        yield link


async def make(link: Link, event: walnats.Event[Any], **more: Any) -> None:
    await api(link, f"STREAM.CREATE.{event.stream_name}", event.stream_config() | more)


async def config_of(link: Link, stream: str) -> dict[str, Any]:
    config: dict[str, Any] = (await api(link, f"STREAM.INFO.{stream}"))["config"]
    return config


async def test_an_event_gets_its_source_and_keeps_others(link: Link) -> None:
    await make(link, walnats.Event("elsewhere", int))
    await make(link, EVENT, sources=[{"name": "elsewhere"}])
    assert await schedules.has_schedules(link, EVENT)
    sources = (await config_of(link, "order-placed"))["sources"]
    assert [one["name"] for one in sources] == ["elsewhere", "walnats-schedules"]
    assert (await config_of(link, "walnats-schedules"))["allow_msg_schedules"]


async def test_without_a_stream_there_is_nothing_to_source(link: Link) -> None:
    assert not await schedules.has_schedules(link, EVENT)
    await make(link, EVENT)
    assert not await schedules.has_schedules(link, EVENT)  # known for a minute
    schedules.forget(link)
    assert await schedules.has_schedules(link, EVENT)


async def test_many_ask_at_once(nats_server: NatsServer) -> None:
    events = [walnats.Event(f"event-{number}", int) for number in range(4)]
    answers: list[bool] = []

    async def ask(link: Link, event: walnats.Event[int]) -> None:
        answers.append(await schedules.has_schedules(link, event))

    async with open_link(nats_server.url) as one, open_link(nats_server.url) as other:
        for event in events:
            await make(one, event)
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                for event in events:
                    for link in (one, other, one):
                        tasks.start_soon(ask, link, event)
        assert answers == [True] * 12
        for event in events:
            assert len((await config_of(one, event.stream_name))["sources"]) == 1


async def test_a_stream_of_that_name_that_somebody_else_made(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    await make(link, EVENT)
    config = {"name": "walnats-schedules", "subjects": ["walnats.schedules.>"]}
    await api(link, "STREAM.CREATE.walnats-schedules", config)
    assert not await schedules.has_schedules(link, EVENT)
    assert "cannot keep schedules" in caplog.text
    assert "sources" not in await config_of(link, "order-placed")


async def test_it_is_raised_to_what_is_needed(link: Link) -> None:
    assert await schedules.create_schedules(link)
    before = await config_of(link, "walnats-schedules")
    assert before["duplicate_window"] == 120 * 10**9
    assert await schedules.create_schedules(link, dedup_window=600)
    assert await schedules.create_schedules(link)
    after = await config_of(link, "walnats-schedules")
    assert after == before | {"duplicate_window": 600 * 10**9}


async def test_what_is_scheduled_arrives_once(link: Link) -> None:
    await make(link, EVENT, retention="limits")
    assert await schedules.has_schedules(link, EVENT)
    target = schedules.due_subject(NONE, "order-placed")
    now = datetime.now(UTC)
    for token, seconds in (("soon", 0.1), ("later", 3600)):
        subject = schedules.schedule_subject(NONE, "delay", "order-placed", token)
        headers = schedules.headers_at(now + timedelta(seconds=seconds), target)
        block = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await link.request(subject, b"1", headers=f"NATS/1.0\r\n{block}\r\n".encode())
    with anyio.fail_after(DEADLINE):
        while (await api(link, "STREAM.INFO.order-placed"))["state"]["messages"] != 1:
            await anyio.sleep(0.01)
    later = schedules.schedule_subject(NONE, "delay", "order-placed", "later")
    assert await schedules.cancel_schedule(link, later)
    assert not await schedules.cancel_schedule(link, later)


async def test_nothing_to_cancel_without_a_stream(link: Link) -> None:
    assert not await schedules.cancel_schedule(link, "walnats.schedules.delay.x.y")
