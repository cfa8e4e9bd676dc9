"""Commands that want an answer, and are sent until they get one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import anyio
from nats.aio.msg import Msg

from walnats_anyio._link._errors import ConnectionLostError, ServerError
from walnats_anyio._link._outbox import Outbox

AGAIN_AFTER = 0.5
"""Seconds after which an ask is sent again that was answered with "not now"."""

RETRY_AFTER = 4.0
"""Seconds without an answer after which an ask is sent again."""

Message = Msg
"""What NATS delivers."""

Metadata = Msg.Metadata
"""What JetStream says about a delivery."""


class Ask:
    """One command that waits for its answer; what the answer means is the subclass's affair."""

    __slots__ = ("command", "expires_at", "reply", "sent_at")

    def __init__(self) -> None:
        self.reply = ""
        self.command = b""
        self.sent_at = 0.0
        self.expires_at = math.inf

    def answered(self, message: Message) -> None:
        """Called once, with the answer."""
        raise NotImplementedError

    def gave_up(self, reason: Exception) -> None:
        """Called once instead, when the link is closed for good or `expires_at` has passed."""
        raise NotImplementedError


class Request(Ask):
    """An ask that one task waits for."""

    __slots__ = ("_arrived", "_error", "_message")

    def __init__(self) -> None:
        super().__init__()
        self._arrived = anyio.Event()
        self._message: Message | None = None
        self._error: Exception | None = None

    def answered(self, message: Message) -> None:
        self._message = message
        self._arrived.set()

    def gave_up(self, reason: Exception) -> None:
        self._error = reason
        self._arrived.set()

    @property
    def denied(self) -> bool:
        """Whether the user may not send it."""
        return isinstance(self._error, PermissionError)

    async def answer(self) -> Message:
        """Wait for the answer.

        Raises:
            ServerError: the user may not send the command.
            ConnectionLostError: the link is closed for good.
        """
        await self._arrived.wait()
        if self._message is not None:
            return self._message
        kind = ServerError if self.denied else ConnectionLostError
        raise kind(str(self._error)) from self._error


class Probe(Ask):
    """Asks whether the server reads what is sent; then what was sent before is worth repeating."""

    __slots__ = ("_asks",)

    def __init__(self, asks: Asks) -> None:
        super().__init__()
        self._asks = asks

    def answered(self, message: Message) -> None:
        self._asks.has_read(self)

    def gave_up(self, reason: Exception) -> None:
        # That the user may not send it is an answer as well.
        if isinstance(reason, PermissionError):
            self._asks.has_read(self)
        else:
            self._asks.probe = None


class Asks:
    """The asks of one link that have not been answered, by their reply subjects."""

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self.prefix = ""
        """What all reply subjects begin with."""
        self.echo: Callable[[str], bytes]
        """Builds the command that the server answers as soon as it reads it."""
        self.probe: Probe | None = None
        """The probe that is on its way."""
        self._read_before = -math.inf
        self._read_at = math.inf
        self._loop = loop
        self._outbox = outbox
        self._open: dict[str, Ask] = {}
        self._serial = 0
        self._timer: Any = None

    def new_reply(self) -> str:
        """A subject of the link's own, to which one ask is answered."""
        self._serial = serial = self._serial + 1
        return f"{self.prefix}{serial}"

    def send(self, ask: Ask) -> None:
        """Send `ask.command`, which names `ask.reply`, until it is answered. Never blocks."""
        ask.sent_at = self._loop.time()
        self._open[ask.reply] = ask
        self._outbox.post(ask.command)
        if self._timer is None:
            self._timer = self._loop.call_later(RETRY_AFTER / 4, self._look)

    def drop(self, ask: Ask) -> None:
        """Stop waiting for an answer; one that comes later is ignored."""
        if self._open.pop(ask.reply, None) is not None and not self._outbox.open:
            # What has not gone out by now is told as failed, so it must not go out later.
            outbox = self._outbox
            outbox.commands = [one for one in outbox.commands if one is not ask.command]

    def wait_on(self, ask: Ask) -> None:
        """Take an answer for none, and wait for another."""
        self._open[ask.reply] = ask

    def again(self, ask: Ask) -> None:
        """Take an answer for none: the ask is sent again in `AGAIN_AFTER` seconds."""
        ask.sent_at = self._loop.time()
        self._open[ask.reply] = ask
        self._loop.call_later(AGAIN_AFTER, self._repeat, ask)

    def _repeat(self, ask: Ask) -> None:
        # A reconnect in the meantime has sent it already.
        if ask.reply in self._open and self._loop.time() - ask.sent_at >= AGAIN_AFTER / 2:
            ask.sent_at = self._loop.time()
            self._outbox.post(ask.command)

    def on_answer(self, message: Message) -> None:
        """An answer came."""
        ask = self._open.pop(message.subject, None)
        if ask is not None:
            try:
                ask.answered(message)
            except Exception:
                # The link closes for that, and whoever waits for this one is to hear of it.
                self._open[message.subject] = ask
                raise

    def send_all_again(self) -> None:
        """Put every ask into the outbox, once, as the connection they were sent on is gone."""
        now = self._loop.time()
        asked = {id(ask.command) for ask in self._open.values()}
        outbox = self._outbox
        outbox.commands = [command for command in outbox.commands if id(command) not in asked]
        for ask in self._open.values():
            ask.sent_at = now
            outbox.commands.append(ask.command)

    def has_read(self, probe: Probe) -> None:
        """The server has read the probe, and so everything that was sent before it."""
        self.probe = None
        self._read_before = probe.sent_at
        self._read_at = self._loop.time()

    def deny(self, subject: str) -> None:
        """Give up what was sent to a subject (in lower case) that the user may not publish to."""
        for ask in list(self._open.values()):
            target = ask.command.split(b" ", 2)[1].decode()
            if target.lower() == subject:
                del self._open[ask.reply]
                ask.gave_up(PermissionError(f"this user may not publish to {target!r}"))

    def give_up(self, reason: Exception) -> None:
        """Give up all of them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asks, self._open = self._open, {}
        for ask in asks.values():
            ask.gave_up(reason)

    def _look(self) -> None:
        self._timer = None
        if not self._open:
            return
        now = self._loop.time()
        read_long_ago = now - self._read_at >= RETRY_AFTER
        overdue = False
        for ask in list(self._open.values()):
            if now >= ask.expires_at:
                del self._open[ask.reply]
                ask.gave_up(TimeoutError("not acknowledged in time"))
            elif ask.sent_at < self._read_before:
                if read_long_ago and self._outbox.open:
                    ask.sent_at = now
                    self._outbox.post(ask.command)
            elif now - ask.sent_at >= RETRY_AFTER:
                overdue = True
        if overdue and self.probe is None and self._outbox.open:
            self._send_probe()
        self._timer = self._loop.call_later(RETRY_AFTER / 4, self._look)

    def _send_probe(self) -> None:
        # A server that stands still answers nothing and loses nothing: repeating all to it would
        # store it twice when it goes on. So what is overdue is sent again only when the server
        # is known to have read it, and has not answered for as long again.
        self.probe = probe = Probe(self)
        probe.reply = self.new_reply()
        probe.command = self.echo(probe.reply)
        self.send(probe)
