"""Streams of the library's own: whoever needs one makes it, and nobody minds the others."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from walnats_anyio._link import Link, ensure_helper_stream, ensure_stream, open_link
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio


def config_of(name: str, **others: Any) -> dict[str, Any]:
    return {"name": name, "subjects": [name], "num_replicas": 1, "storage": "memory", **others}


async def test_many_make_one_at_once(nats_server: NatsServer) -> None:
    """Each wants another configuration; one of them gets it, and all of them the stream."""
    got: dict[str, list[str]] = {f"helper-{number}": [] for number in range(10)}

    async def make(link: Link, name: str, who: str) -> None:
        actual = await ensure_stream(link, config_of(name, description=who))
        got[name].append(actual["description"])

    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(open_link(nats_server.url)) for _ in range(4)]
        for name in got:
            async with anyio.create_task_group() as tasks:
                for number, link in enumerate(links):
                    tasks.start_soon(make, link, name, f"of {number}")
    for descriptions in got.values():
        assert len(descriptions) == 4
        assert len(set(descriptions)) == 1


async def test_what_is_there_is_left_but_for_what_is_needed(nats_server: NatsServer) -> None:
    async with open_link(nats_server.url) as link:
        await ensure_stream(link, config_of("helper", max_msgs=7))
        needed = config_of("helper", max_msgs=5) | {"subjects": ["helper", "helper.more"]}
        actual = await ensure_helper_stream(link, needed)
        assert (actual["max_msgs"], actual["subjects"]) == (7, ["helper", "helper.more"])
        # Once more changes nothing, and takes nothing away.
        again = await ensure_helper_stream(link, config_of("helper"))
        assert again["subjects"] == ["helper", "helper.more"]
