"""Clients, what they say, and who gets what is published."""

from __future__ import annotations

import json
import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from walnats_anyio.testing._memory._commands import (
    Command,
    CommandParser,
    Connect,
    Ping,
    Publish,
    Subscribe,
    Unsubscribe,
    Violation,
    message,
    status,
)
from walnats_anyio.testing._memory._configs import API_LEVEL
from walnats_anyio.testing._memory._faults import Direction, Faults
from walnats_anyio.testing._memory._jetstream import JetStream
from walnats_anyio.testing._memory._subjects import expression, is_literal, is_valid
from walnats_anyio.testing._memory._timers import Timers


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server is."""

    server_name: str
    server_id: str
    version: str
    max_payload: int
    seed: int | str


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscription of one client."""

    client: Client
    subject: str
    queue: str
    sid: bytes
    pattern: re.Pattern[str] | None = None
    """What subjects have to look like, where it has wildcards."""
    delivered: int = 0
    most: int = 0
    """Messages after which it ends; 0 for never."""


@dataclass(slots=True, eq=False)
class Client:
    """One connection."""

    number: int
    parser: CommandParser
    output: bytearray = field(default_factory=bytearray)
    """What is to be sent to it."""
    closed: bool = False
    """Whether the connection ends, once the output is sent."""
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    pedantic: bool = True
    verbose: bool = True
    subscriptions: dict[bytes, Subscription] = field(default_factory=dict[bytes, Subscription])


