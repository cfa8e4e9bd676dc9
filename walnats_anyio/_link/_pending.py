"""Requests that want an answer, and are sent until they get one.

Theory of operation. A *pending request* has a reply subject of its own under the link's one inbox.
It is sent again after a reconnect, and when `RETRY_AFTER` passed without an answer although the
server reads what is sent, until it is answered, dropped or out of time. So an answer that was lost
with a connection, or with the leader of a cluster, is asked for again.

All times here are on the clock of the server, `time.monotonic` for one in another process: what it
takes does not become less when a test's mock clock jumps.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from threading import get_ident

import anyio
import msgspec

from walnats_anyio._link._errors import ConnectionLostError, ServerError
from walnats_anyio._link._outbox import Outbox
from walnats_anyio._link._parking import ParkingSpot
from walnats_anyio._link.protocol import Message, payload_size, pub
from walnats_anyio._link.protocol._refusals import Refusal

logger = logging.getLogger("walnats_anyio.link")

RETRY_LATER_AFTER = 0.5
"""Seconds after which a request is sent again that was answered with "not now"."""

RETRY_AFTER = 4.0
"""Seconds without an answer after which a request is sent again."""

OTHER_THREAD = (
    "a connection belongs to the event loop of the thread that it was opened in, and is used in "
    "another one: open a connection there, use Events.connect_sync, or call it with "
    "anyio.from_thread.run"
)

FEW = 4
"""With at most so many pending, a request leaves at once rather than with the next batch."""


class PendingRequest(msgspec.Struct, eq=False, kw_only=True):
    """One command that waits for its answer; what the answer means is the subclass's affair.

    A Struct, as emits make one each: a chain of `__init__` took three times as long.
    """

    reply: bytes = b""
    """Where the answer goes."""

    command: bytes = b""
    """What is sent."""

    sent_at: float = 0.0
    """When it was sent last."""

    expires_at: float = math.inf
    """When it is given up."""

    def answered(self, message: Message) -> None:
        """Called once, with the answer."""
        raise NotImplementedError

    def is_optional(self) -> bool:
        """Whether it is no trouble if the user may not send it."""
        return False

    def failed(self, reason: Exception) -> None:
        """Called once instead.

        Args:
            reason: `TimeoutError` when `expires_at` has passed; `PermissionError` when this user
                may not publish there; `PayloadTooLargeError` when the server takes less by now;
                what ended the link when it is closed for good.
        """
        raise NotImplementedError


class PayloadTooLargeError(Exception):
    """The server takes smaller messages than it did when the request was made."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(
            f"it is {size} bytes with its headers, and the server takes at most {most} by now"
        )


class Request(PendingRequest):
    """A pending request that one task waits for."""

    _pending: PendingRequests
    _accepts: Callable[[Message], bool] | None = None
    optional: bool = False
    """Whether it is no trouble if the user may not send it."""

    _arrived: anyio.Event = msgspec.field(default_factory=anyio.Event)
    _message: Message | None = None
    _error: Exception | None = None

    def answered(self, message: Message) -> None:
        if self._accepts is not None and not self._accepts(message):
            # Anybody may listen to the subject, and answer: only the right answer counts.
            self._pending.keep_waiting(self)
            return
        self._message = message
        self._arrived.set()

    def is_optional(self) -> bool:
        return self.optional

    def failed(self, reason: Exception) -> None:
        self._error = reason
        self._arrived.set()

    @property
    def denied(self) -> bool:
        """Whether the user may not send it."""
        return isinstance(self._error, PermissionError)

    async def answer(self, timeout: float) -> Message:
        """Wait for the answer.

        Raises:
            TimeoutError: it did not come within `timeout` seconds of the server's time.
            ServerError: the user may not send the command, or it is too large.
            ConnectionLostError: the link is closed for good.
        """
        now = self._pending.now
        give_up_at = now() + timeout
        while not self._arrived.is_set():
            with anyio.move_on_after(give_up_at - now()):
                await self._arrived.wait()
            # A mock clock may have jumped, while the server had no time at all.
            if now() >= give_up_at and not self._arrived.is_set():
                raise TimeoutError
        if self._message is not None:
            return self._message
        passing = isinstance(self._error, PermissionError | PayloadTooLargeError)
        kind = ServerError if passing else ConnectionLostError
        raise kind(str(self._error)) from self._error


