"""The outbox: commands on their way to the server, sent in batches."""

from __future__ import annotations

from walnats_anyio._link._parking import ParkingSpot
from walnats_anyio._link._transport import Transport
from walnats_anyio._link.protocol import payload_size

PIECE = 64 * 1024
"""Bytes handed to a socket that is slow at once, so that the keepalive sees it move."""


class Outbox:
    """Collects commands and sends them once a turn of the event loop.

    Commands that matter whatever becomes of the connection (acknowledgements, publications) are
    kept while there is none. Those that belong to one connection (a pull request, a pulse, PING)
    are dropped with it, and go out before the others: a subscription comes before what is answered
    on it.
    """

    __slots__ = (
        "_blocked", "_rest", "_spot", "_transport", "_unsent", "commands", "transient", "woken",
    )  # fmt: skip

    def __init__(self, spot: ParkingSpot) -> None:
        self.commands: list[bytes] = []
        """What is kept until it is sent."""
        self.transient: list[bytes] = []
        """What is for this connection only."""
        self._transport: Transport | None = None
        self._rest = memoryview(b"")
        self._unsent: list[bytes] = []
        self._blocked = False
        self._spot = spot
        self.woken = False
        """Whether the writer is on its way to send what is posted."""

    @property
    def open(self) -> bool:
        """Whether commands go out now."""
        return self._transport is not None

    @property
    def stuck(self) -> bool:
        """Whether what is posted waits: there is no connection, or the socket is full."""
        return self._blocked or self._transport is None

    @property
    def unsent(self) -> int:
        """Bytes of a batch that the socket did not take yet."""
        return len(self._rest)

    @property
    def size(self) -> int:
        """Bytes that wait to be sent, what the socket did not take yet included."""
        return self.unsent + sum(map(len, self.commands)) + sum(map(len, self.transient))

    def post(self, command: bytes) -> None:
        """Send a command with the next batch, or after the next reconnect. Never blocks."""
        self.commands.append(command)
        if not self.woken:
            self.wake()

    def wake(self) -> None:
        """Have the writer send what is posted."""
        self.woken = True
        self._spot.wake()

    def post_transient(self, command: bytes) -> None:
        """Send a command with the next batch; drop it if the connection is lost. Never blocks."""
        if self._transport is not None:
            self.transient.append(command)
            if not self.woken:
                self.wake()

    def post_now(self, command: bytes) -> None:
        """Send a command and all before it at once, if the socket takes it. Never blocks.

        For what somebody waits for: it saves a turn of the event loop. For many commands a turn it
        would cost a system call each.
        """
        self.commands.append(command)
        self.write()

    def write(self) -> None:
        """Send what the socket takes without waiting; the writer sends the rest."""
        transport = self._transport
        if transport is None or self._blocked or not (self.commands or self.transient):
            return
        commands, self.commands = self.commands, []
        if self.transient:
            data = b"".join(self.transient + commands)
            self.transient.clear()
        else:
            data = b"".join(commands)
        sent = transport.send_now(data)
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            self._unsent = commands
            self._blocked = True
            self._spot.wake()

    async def send_all(self, transport: Transport) -> None:
        """Send what is posted, until cancelled. What fails raises what the transport does."""
        while True:
            self.woken = False
            self.write()
            if self._blocked:
                while self._rest:
                    await transport.send(bytes(self._rest[:PIECE]))
                    self._rest = self._rest[PIECE:]
                self._unsent = []
                self._blocked = False
            elif not self.woken:
                await self._spot.wait()

    def connect(self, transport: Transport) -> None:
        """Send over this transport from now on."""
        self._transport = transport

    def disconnect(self) -> None:
        """Keep what is posted from now on; what belonged to the connection is dropped.

        Of a batch that was cut off nobody knows how far it came, so all of it is sent again: an
        acknowledgement that comes twice does no harm.
        """
        self._transport = None
        self.commands = self._unsent + self.commands
        self._unsent = []
        self._rest = memoryview(b"")
        self._blocked = False
        self.transient.clear()

    def drop(self, commands: set[int]) -> None:
        """Drop the commands with these identities: they are sent in another way, or given up.

        What the socket does not take yet of the last batch still leaves, but on this connection
        only.
        """
        self.commands = [command for command in self.commands if id(command) not in commands]
        self._unsent = [command for command in self._unsent if id(command) not in commands]

    def drop_larger(self, most: int) -> list[bytes]:
        """Drop publications with a larger payload (headers included) than so many bytes.

        Returns:
            Those that were dropped.
        """
        large = [command for command in self.commands if len(command) > most]
        dropped = [command for command in large if payload_size(command) > most]
        self.drop({id(command) for command in dropped})
        return dropped

    def take_commands(self) -> list[bytes]:
        """Take what is kept, for somebody who sends it command by command."""
        commands, self.commands = self.commands, []
        self.woken = False
        return commands

    async def wait(self) -> None:
        """Wait until something is posted."""
        if not self.commands:
            self.woken = False
            await self._spot.wait()
