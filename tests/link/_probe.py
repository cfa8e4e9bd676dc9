"""Questions to a server, past the library that is tested."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import anyio

import walnats_anyio as walnats
from tests.support.jetstream import ask, make_consumer, read_page
from tests.support.waiting import until
from walnats_anyio.testing import NatsServer

AnyEvent = walnats.Event[Any]


@dataclass(frozen=True)
class Stored:
    """An event as its stream has it."""

    subject: str

    payload: bytes

    headers: str
    """The lines of the header block, without the first one."""


async def js(server: NatsServer, request: str, body: object = None, **user: str) -> dict[str, Any]:
    """One request to the JetStream API."""
    return await ask(server, f"$JS.API.{request}", body, **user)


async def stream_info(server: NatsServer, event: AnyEvent, **user: str) -> dict[str, Any]:
    return await js(server, f"STREAM.INFO.{event.stream_name}", **user)


async def stream_config(server: NatsServer, event: AnyEvent) -> dict[str, Any] | None:
    """The configuration of the event's stream, None where there is none."""
    config: dict[str, Any] | None = (await stream_info(server, event)).get("config")
    return config


async def change_stream(server: NatsServer, event: AnyEvent, **changes: object) -> None:
    """Change the configuration of a stream behind the library's back."""
    config = event.stream_config() | changes
    answer = await js(server, f"STREAM.UPDATE.{event.stream_name}", config)
    assert "error" not in answer, answer


async def keep(server: NatsServer, event: AnyEvent) -> None:
    """Give the event's stream a consumer, without which it keeps nothing."""
    answer = await make_consumer(server, event.stream_name, "keeper")
    assert "error" not in answer, answer


async def count(server: NatsServer, event: AnyEvent, **user: str) -> int:
    """How many events the stream holds."""
    return int((await stream_info(server, event, **user))["state"]["messages"])


async def stored(server: NatsServer, event: AnyEvent) -> list[Stored]:
    """All events that the stream holds, in order."""
    state = (await stream_info(server, event))["state"]
    found: list[Stored] = []
    for number in range(state["first_seq"], state["last_seq"] + 1):
        answer = await js(server, f"STREAM.MSG.GET.{event.stream_name}", {"seq": number})
        if "message" in answer:
            message = answer["message"]
            block = b64decode(message.get("hdrs", "")).decode()
            found.append(
                Stored(
                    message["subject"],
                    b64decode(message.get("data", "")),
                    block.removeprefix("NATS/1.0\r\n"),
                )
            )
    return found


async def connections(server: NatsServer) -> list[dict[str, Any]]:
    """The clients connected, as the monitoring page of the server shows them."""
    page = await read_page(server, "/connz?subs=1")
    clients: list[dict[str, Any]] = page["connections"]
    return clients


class Emitting:
    """Emits numbers one after the other until it is told to stop; counts those handed over."""

    def __init__(self, conn: walnats.types.ConnectedEvents, event: walnats.Event[int]) -> None:
        self._conn = conn
        self._event = event
        self._stopping = False
        self.emitted = 0

    async def run(self, *, unique: bool = True, sync: bool = False) -> None:
        while not self._stopping:
            number = self.emitted
            uid = str(number) if unique else None
            await self._conn.emit(self._event, number, uid=uid, sync=sync)
            self.emitted += 1
            if not self.emitted % 50:
                # 10,000 a second: at full speed, elections take seconds on a small machine.
                await anyio.sleep(0.005)

    def stop(self) -> None:
        self._stopping = True

    async def past(self, count: int) -> None:
        """Wait until so many more have been emitted."""
        wanted = self.emitted + count
        await until(lambda: self.emitted >= wanted)
