"""What we use of nats-py beyond its public names is still there, and still what we take it for."""

from __future__ import annotations

import ast
import asyncio
import re
from operator import attrgetter
from pathlib import Path
from typing import Any

import nats.aio.client
import pytest
from nats.aio.client import Client

from walnats_anyio import _link
from walnats_anyio._link import _client

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def listed() -> set[str]:
    """The private names that the module says it uses."""
    assert _client.__doc__ is not None
    items = re.findall(r"^- (.*)$", _client.__doc__, re.MULTILINE)
    names = {name for item in items for name in re.findall(r"`([\w.]+)`", item.partition(": ")[0])}
    return {name.replace("Transport.", "_transport.") for name in names}


def used() -> set[str]:
    """The private names that the code reaches for in what is nats-py's."""
    found: set[str] = set()
    for file in Path(_link.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case (
                    ast.Attribute(value=owner, attr=str(name))
                    | ast.Call(
                        func=ast.Name(id="getattr" | "hasattr" | "setattr"),
                        args=[owner, ast.Constant(value=str(name)), *_],
                    )
                ) if re.match("_[a-z]", name):
                    found |= qualified(owner, name)
                case _:
                    pass
    return found


def qualified(owner: ast.expr, name: str) -> set[str]:
    """The name as it is listed; nothing when the owner is a thing of ours."""
    match ast.unparse(owner).rpartition(".")[2].lstrip("_"):
        case "client" | "server":
            return {name}
        case "transport":
            return {"_transport", f"_transport.{name}"}
        case "subscription":
            return {f"Subscription.{name}"}
        case _:
            return set()


def test_the_list_is_complete() -> None:
    told = {part for name in listed() for part in (name, name.partition(".")[0])}
    missing = used() - told
    assert not missing, f"used, but not listed in {_client.__name__}: {missing}"


@pytest.mark.parametrize("name", sorted(listed()))
async def test_the_name_is_there(name: str, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    places: list[Any] = [client, nats.aio.client, _Named(Subscription=await client.subscribe("x"))]
    assert any(_has(place, name) for place in places), (
        f"nats-py {nats.aio.client.__version__} has no {name}, which walnats_anyio._link uses: "
        "see the docstring of walnats_anyio/_link/_client.py"
    )
    await client.close()


class _Named:
    def __init__(self, **named: object) -> None:
        self.__dict__.update(named)


def _has(place: object, path: str) -> bool:
    try:
        attrgetter(path)(place)
    except AttributeError:
        return False
    return True


async def test_commands_are_handed_over_in_a_list(nats_url: str) -> None:
    """As the link does it: append, count, wake the flusher."""
    client = await nats.connect(nats_url)
    subscription = await client.subscribe("x")
    await client.flush()
    assert type(client._pending) is list
    assert type(client._pending_data_size) is int
    assert isinstance(client._flush_queue, asyncio.Queue)
    for number in range(3):
        command = b"PUB x 1\r\n%d\r\n" % number
        client._pending.append(command)
        client._pending_data_size += len(command)
        client._flush_queue.put_nowait(asyncio.get_running_loop().create_future())
        assert (await subscription.next_msg(timeout=20)).data == b"%d" % number
    assert client._pending == []
    assert client._pending_data_size == 0
    await client.close()


async def test_a_future_is_told_of_every_message(nats_url: str) -> None:
    """As a mailbox is: `set_result` again and again, unless it says that it is cancelled."""
    got: list[bytes] = []
    enough = asyncio.Event()

    class Mailbox:
        def cancelled(self) -> bool:
            return False

        def set_result(self, message: Any) -> None:
            got.append(message.data)
            if len(got) == 3:
                enough.set()

    client = await nats.connect(nats_url)
    future: Any = Mailbox()
    subscription = await client.subscribe("x", future=future)
    assert isinstance(subscription._id, int)
    for number in range(3):
        await client.publish("x", b"%d" % number)
    async with asyncio.timeout(20):
        await enough.wait()
    assert got == [b"0", b"1", b"2"]
    await subscription.unsubscribe()
    await client.close()


@pytest.mark.parametrize(
    ("callback", "argument"),
    [
        ("_disconnected_cb", "disconnected_cb"),
        ("_reconnected_cb", "reconnected_cb"),
        ("_closed_cb", "closed_cb"),
        ("_error_cb", "error_cb"),
    ],
)
async def test_a_callback_is_kept_under_its_name(
    callback: str, argument: str, nats_url: str
) -> None:
    async def mine(*_args: object) -> None:
        pass

    options: dict[str, Any] = {argument: mine}
    client: Client = await nats.connect(nats_url, **options)
    assert getattr(client, callback) is mine
    await client.close()
