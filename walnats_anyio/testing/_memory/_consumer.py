"""One consumer: who asks for messages, who has which, and which come again.

The rules are those of nats-server 2.15. A message that was delivered is *pending* until it is
acknowledged; one whose time is up, or that was given back, waits in the queue of redeliveries,
which comes before anything new.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import msgspec

from walnats_anyio.testing._memory._acks import Kind, read_ack
from walnats_anyio.testing._memory._answers import ApiError, show_time
from walnats_anyio.testing._memory._commands import Publish, status, to_bytes, with_headers
from walnats_anyio.testing._memory._configs import convert, parse
from walnats_anyio.testing._memory._consumer_config import ConsumerConfig
from walnats_anyio.testing._memory._progress import Pending, Position, Progress, moved
from walnats_anyio.testing._memory._pulls import NextRequest, Waiting
from walnats_anyio.testing._memory._store import Stored, is_match
from walnats_anyio.testing._memory._timers import SECOND, Timer

if TYPE_CHECKING:
    from walnats_anyio.testing._memory._jetstream import JetStream
    from walnats_anyio.testing._memory._stream import Stream

INACTIVE_AFTER = 5 * SECOND
"""Nanoseconds without a sign of life after which a consumer that is not durable is deleted."""

NOT_BEFORE = SECOND // 100
"""Nanoseconds that nothing comes again after a nak with a delay, however short."""

AFTER_REQUEST = 1
"""Nanoseconds from a request to its delivery: where both have the same time, it is over first."""

DELETED = "Unacknowledged message was deleted"


class Consumer:
    """A consumer of a stream."""

    def __init__(self, jetstream: JetStream, stream: Stream, config: ConsumerConfig) -> None:
        self.config = _with_threshold(config)
        self.name = config.durable_name or config.name
        self.stream = stream
        self.created = jetstream.timers.stamp()
        self.pending: dict[int, Pending] = {}
        self.waiting: deque[Waiting] = deque()
        self._jetstream = jetstream
        self._timers = jetstream.timers
        self._closed = False
        self._next_delivery = 1
        self._next_seq = self._first_seq()
        self._listed: deque[int] = deque()
        self._after_list = stream.store.last + 1
        self._start_listed()
        # Below which all is done with; what is shown of that is in the store.
        self._floor: Position = (0, self._next_seq - 1)
        self._progress = Progress(config.ack_policy, self._next_seq - 1)
        self._unread = len(self._listed) or stream.store.count(config.filters, self._next_seq)
        self._again: OrderedDict[int, None] = OrderedDict()
        self._repeats: dict[int, int] = {}
        self._last_delivery = self._last_ack = 0
        self._serving = False
        self._timer: Timer | None = None
        # Looks at what is pending in which nothing would be found: the next one, and the interval.
        self._idle_looks: tuple[int, int] | None = None
        self._request_timer: Timer | None = None
        self._pause_timer: Timer | None = None
        self._idle_timer: Timer | None = None
        self._active_at = self._timers.now
        self._watch_idle()
        self._watch_pause()

    def _first_seq(self) -> int:
        store, config = self.stream.store, self.config
        last = store.last
        match config.deliver_policy:
            case "all":
                first = store.first
            case "last":
                newest = [store.newest(each) for each in config.filters]
                first = max((stored.seq for stored in newest if stored), default=0)
                if not config.filters:
                    # Also where that message is gone: then the next one is the first.
                    first = last
            case "by_start_sequence":
                return max(config.opt_start_seq, store.first, 1)
            case "by_start_time":
                first = store.since(config.start_time)
            case "last_per_subject":
                first = next(iter(store.newest_of_each(config.filters)), last)
            case _:
                first = last + 1
        return max(min(first, last + 1), store.first, 1)

    def _start_listed(self) -> None:
        """Which messages are to come first, where only the last of each subject is wanted."""
        if self.config.deliver_policy == "last_per_subject":
            self._listed.extend(self.stream.store.newest_of_each(self.config.filters))

    def close(self) -> None:
        """It is deleted, or its server stops."""
        self._closed = True
        for timer in (self._timer, self._request_timer, self._pause_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()

    def leave(self) -> None:
        """It is deleted: whoever waits for a message hears of it."""
        for each in self.waiting:
            self._answer(each.reply, 409, "Consumer Deleted")
        self.waiting.clear()
        self._advise("consumer_action", "DELETED", action="delete")
        self.close()

    # what the stream says

    def wants(self, subject: str) -> bool:
        """Whether messages of a subject are for it."""
        return is_match(self.config.filters, subject)

    def needs(self, seq: int, subject: str) -> bool:
        """Whether a message has to stay for it."""
        if not self.wants(subject):
            return False
        if seq in self._repeats or seq in self.pending:
            return True
        above = seq > self._floor[1]
        return above and (self.config.ack_policy != "explicit" or seq >= self._next_seq)

    def on_stored(self, stored: Stored) -> None:
        """There is a new message."""
        if self.wants(stored.subject):
            self._unread += 1
            self.wake()

    def on_removed(self, stored: Stored) -> None:
        """A message is gone."""
        seq = stored.seq
        if seq >= self._next_seq and self.wants(stored.subject):
            self._unread -= 1
        self._resume_looks()
        entry = self.pending.get(seq)
        if entry is None:
            self._repeats.pop(seq, None)
            return
        deliveries = self._deliveries(seq)
        # nats-server does it in a goroutine: a purge is over before.
        self._jetstream.soon(lambda: self._terminate(seq, entry.delivery, deliveries))

    def _terminate(self, seq: int, delivery: int, deliveries: int) -> None:
        """Let go of a message that was deleted."""
        if not self._closed:
            self._ack(seq, delivery)
            self._advise_terminated(seq, delivery, deliveries, DELETED)

    def on_purged(self, first: int, *, wider: bool) -> None:
        """Messages are gone, among them all before `first`; `wider`: it has others as well."""
        self._resume_looks()
        self._next_seq = max(self._next_seq, first)
        delivery, floor = self._floor
        if floor < first:
            floor = first - 1
            for seq, entry in list(self.pending.items()):
                if seq <= floor or (wider and self.stream.store.get(seq) is None):
                    delivery = max(delivery, entry.delivery)
                    del self.pending[seq]
                    self._repeats.pop(seq, None)
                    self._progress.acknowledge(seq, entry.delivery)
            self._floor = (delivery, floor)
        if not self.pending:
            self._repeats.clear()
            self._floor = self._delivered
        # nats-server forgets what waited for its redelivery until its time is up once more.
        self._again.clear()
        self._write_down()
        self.recount()

    def forget_before(self, first: int) -> None:
        """Several messages were deleted at once; `first` is the first that is left."""
        for seq in [seq for seq in self._repeats if seq < first]:
            del self._repeats[seq]
            self._again.pop(seq, None)

    def recount(self) -> None:
        """Count what is still to be delivered."""
        self._unread = self.stream.store.count(self.config.filters, self._next_seq)

    # asking

    def ask(self, reply: str, payload: bytes) -> None:
        """A pull request came."""
        if self.config.is_push:
            self._answer(reply, 409, "Consumer is push based")
            return
        try:
            request = self._read_request(payload)
        except ApiError as error:
            self._answer(reply, 400, f"Bad Request - {error.description}")
            return
        self._active_at = self._timers.now
        now, config = self._timers.now, self.config
        if 0 < config.max_batch < request.batch:
            self._answer(reply, 409, f"Exceeded MaxRequestBatch of {config.max_batch}")
        elif 0 < config.max_expires < request.expires:
            shown = _duration(config.max_expires)
            self._answer(reply, 409, f"Exceeded MaxRequestExpires of {shown}")
        elif 0 < config.max_bytes < request.max_bytes:
            self._answer(reply, 409, f"Exceeded MaxRequestMaxBytes of {config.max_bytes}")
        elif not (request.no_wait and self._answered_at_once(reply, request)):
            if len(self.waiting) >= config.max_waiting:
                self._look_at_requests(at_end=False)
            if len(self.waiting) >= config.max_waiting:
                if not request.idle_heartbeat:
                    self._answer(reply, 409, "Exceeded MaxWaiting")
                return
            self.waiting.append(Waiting.of(reply, request, now))
            self.wake()

    def _read_request(self, payload: bytes) -> NextRequest:
        text = payload.strip()
        if text.startswith(b"{"):
            # What it does not know, nats-server ignores here.
            known = NextRequest.__struct_fields__
            body = {name: value for name, value in parse(text).items() if name in known}
            request = convert(body, NextRequest)
            if request.idle_heartbeat * 2 > request.expires:
                raise ApiError(400, 10003, "heartbeat value too large")
            return request
        number = text.removeprefix(b"-")
        return NextRequest(batch=int(text) if number.isdigit() and len(number) < 10 else 1)

    def _answered_at_once(self, reply: str, request: NextRequest) -> bool:
        """Whether a request that does not wait got an answer and nothing else."""
        there = self._left + len(self._again)
        if not there and not request.expires:
            self._answer(reply, 404, "No Messages")
            return True
        if there:
            self._look_at_requests(at_end=False)
            if there < sum(each.left for each in self.waiting):
                self._answer(reply, 408, "Requests Pending")
                return True
        return False

    @property
    def _left(self) -> int:
        return max(0, self._unread)

    def _look_at_requests(self, *, at_end: bool) -> None:
        """End requests that are over, and send heartbeats.

        Args:
            at_end: whether there is nothing to deliver, so that nobody who does not wait gets any.
        """
        now = self._timers.now
        for each in list(self.waiting):
            if each.expired(now):
                self._end_request(each, "408 Request Timeout")
            elif at_end and each.no_wait and (not each.expires or each.got):
                self.waiting.remove(each)
                self._answer(each.reply, 404, "No Messages")
            elif not self._jetstream.has_interest(each.reply):
                self.waiting.remove(each)
            elif each.heartbeat_at and each.heartbeat_at <= now:
                each.heartbeat_at = now + each.idle_heartbeat
                self._heartbeat(each.reply)
        self._watch_requests()

    def _watch_requests(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
        due = min((each.due for each in self.waiting if each.due), default=0)
        if due:
            self._request_timer = self._timers.at(due, self._on_request_due)

    def _on_request_due(self) -> None:
        self._request_timer = None
        self._look_at_requests(at_end=True)
        self.wake()

    def _end_request(self, request: Waiting, text: str) -> None:
        self.waiting.remove(request)
        code, _, description = text.partition(" ")
        self._answer(request.reply, int(code), description, request.pending_headers())

    def _answer(
        self, reply: str, code: int, text: str, headers: dict[str, object] | None = None
    ) -> None:
        self._jetstream.send(reply, Publish(reply, header=status(code, text, headers)))

    def _heartbeat(self, reply: str) -> None:
        headers: dict[str, object] = {
            "Nats-Last-Consumer": self._next_delivery - 1,
            "Nats-Last-Stream": self._next_seq - 1,
        }
        self._answer(reply, 100, "Idle Heartbeat", headers)

    # delivering

    def wake(self) -> None:
        """There may be something to deliver."""
        if not self._serving:
            self._serving = True
            self._jetstream.soon(self._serve)

    def _serve(self) -> None:
        self._serving = False
        if self._closed:
            return
        stalled = False
        while not self._paused and (self.waiting or self._bound):
            found = self._next_message()
            if found is None:
                stalled = self._stalled
                break
            stored, count = found
            if not self._give(stored, count):
                self._take_back(stored, count)
                break
        if not self.config.is_push:
            self._look_at_requests(at_end=not stalled and not self._paused)

    @property
    def _bound(self) -> bool:
        target = self.config.deliver_subject
        return bool(target) and self._jetstream.has_interest(target)

    @property
    def _paused(self) -> bool:
        return self._timers.now < self.config.paused_until

    @property
    def _stalled(self) -> bool:
        return 0 < self.config.max_ack_pending <= len(self.pending)

    def _next_message(self) -> tuple[Stored, int] | None:
        """The message that is next, and which delivery of it this is."""
        while self._again:
            seq, _ = self._again.popitem(last=False)
            self._repeats[seq] = self._repeats.get(seq, 0) + 1
            count = self._repeats[seq] + 1
            if 0 < self.config.max_deliver < count:
                if count == self.config.max_deliver + 1:
                    self._advise_exceeded(seq, count - 1)
                self._give_up(seq, count)
                continue
            stored = self.stream.store.get(seq)
            if stored is not None:
                return stored, count
            self._unrepeat(seq)
            if seq in self.pending:
                # It was deleted together with others, of which consumers are not told.
                self._terminate(seq, self.pending[seq].delivery, count - 1)
        if self._stalled:
            return None
        return self._next_listed() or self._next_new()

    def _next_listed(self) -> tuple[Stored, int] | None:
        while self._listed:
            stored = self.stream.store.get(self._listed.popleft())
            if stored is not None:
                # What came after the list was made follows it.
                self._next_seq = stored.seq + 1 if self._listed else self._after_list
                self._unread -= 1
                return stored, 1
        return None

    def _next_new(self) -> tuple[Stored, int] | None:
        stored = self.stream.store.next(self.config.filters, self._next_seq)
        if stored is None:
            self._next_seq = max(self._next_seq, self.stream.store.last + 1)
            return None
        self._next_seq = stored.seq + 1
        self._unread -= 1
        return stored, 1

    def _give(self, stored: Stored, count: int) -> bool:
        """Deliver a message; False when there is nobody for it."""
        reply = self._ack_subject(stored, count)
        header, payload = stored.header, stored.payload
        if self.config.headers_only:
            header = with_headers(header, {"Nats-Msg-Size": len(payload)})
            payload = b""
        message = Publish(stored.subject, reply, header, payload)
        if self.config.is_push:
            self._delivered_one(stored, message, self.config.deliver_subject, count)
            return True
        subject_size = len(to_bytes(stored.subject)) + len(reply)
        request = self._next_request(subject_size + len(header) + len(payload))
        if request is None:
            return False
        self._delivered_one(stored, message, request.reply, count)
        if request.left <= 0 < request.bytes_left:
            self._answer(request.reply, 409, "Batch Completed", request.pending_headers())
        return True

    def _next_request(self, size: int) -> Waiting | None:
        """The request that gets a message of so many bytes; they take turns."""
        now = self._timers.now
        while self.waiting:
            request = self.waiting[0]
            if request.expired(now):
                self._end_request(request, "408 Request Timeout")
            elif request.max_bytes and size > request.bytes_left:
                self._end_request(request, "409 Message Size Exceeds MaxBytes")
            elif not self._jetstream.has_interest(request.reply):
                self.waiting.popleft()
            else:
                self.waiting.popleft()
                if request.take(size, now):
                    self.waiting.append(request)
                return request
        return None

    def _take_back(self, stored: Stored, count: int) -> None:
        if count == 1 and stored.seq == self._next_seq - 1:
            self._next_seq -= 1
            self._unread += 1
        elif stored.seq not in self._again:
            self._unrepeat(stored.seq)
            self._again[stored.seq] = None

    def _delivered_one(self, stored: Stored, message: Publish, inbox: str, count: int) -> None:
        number, now = self._next_delivery, self._timers.now
        self._next_delivery += 1
        self._last_delivery = self._active_at = now
        self._progress.deliver(stored.seq, number, count, self.config.max_deliver)
        if self.config.ack_policy == "none":
            self._floor = (number, stored.seq)
        elif stored.seq in self.pending:
            self.pending[stored.seq].time = now + AFTER_REQUEST
        else:
            self.pending[stored.seq] = Pending(number, now + AFTER_REQUEST)
        self._watch_delivered(stored.seq)
        self._jetstream.send(inbox, message)
        if self.config.ack_policy == "none":
            self.stream.acknowledged(stored.seq)

    def _ack_subject(self, stored: Stored, count: int) -> str:
        names = f"{self.stream.name}.{self.name}"
        numbers = f"{count}.{stored.seq}.{self._next_delivery}.{stored.time}.{self._left}"
        return f"$JS.ACK.{names}.{numbers}"

    # acknowledging

    def acknowledge(self, numbers: list[str], reply: str, payload: bytes) -> None:
        """An acknowledgement came; `numbers` are the last tokens of its subject."""
        count, seq, delivery = (int(each) if each.isdigit() else 0 for each in numbers[:3])
        self._active_at = self._timers.now
        ack = read_ack(payload)
        answered = bool(seq)
        match ack.kind:
            case Kind.ACK:
                answered = self._ack(seq, delivery) and answered
            case Kind.NEXT:
                self._ack(seq, delivery)
                self.ask(reply, ack.rest)
                answered = False
            case Kind.NAK:
                self._nak(seq, delivery, count, ack.delay)
            case Kind.PROGRESS:
                if seq in self.pending:
                    self.pending[seq].time = self._timers.now
            case Kind.TERM:
                answered = self._ack(seq, delivery) and answered
                self._advise_terminated(seq, delivery, count, ack.reason)
            case Kind.UNKNOWN:
                pass
        if answered and reply:
            self._jetstream.publish(Publish(reply))

    def _ack(self, seq: int, delivery: int) -> bool:
        """Whether it is an acknowledgement of something that was delivered."""
        if seq >= self._next_seq:
            return False
        self._last_ack = self._timers.now
        stalled = self._stalled
        self._resume_looks()
        match self.config.ack_policy:
            case "explicit":
                done = [seq]
                entry = self.pending.get(seq)
                self._forget(seq)
                if entry is not None:
                    delivery = entry.delivery
                    self._move_floor(seq, delivery)
            case "all":
                if delivery <= self._floor[0] or seq <= self._floor[1]:
                    return True
                done = self._forget_all(seq)
                self._floor = (delivery, seq)
            case _:
                return self.stream.config.retention != "limits"
        self._progress.acknowledge(seq, delivery)
        for each in done:
            self.stream.acknowledged(each)
        if stalled:
            self.wake()
        return True

    def _forget(self, seq: int) -> None:
        self.pending.pop(seq, None)
        self._repeats.pop(seq, None)
        self._again.pop(seq, None)

    def _forget_all(self, seq: int) -> list[int]:
        """Let go of all up to a message; gives those that are done with."""
        gap = seq - self._floor[1]
        # nats-server takes the shorter way; the other one passes what was given up, too.
        if gap > len(self.pending):
            passed = sorted((each for each in self.pending if each <= seq), reverse=True)
        else:
            passed = list(range(seq, seq - gap, -1))
        done = [seq]
        for each in passed:
            if not self.pending:
                break
            if each in self.pending and each != seq:
                done.append(each)
            self._forget(each)
        return done

    def _nak(self, seq: int, delivery: int, count: int, delay: int | None) -> None:
        entry = self.pending.get(seq)
        if entry is None or delivery <= self._floor[0] or delivery > self._next_delivery:
            return
        self._advise_naked(seq, delivery, count)
        if delay is not None:
            self._again.pop(seq, None)
            entry.time = self._timers.now - self.config.ack_wait + delay
            self._progress.deliver(seq, entry.delivery, count, self.config.max_deliver)
            self._look_in(NOT_BEFORE)
            return
        self._again.setdefault(seq, None)
        self.wake()

    def _give_up(self, seq: int, count: int) -> None:
        """Deliver a message no more; it stays in the stream."""
        self._resume_looks()
        entry = self.pending.pop(seq, None)
        if entry is not None:
            self._progress.deliver(seq, entry.delivery, count, self.config.max_deliver)
            self._move_floor(seq, entry.delivery)

    @property
    def _delivered(self) -> Position:
        """The highest numbers so far; what was skipped counts as delivered."""
        return self._next_delivery - 1, self._next_seq - 1

    def _move_floor(self, seq: int, delivery: int) -> None:
        self._floor = moved(self._floor, self.pending, delivery, seq, self._delivered)

    def _write_down(self) -> None:
        self._progress.replace(self._delivered, self._floor, self.pending)

    def _unrepeat(self, seq: int) -> None:
        left = self._repeats.get(seq, 0) - 1
        if left > 0:
            self._repeats[seq] = left
        else:
            self._repeats.pop(seq, None)

    def _deliveries(self, seq: int) -> int:
        """Deliveries as the server counts them where a time is up: a second one is the first."""
        return max(1, self._repeats.get(seq, 0))

    # time

    def _look_in(self, wait: int) -> None:
        """Look at what is pending after so long, and not when it was planned; 0 for never."""
        self._idle_looks = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wait:
            self._timer = self._timers.at(self._timers.now + wait, self._look)

    def _watch_delivered(self, seq: int) -> None:
        """Have a message that was delivered come again when its time is up."""
        if seq not in self.pending or not self.config.ack_wait:
            return
        self._resume_looks()
        wait = (self._wait(seq) or self.config.ack_wait) + AFTER_REQUEST
        if self._timer is None or self._timer.due > self._timers.now + wait:
            self._look_in(wait)

    def _wait(self, seq: int, later: int = 0) -> int:
        """How long a delivery may take; `later`: what holds so many deliveries later."""
        backoff = self.config.backoff
        if not backoff:
            return self.config.ack_wait
        return backoff[min(self._repeats.get(seq, 0) + later, len(backoff) - 1)]

    def _look(self) -> None:
        """Look at what is pending: its time may be up."""
        self._timer = None
        if not self.config.ack_wait:
            return
        now = self._timers.now
        stalled = self._stalled
        gone = self._drop_gone()
        late = {seq for seq in self.pending if self._left_of(seq) <= 0}
        looks = self._next_look(late)
        over = sorted(seq for seq in late if seq not in self._again)
        over = [seq for seq in over if not self._is_used_up(seq)]
        # From now on it counts anew; those that follow keep their distance.
        shift = now - self.pending[over[0]].time if over else 0
        for seq in over:
            self.pending[seq].time += shift
            self._again[seq] = None
        if over or stalled:
            self.wake()
        if not self.pending:
            self._again.clear()
            self._floor = self._delivered
        elif over or self.pending.keys() - late:
            self._look_in(looks)
        elif looks:
            # Nothing will be found until something else happens: so time may jump.
            self._idle_looks = (now + looks, looks)
        if gone:
            self._write_down()

    def _left_of(self, seq: int) -> int:
        """How long the time of a message is not yet up."""
        return self.pending[seq].time + self._wait(seq) - self._timers.now

    def _next_look(self, late: set[int]) -> int:
        """In how many nanoseconds nats-server looks again; `late` are those whose time is up."""
        backoff = self.config.backoff
        waits = [backoff[-1] if backoff else self.config.ack_wait]
        waits += [self._left_of(seq) for seq in self.pending if seq not in late]
        if backoff:
            waits += [self._wait(seq, 1) for seq in self.pending]
        return min(waits)

    def _drop_gone(self) -> bool:
        """Let go of what is before the stream, or below the floor; whether there was any."""
        first, (delivery, floor) = self.stream.store.first, self._floor
        gone = [seq for seq in self.pending if seq < first or seq <= floor]
        for seq in gone:
            delivery, floor = max(delivery, self.pending[seq].delivery), max(floor, seq)
            self._forget(seq)
        self._floor = (delivery, floor)
        return bool(gone)

    def _resume_looks(self) -> None:
        """Look again, as something happens that may matter."""
        if self._idle_looks is None:
            return
        due, interval = self._idle_looks
        missed = max(0, -((due - self._timers.now) // interval))
        self._look_in(max(1, due + missed * interval - self._timers.now))

    def _is_used_up(self, seq: int) -> bool:
        """Whether a message had all its deliveries; then it is given up."""
        count = self._deliveries(seq)
        if not 0 < self.config.max_deliver <= count:
            return False
        if count == self.config.max_deliver:
            self._advise_exceeded(seq, count)
        self._give_up(seq, count + 1)
        self._repeats[seq] = count
        return True

    def _watch_pause(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
        if self._paused:
            self._pause_timer = self._timers.at(self.config.paused_until, self._on_pause_over)

    def _on_pause_over(self) -> None:
        self._pause_timer = None
        self._advise_paused()
        self.wake()

    def _watch_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        limit = self.config.inactive_threshold
        if limit:
            due = max(self._active_at + limit, self._timers.now)
            self._idle_timer = self._timers.at(due, lambda: self._on_idle(limit))

    def _on_idle(self, limit: int) -> None:
        self._look_at_requests(at_end=False)
        now = self._timers.now
        if self.waiting or self._bound:
            self._active_at = now
        if now - self._active_at >= limit:
            self._jetstream.delete_consumer(self)
        else:
            self._watch_idle()

    def update(self, config: ConsumerConfig) -> None:
        """Take over a configuration that was checked."""
        before, self.config = self.config, _with_threshold(config)
        if before.paused_until != config.paused_until:
            self._advise_paused()
        if before.filters != config.filters:
            self.recount()
        self._active_at = self._timers.now
        self._resume_looks()
        if before.ack_wait != config.ack_wait and self._timer is not None:
            # nats-server looks a moment later.
            self._look_in(SECOND // 10)
        self._watch_pause()
        self._watch_idle()
        # Nobody is woken by the mere end of a pause, as in nats-server.
        if before.max_ack_pending != config.max_ack_pending or before.filters != config.filters:
            self.wake()

    def restart(self) -> None:
        """The server was restarted: requests are gone, what was delivered is still out."""
        self.waiting.clear()
        self._again.clear()
        self._watch_requests()
        if self.pending and self.config.ack_wait:
            self._look_in(max(1, min(self._left_of(seq) for seq in self.pending)))

    # what it says of itself

    def info(self) -> dict[str, Any]:
        """The answer to a question about it, without the version of the server."""
        if not self.config.is_push:
            self._look_at_requests(at_end=False)
        delivered = self._progress.delivered
        if delivered == (0, 0) and self._only_in_memory:
            delivered = (0, self._next_seq - 1)
        now = self._timers.now
        repeated = 0 if self.config.max_deliver == 1 else len(self._repeats)
        info: dict[str, Any] = {
            "stream_name": self.stream.name,
            "name": self.name,
            "created": show_time(self.created),
            "config": self.config.as_dict(),
            "delivered": _sequence(delivered, self._last_delivery),
            "ack_floor": _sequence(self._progress.floor, self._last_ack),
            "num_ack_pending": len(self.pending),
            "num_redelivered": repeated,
            "num_waiting": len(self.waiting),
            "num_pending": self._left,
        }
        if self._bound:
            info["push_bound"] = True
        if self._paused:
            info |= {"paused": True, "pause_remaining": self.config.paused_until - now}
        return info | {"ts": show_time(now)}

    @property
    def _only_in_memory(self) -> bool:
        return self.config.mem_storage or self.stream.config.storage == "memory"

    def _advise(self, kind: str, what: str, **fields: object) -> None:
        names = {"stream": self.stream.name, "consumer": self.name}
        subject = f"CONSUMER.{what}.{self.stream.name}.{self.name}"
        self._jetstream.advise(kind, subject, names | fields)

    def _advise_paused(self) -> None:
        until = show_time(self.config.paused_until)
        self._advise("consumer_pause", "PAUSE", paused=self._paused, pause_until=until)

    def _advise_exceeded(self, seq: int, deliveries: int) -> None:
        self._advise("max_deliver", "MAX_DELIVERIES", stream_seq=seq, deliveries=deliveries)

    def _advise_naked(self, seq: int, delivery: int, deliveries: int) -> None:
        self._advise(
            "nak", "MSG_NAKED", consumer_seq=delivery, stream_seq=seq, deliveries=deliveries
        )

    def _advise_terminated(self, seq: int, delivery: int, deliveries: int, reason: str) -> None:
        said: dict[str, object] = {"consumer_seq": delivery, "stream_seq": seq}
        said["deliveries"] = deliveries
        if reason:
            said["reason"] = reason
        self._advise("terminated", "MSG_TERMINATED", **said)


def _with_threshold(config: ConsumerConfig) -> ConsumerConfig:
    if config.durable_name or config.inactive_threshold:
        return config
    return msgspec.structs.replace(config, inactive_threshold=INACTIVE_AFTER)


def _sequence(numbers: tuple[int, int], last: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"consumer_seq": numbers[0], "stream_seq": numbers[1]}
    return shown | ({"last_active": show_time(last)} if last else {})


def _duration(nanoseconds: int) -> str:
    if nanoseconds % SECOND:
        return (
            f"{nanoseconds / 10**6:g}ms" if nanoseconds < SECOND else f"{nanoseconds / SECOND:g}s"
        )
    minutes, seconds = divmod(nanoseconds // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
