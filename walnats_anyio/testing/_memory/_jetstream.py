"""JetStream: what is captured, and who asks what of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from walnats_anyio.testing._memory._answers import TYPES, no_consumer, show_time
from walnats_anyio.testing._memory._api import Api
from walnats_anyio.testing._memory._commands import Publish
from walnats_anyio.testing._memory._subjects import matches

if TYPE_CHECKING:
    from walnats_anyio.testing._memory._consumer import Consumer
    from walnats_anyio.testing._memory._engine import Engine
    from walnats_anyio.testing._memory._stream import Stream

ACK_TOKENS = 9
"""Tokens of the subject of an acknowledgement: `$JS.ACK`, stream, consumer, five numbers."""

NUID = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class JetStream:
    """The streams of a server."""

    def __init__(self, engine: Engine) -> None:
        self.streams: dict[str, Stream] = {}
        self.timers = engine.timers
        self.version = engine.settings.version
        self.server_name = engine.settings.server_name
        self.soon = engine.soon
        self.send = engine.send
        self.publish = engine.publish
        self.has_interest = engine.has_interest
        self._random = engine.random
        self._api = Api(self)

    # what is said to it

    def take(self, publish: Publish, client: object) -> bool:
        """A message was published; whether it is for JetStream."""
        subject = publish.subject
        if subject.startswith("$JS."):
            if subject.startswith("$JS.API."):
                return self._asked(publish)
            if subject.startswith("$JS.ACK."):
                return self._acknowledged(publish)
        # nats-server lets each stream take it by itself, too.
        taken = [stream for stream in self.streams.values() if self._captures(stream, subject)]
        for stream in taken:
            stream.receive(publish)
        return bool(taken)

    def _captures(self, stream: Stream, subject: str) -> bool:
        return any(matches(each, subject) for each in stream.config.subjects)

    def _asked(self, publish: Publish) -> bool:
        tokens = publish.subject.split(".")[2:]
        if tokens[:3] == ["CONSUMER", "MSG", "NEXT"]:
            consumer = self._consumer(tokens[3:5]) if len(tokens) == 5 else None
            if consumer is not None and publish.reply:
                consumer.ask(publish.reply, publish.payload)
            return consumer is not None
        return self._api.ask(tokens, publish)

    def _acknowledged(self, publish: Publish) -> bool:
        tokens = publish.subject.split(".")
        consumer = self._consumer(tokens[2:4]) if len(tokens) == ACK_TOKENS else None
        if consumer is None or consumer.config.ack_policy == "none":
            return False
        consumer.acknowledge(tokens[4:], publish.reply, publish.payload)
        return True

    def _consumer(self, names: list[str]) -> Consumer | None:
        stream = self.streams.get(names[0])
        return stream.consumers.get(names[1]) if stream is not None else None

    # what it says

    def answer(self, reply: str, kind: str, body: dict[str, Any]) -> None:
        """Answer a request to the API."""
        if reply:
            data = json.dumps({"type": f"{TYPES}{kind}"} | body, separators=(",", ":"))
            self.publish(Publish(reply, payload=data.encode()))

    def advise(self, kind: str, subject: str, fields: dict[str, Any]) -> None:
        """Tell of an event."""
        body = {
            "type": f"io.nats.jetstream.advisory.v1.{kind}",
            "id": self.unique(),
            "timestamp": show_time(self.timers.now),
        }
        payload = json.dumps(body | fields, separators=(",", ":")).encode()
        told = Publish(f"$JS.EVENT.ADVISORY.{subject}", payload=payload)
        self.soon(lambda: self.publish(told))

    def unique(self, length: int = 22) -> str:
        """A name that nobody has."""
        return "".join(self._random.choice(NUID) for _ in range(length))

    # consumers

    def delete_consumer(self, consumer: Consumer) -> None:
        """Delete a consumer; those who wait hear of it.

        Raises:
            ApiError: it is not there.
        """
        stream = consumer.stream
        if stream.consumers.pop(consumer.name, None) is None:
            raise no_consumer()
        consumer.leave()
        stream.drop_unwanted()

    def delete_stream(self, stream: Stream) -> None:
        """Delete a stream with its consumers."""
        self.streams.pop(stream.name, None)
        for consumer in list(stream.consumers.values()):
            consumer.leave()
        stream.consumers.clear()
        stream.close()
        self.advise_stream(stream, "delete")

    def advise_stream(self, stream: Stream, action: str) -> None:
        """Tell what became of a stream."""
        what = {"create": "CREATED", "update": "UPDATED", "modify": "UPDATED", "delete": "DELETED"}
        names = {"stream": stream.name, "action": action}
        self.advise("stream_action", f"STREAM.{what[action]}.{stream.name}", names)

    def interest_gained(self) -> None:
        """Somebody subscribes to something."""
        for stream in self.streams.values():
            for consumer in stream.consumers.values():
                if consumer.config.is_push:
                    consumer.wake()

    def interest_lost(self) -> None:
        """Somebody subscribes no more; who waits is looked at when something is to be delivered."""

    def restart(self) -> None:
        """Lose what is kept in memory; nobody waits any more."""
        for stream in list(self.streams.values()):
            if stream.config.storage == "memory":
                del self.streams[stream.name]
                stream.close()
                for consumer in stream.consumers.values():
                    consumer.close()
                continue
            for consumer in list(stream.consumers.values()):
                if consumer.config.mem_storage:
                    del stream.consumers[consumer.name]
                    consumer.close()
                else:
                    consumer.restart()