class Probe(PendingRequest):
    """Asks whether the server reads what is sent; then what was sent before is worth repeating."""

    _pending: PendingRequests

    def answered(self, message: Message) -> None:
        self._pending.has_read(self)

    def failed(self, reason: Exception) -> None:
        # That the user may not send it is an answer as well.
        if isinstance(reason, PermissionError):
            self._pending.has_read(self)
        else:
            self._pending.probe = None


class PendingRequests:
    """The requests of one link that have not been answered, by their reply subjects."""

    def __init__(
        self, outbox: Outbox, new_spot: Callable[[], ParkingSpot], now: Callable[[], float]
    ) -> None:
        self.now = now
        """The time that the server lives in."""
        self.prefix = b""
        """What all reply subjects begin with."""
        self.echo: Callable[[bytes], bytes]
        """Builds the command that the server answers as soon as it reads it."""
        self.probe: Probe | None = None
        """The probe that is on its way."""
        self.closed: Exception | None = None
        """What has closed the link for good."""
        self.refusal: Refusal | None = None
        """Why this user may not have answers."""
        self._thread = get_ident()
        self._read_before = -math.inf
        self._read_at = math.inf
        self._outbox = outbox
        self._open: dict[bytes, PendingRequest] = {}
        self._serial = 0
        self._later: deque[tuple[PendingRequest, float]] = deque()
        """What is to be sent again later, and when it was answered with "not now"."""
        self._later_spot = new_spot()
        self._watch_spot = new_spot()

    def __len__(self) -> int:
        return len(self._open)

    def new_reply(self) -> bytes:
        """A subject of the link's own, to which one request is answered."""
        self._serial = serial = self._serial + 1
        return b"%b%d" % (self.prefix, serial)

    def send(self, request: PendingRequest) -> None:
        """Send `request.command`, which names `request.reply`, until answered. Never blocks.

        Raises:
            ConnectionLostError: the link is closed for good.
            ServerError: this user may not have answers.
            RuntimeError: it is called in another thread than that of the link's event loop.
        """
        if self.closed is not None or self.refusal is not None or get_ident() != self._thread:
            self._raise_unable()
        request.sent_at = self.now()
        pending = self._open
        if not pending:
            self._watch_spot.wake()
        pending[request.reply] = request
        if len(pending) <= FEW:
            self._outbox.post_now(request.command)
        else:
            self._outbox.post(request.command)

    def publish(
        self, request: PendingRequest, subject: bytes, payload: bytes, headers: bytes
    ) -> None:
        """Give a request its reply subject and its command, and send it. Never blocks.

        The same as `new_reply`, `pub`, `send` and `Outbox.post`, in one call: it is the hot path of
        emits.

        Raises:
            ConnectionLostError: the link is closed for good.
            ServerError: this user may not have answers.
            RuntimeError: it is called in another thread than that of the link's event loop.
        """
        if self.closed is not None or self.refusal is not None or get_ident() != self._thread:
            self._raise_unable()
        self._serial = serial = self._serial + 1
        request.reply = reply = b"%b%d" % (self.prefix, serial)
        if headers:
            command = pub(subject, payload, reply, headers)
        else:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)
        request.command = command
        request.sent_at = self.now()
        pending = self._open
        if not pending:
            self._watch_spot.wake()
        pending[reply] = request
        outbox = self._outbox
        outbox.commands.append(command)
        if len(pending) <= FEW:
            outbox.write()
        elif not outbox.woken:
            outbox.wake()

    def check_thread(self) -> None:
        """Refuse another thread: nobody would wake a task of its loop, or it would wake ours.

        Raises:
            RuntimeError: it is another one than that of the link's event loop.
        """
        if get_ident() != self._thread:
            raise RuntimeError(OTHER_THREAD)

    def _raise_unable(self) -> None:
        self.check_thread()
        if self.closed is not None:
            raise ConnectionLostError(str(self.closed)) from self.closed
        raise ServerError(str(self.refusal))

    def drop(self, request: PendingRequest) -> None:
        """Stop waiting for an answer; one that comes later is ignored."""
        if self._open.pop(request.reply, None) is not None and self._outbox.stuck:
            # What has not gone out by now is reported as failed, so it must not go out later.
            self._outbox.drop({id(request.command)})

    def keep_waiting(self, request: PendingRequest) -> None:
        """Ignore an answer; keep waiting for another."""
        self._open[request.reply] = request

    def retry_later(self, request: PendingRequest) -> None:
        """Ignore an answer that says "not now"; send it again in `RETRY_LATER_AFTER` seconds."""
        request.sent_at = self.now()
        self._open[request.reply] = request
        self._later.append((request, request.sent_at))
        self._later_spot.wake()

    def on_reply(self, message: Message) -> None:
        """An answer came."""
        request = self._open.pop(message.subject, None)
        if request is not None:
            try:
                request.answered(message)
            except BaseException:
                # That ends the link, and whoever waits for this one is to hear of it.
                self._open[message.subject] = request
                raise

    def send_all_again(self, max_payload: int) -> None:
        """Post every request, once, as the connection that they were sent on is gone."""
        now = self.now()
        self._outbox.drop({id(request.command) for request in self._open.values()})
        for request in self._still_open():
            size = payload_size(request.command)
            if size > max_payload:
                self._fail(request, PayloadTooLargeError(size, max_payload))
            else:
                request.sent_at = now
                self._outbox.commands.append(request.command)

    def has_read(self, probe: Probe) -> None:
        """The server has read the probe, and so everything that was sent before it."""
        self.probe = None
        self._read_before = probe.sent_at
        self._read_at = self.now()

    def deny(self, subject: str, remedy: str) -> bool:
        """Fail what was sent to a subject that the user may not publish to.

        Returns:
            Whether it is trouble: False if all that was sent there were optional requests.
        """
        target = subject.encode()
        why = f"this user may not publish to {subject!r}: {remedy}"
        denied: list[PendingRequest] = []
        for request in self._still_open():
            if request.command.split(b" ", 2)[1] == target:
                denied.append(request)
                self._fail(request, PermissionError(why))
        optional = [request for request in denied if request.is_optional()]
        return not denied or len(optional) < len(denied)

    def fail_all(self, reason: Exception) -> None:
        """Fail all of them; none is sent later."""
        for request in self._still_open():
            self._fail(request, reason)

    async def watch(self) -> None:
        """Send again what was not answered, and fail what is out of time, until cancelled."""
        while True:
            if not self._open:
                await self._watch_spot.wait()
            await anyio.sleep(RETRY_AFTER / 4)
            self._look()

    async def send_later(self) -> None:
        """Send what is to be retried later, until cancelled."""
        while True:
            while not self._later:
                await self._later_spot.wait()
            request, since = self._later[0]
            await anyio.sleep(max(0.0, since + RETRY_LATER_AFTER - self.now()))
            self._later.popleft()
            # A reconnect in the meantime has sent it already; a drop or a failure has ended it.
            if request.sent_at == since and self._open.get(request.reply) is request:
                request.sent_at = self.now()
                self._outbox.post(request.command)

    def _still_open(self) -> Iterator[PendingRequest]:
        """Each of them, but those that the end of an earlier one has ended."""
        for request in list(self._open.values()):
            if self._open.get(request.reply) is request:
                yield request

    def _fail(self, request: PendingRequest, reason: Exception) -> None:
        self._open.pop(request.reply, None)
        request.failed(reason)

    def _look(self) -> None:
        now = self.now()
        read_long_ago = now - self._read_at >= RETRY_AFTER
        overdue = False
        expired: list[bytes] = []
        for request in self._still_open():
            if now >= request.expires_at:
                expired.append(request.command)
                self._fail(request, TimeoutError("not acknowledged in time"))
            elif request.sent_at < self._read_before:
                if read_long_ago and self._outbox.open:
                    request.sent_at = now
                    self._outbox.post(request.command)
            elif now - request.sent_at >= RETRY_AFTER:
                overdue = True
        if expired and self._outbox.stuck:
            # As in `drop`. An outage would also keep a window of them for each `dedup_window`.
            self._outbox.drop(set(map(id, expired)))
        if overdue and self.probe is None and self._outbox.open:
            self._send_probe()

    def _send_probe(self) -> None:
        # A server that stands still answers nothing and loses nothing: repeating all to it would
        # store it twice when it goes on. So what is overdue is sent again only when the server
        # is known to have read it, and has not answered for as long again.
        self.probe = probe = Probe(self)
        probe.reply = self.new_reply()
        probe.command = self.echo(probe.reply)
        self.send(probe)
