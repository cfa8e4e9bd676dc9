"""A plain NATS client for tests that ask the server itself, without the framework in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import nats
import nats.errors

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds for an answer: long, as only a broken server takes them all."""


class JetStream:
    """A connection with an event loop of its own, so that tests need no loop themselves."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._client = self._run(nats.connect(self._url))
        # When its last stream goes, the server (2.15.1) removes the folder of all streams, at times
        # while it is making the folder of the next one, which then fails. So one always stays.
        self.create_stream({"name": "stays", "subjects": ["stays"], "storage": "file"})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._client.close())
        self._runner.close()

    def api(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the JetStream API; `error` is in the answer when it refuses."""
        message = self._run(
            self._client.request(f"$JS.API.{subject}", json.dumps(body).encode(), timeout=TIMEOUT)
        )
        answer: dict[str, Any] = json.loads(message.data)
        return answer

    def create_stream(self, config: dict[str, Any]) -> dict[str, Any]:
        """Create a stream and return its configuration, as the server completed it."""
        answer = self.api(f"STREAM.CREATE.{config['name']}", config)
        assert "error" not in answer, answer
        created: dict[str, Any] = answer["config"]
        return created

    def problem_with_event(self, name: str, storage: str) -> str | None:
        """Create a stream as an event of this name would, and emit to it."""
        stream = name.replace(".", "-")
        try:
            answer = self.api(
                f"STREAM.CREATE.{stream}",
                {"name": stream, "subjects": [name], "retention": "interest", "storage": storage},
            )
            if "error" in answer:
                return str(answer["error"])
            # The permission to publish is refused by silence.
            message = self._run(self._client.request(name, b"x", timeout=1))
            acknowledgement = json.loads(message.data)
            assert acknowledgement["stream"] == stream
            return str(acknowledgement["error"]) if "error" in acknowledgement else None
        except (nats.errors.Error, json.JSONDecodeError) as error:
            return repr(error)
        finally:
            if name:
                self.delete_stream(stream)

    def problem_with_actor(self, name: str) -> str | None:
        """Create a durable consumer as an actor of this name would."""
        self.api("STREAM.CREATE.actors", {"name": "actors", "subjects": ["actors"]})
        answer = self.api(
            f"CONSUMER.CREATE.actors.{name}",
            {
                "stream_name": "actors",
                "config": {"durable_name": name, "name": name, "ack_policy": "explicit"},
            },
        )
        self.api("STREAM.DELETE.actors", {})
        return str(answer["error"]) if "error" in answer else None

    def header_as_received(self, name: str, value: str) -> str | None:
        """Send a header through the server and return what comes out."""

        async def there_and_back() -> dict[str, str]:
            subscription = await self._client.subscribe("headers")
            await self._client.publish("headers", b"", headers={name: value})
            message = await subscription.next_msg(timeout=TIMEOUT)
            await subscription.unsubscribe()
            return dict(message.headers or {})

        return self._run(there_and_back()).get(name)

    def delete_stream(self, stream: str) -> None:
        """Delete a stream, if there is one."""
        try:
            self._run(self._client.request(f"$JS.API.STREAM.DELETE.{stream}", b"{}", timeout=1))
        except nats.errors.Error:
            return  # a name that cannot be asked for was not created either

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)