class Engine:
    """A NATS server, without clock and network."""

    def __init__(self, settings: Settings, now: int) -> None:
        self.settings = settings
        self.timers = Timers(now)
        self.random = random.Random(settings.seed)
        self.faults = Faults()
        self.touched: set[Client] = set()
        """Clients that have output, or are closed, since somebody looked."""
        self.overhearing: list[Callable[[Publish], None]] = []
        """Told of each message of a client that arrives."""
        self.clients: dict[int, Client] = {}
        self._serial = 0
        self._exact: dict[str, list[Subscription]] = {}
        self._wild: list[Subscription] = []
        self._soon: deque[Callable[[], object]] = deque()
        self.jetstream = JetStream(self)

    # what comes in

    def connect(self) -> Client:
        """A client connects."""
        self._serial += 1
        client = Client(self._serial, CommandParser(self.settings.max_payload))
        self.clients[client.number] = client
        return client

    def greet(self, client: Client) -> None:
        """Say the first word to a client: INFO."""
        self._say(client, b"INFO " + json.dumps(self._info(client)).encode() + b"\r\n")

    def receive(self, client: Client, data: bytes) -> None:
        """Bytes of a client came."""
        if client.closed:
            return
        for command in client.parser.receive(data):
            self._obey(client, command)
            self.settle()
            if client.closed:
                break

    def disconnect(self, client: Client) -> None:
        """A client is gone."""
        if self.clients.pop(client.number, None) is None:
            return
        client.closed = True
        self.touched.add(client)
        for subscription in list(client.subscriptions.values()):
            self._forget(subscription)
        self.jetstream.interest_lost()
        self.settle()

    def advance(self, now: int) -> None:
        """Time has passed: do what was due meanwhile, each at its time."""
        while (call := self.timers.pop_due(now)) is not None:
            call()
            self.settle()

    def restart(self) -> None:
        """Lose all clients, and what is only kept in memory."""
        for client in list(self.clients.values()):
            self.disconnect(client)
        self.jetstream.restart()
        self.settle()

    def soon(self, call: Callable[[], object]) -> None:
        """Have it called after what is being done now."""
        self._soon.append(call)

    def settle(self) -> None:
        """Do all that is to be done at this moment."""
        while self._soon:
            self._soon.popleft()()

    # commands

    def _obey(self, client: Client, command: Command) -> None:
        match command:
            case Publish():
                self._on_publish(client, command)
            case Subscribe():
                self._subscribe(client, command)
            case Unsubscribe():
                self._unsubscribe(client, command)
            case Ping():
                self._say(client, b"PONG\r\n")
                return
            case Connect(options):
                self._introduce(client, options)
            case Violation(text):
                if text:
                    self._say(client, b"-ERR '%b'\r\n" % text.encode())
                self.disconnect(client)
                return
            case _:
                return
        if client.verbose:
            self._say(client, b"+OK\r\n")

    def _introduce(self, client: Client, options: dict[str, Any]) -> None:
        client.echo = options.get("echo", True) is not False
        client.headers = options.get("headers") is True
        client.no_responders = client.headers and options.get("no_responders") is True
        client.pedantic = options.get("pedantic", True) is not False
        client.verbose = options.get("verbose", True) is not False

    def _on_publish(self, client: Client, publish: Publish) -> None:
        literal = is_valid(publish.subject) and is_literal(publish.subject)
        if client.pedantic and not literal:
            self._say(client, b"-ERR 'Invalid Publish Subject'\r\n")
        self._through("to_server", publish, publish.subject, lambda: self._route(client, publish))

    def _route(self, client: Client, publish: Publish) -> None:
        if self.publish(publish, client) or not publish.reply or client.closed:
            return
        if client.no_responders:
            header = status(503, headers={"Nats-Subject": publish.subject})
            # It goes to the client that asked, and to nobody else.
            for each in self._subscribers(publish.reply):
                if each.client is client:
                    self._deliver(each, Publish(publish.reply, header=header), publish.reply)
                    break

    def _through(
        self, direction: Direction, publish: Publish, inbox: str, go: Callable[[], None]
    ) -> None:
        """Let a message go on, unless it is to be lost or late."""
        fault = self.faults.hit(direction, publish, inbox)
        if fault is None:
            go()
        elif fault.delay is not None:
            self.timers.after(fault.delay, go)

    def _subscribe(self, client: Client, command: Subscribe) -> None:
        if not is_valid(command.subject):
            self._say(client, b"-ERR 'Invalid Subject'\r\n")
            return
        if command.sid in client.subscriptions:
            return
        found = Subscription(client, command.subject, command.queue, command.sid)
        client.subscriptions[command.sid] = found
        if is_literal(command.subject):
            self._exact.setdefault(command.subject, []).append(found)
        else:
            found.pattern = re.compile(expression(command.subject), re.DOTALL)
            self._wild.append(found)
        self.jetstream.interest_gained()

    def _unsubscribe(self, client: Client, command: Unsubscribe) -> None:
        found = client.subscriptions.get(command.sid)
        if found is None:
            return
        found.most = command.most
        if found.delivered >= command.most:
            self._forget(found)
            self.jetstream.interest_lost()

    def _forget(self, found: Subscription) -> None:
        found.client.subscriptions.pop(found.sid, None)
        if found in self._wild:
            self._wild.remove(found)
        elif found in (exact := self._exact.get(found.subject, [])):
            exact.remove(found)
            if not exact:
                del self._exact[found.subject]

    # what goes out

    def publish(self, publish: Publish, client: Client | None = None) -> bool:
        """Publish a message, of a client or of the server itself; whether somebody takes it."""
        if client is not None:
            for overhear in self.overhearing:
                overhear(publish)
        taken = self.jetstream.take(publish, client)
        return self.send(publish.subject, publish, client) or taken

    def send(self, inbox: str, publish: Publish, client: Client | None = None) -> bool:
        """Send a message to those who subscribe to a subject; whether anybody does."""
        groups: dict[str, list[Subscription]] = {}
        sent = False
        for each in list(self._subscribers(inbox)):
            if each.client is client and not each.client.echo:
                continue
            if each.queue:
                groups.setdefault(each.queue, []).append(each)
            else:
                sent = True
                self._deliver(each, publish, inbox)
        for members in groups.values():
            sent = True
            self._deliver(self.random.choice(members), publish, inbox)
        return sent

    def has_interest(self, subject: str) -> bool:
        """Whether anybody subscribes to a subject."""
        return subject in self._exact or bool(self._wild_ones(subject))

    def _subscribers(self, subject: str) -> list[Subscription]:
        return [*self._exact.get(subject, ()), *self._wild_ones(subject)]

    def _wild_ones(self, subject: str) -> list[Subscription]:
        return [each for each in self._wild if each.pattern and each.pattern.fullmatch(subject)]

    def _deliver(self, found: Subscription, publish: Publish, inbox: str) -> None:
        found.delivered += 1
        if found.most and found.delivered >= found.most:
            self._forget(found)
        client = found.client
        if not client.headers and publish.header:
            publish = Publish(publish.subject, publish.reply, payload=publish.payload)
        said = message(found.sid, publish)
        self._through("to_client", publish, inbox, lambda: self._say(client, said))

    def _say(self, client: Client, data: bytes) -> None:
        if not client.closed:
            client.output += data
            self.touched.add(client)

    def _info(self, client: Client) -> dict[str, Any]:
        settings = self.settings
        return {
            "server_id": settings.server_id,
            "server_name": settings.server_name,
            "version": settings.version,
            "proto": 1,
            "host": "127.0.0.1",
            "port": 4222,
            "headers": True,
            "max_payload": settings.max_payload,
            "jetstream": True,
            "client_id": client.number,
            "client_ip": "127.0.0.1",
            "api_lvl": API_LEVEL,
        }
