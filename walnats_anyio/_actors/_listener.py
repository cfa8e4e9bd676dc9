"""One actor while it listens: from the server's delivery to the verdict."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import anyio

from walnats_anyio._actors._attempts import Attempts
from walnats_anyio._actors._doubts import Doubts
from walnats_anyio._actors._endings import Endings
from walnats_anyio._actors._intake import PENDING, Intake, Meaning, meaning_of
from walnats_anyio._actors._job import Jobs
from walnats_anyio._actors._requests import pull_requests, within
from walnats_anyio._actors._slot import Slot
from walnats_anyio._actors._slots import Share
from walnats_anyio._actors._summary import Counts
from walnats_anyio._actors._verdict import Ack, Nak, Term, in_words
from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._events import HEADER_ACTOR
from walnats_anyio._link import (
    ConsumerConfigError,
    HeaderError,
    Message,
    Refusal,
    ServerError,
    Subscription,
    is_ack_subject,
    pub,
)

if TYPE_CHECKING:
    from walnats_anyio._actors._listen import Listening

REFUSED_DELAY = 1.0
"""Seconds until an event that came in excess of the slots comes again."""

PAUSE = 1.0
"""Seconds without requests when the server does not want any."""

UNSTARTED_TICKS = 2
"""Rounds of the clock, at most a quarter of `ack_wait` each, that an event without pulse waits."""


class Listener:
    """Receives the events of one actor and has its slots handle them."""

    def __init__(self, actor: Actor[Any, Any], host: Listening, *, alone: bool) -> None:
        self.actor = actor
        self.slots = host.slots
        self.attempts = Attempts(actor, host.link)
        self._later = self.attempts.later
        self.jobs = Jobs(actor, host.executors, self.attempts, self.suspending)
        self.new_spot = host.link.new_spot
        self.parked: list[Slot] = []
        self.held: dict[bytes, int] = {}
        """Reply subjects of the events held, waiting or running, with the tick they came in."""
        self.done = 0
        """Jobs whose handler returned; the other ends are in `counts`."""
        self.counts = Counts()
        self.finished = False
        """Whether its burst is over."""
        self.limiter = anyio.CapacityLimiter(actor.max_jobs)
        self.handicap = actor.priority.value
        self.waiting_since = 0.0
        self._host = host
        self._link = host.link
        self._options = options = host.options
        self.endings = Endings(self, host.link, burst=options.burst)
        self._waiting: deque[Message] = deque()
        self._intake = Intake(
            min(actor.max_jobs, host.slots.total), options.batch, one_at_a_time=options.burst
        )
        self._mailbox: Subscription | None = None
        self._called = 0
        self._tick = 0
        self._silent = 0.0
        self._received_any = False
        self._share = Share(host.slots, alone=alone, eager=options.burst)
        self.doubts = Doubts(actor.name, actor.ack_wait)

    # the connection

    async def start(self) -> None:
        """Subscribe and ask for the first events."""
        self._mailbox = self._link.subscribe(self._deliver)
        self._options = options = within(self._options, self.doubts.terms)
        self._intake.batch = options.batch
        self._request = pull_requests(self.actor, self._mailbox.subject, options)
        self._intake.connected = self._link.connected
        self._link.watch(self)
        self.ask()

    def stop(self) -> None:
        """Take no more events, and hand back those that have not been started."""
        if self._intake.stopped:
            return
        self._intake.stop()
        self._host.polls.withdraw(self)
        self.slots.withdraw(self)
        if self._mailbox is not None:
            self._link.end(self._mailbox)
        while self._waiting:
            self.hand_back(self._waiting.popleft().reply)

    async def close(self) -> None:
        """Forget the subscription."""
        self._link.unwatch(self)
        if self._mailbox is not None:
            self._link.forget(self._mailbox)

    def on_disconnect(self) -> None:
        self._intake.connected = False
        self._lost()

    def on_reconnect(self) -> None:
        self._intake.connected = True
        self.ask()

    def on_close(self) -> None:
        if self._link.closed is not None:
            self._host.failed(self._link.closed)

    def on_refusal(self, refusal: Refusal) -> None:
        """The server does not let us do something; perhaps what this actor lives on."""
        subject = refusal.subject or ""
        mine = f".{self.actor.event.stream_name}.{self.actor.consumer_name}"
        asking = subject.endswith(f".CONSUMER.MSG.NEXT{mine}")
        acknowledging = subject.startswith("$JS.ACK.") and f"{mine}." in subject
        mailbox = self._mailbox
        if refusal.operation == "subscribe":
            receiving = not subject or (mailbox is not None and subject == mailbox.subject.decode())
        else:
            receiving = False
        if asking or acknowledging or receiving:
            self._host.failed(ServerError(f"actor {self.actor.name!r}: {refusal}"))

    # asking for events

    def ask(self) -> None:
        """Ask the server for as many events as there is room for."""
        intake, slots = self._intake, self.slots
        intake.paused |= self._host.executors.hung(self.actor.execute_in)  # the clock asks again
        while room := intake.room(self._share.most()):
            if self.finished or not self._host.polls.take(self):
                return
            intake.ask(room)
            self._silent = 0.0
            self._link.post_transient(self._request(room, not self._received_any))
        self._share.asked(intake.asked)
        if not intake.asked and slots.room <= 0:
            slots.ask_later(self, self.ask)

    def _answered(self) -> None:
        """Nothing is asked for any more: others may have their turn."""
        self._share.asked(self._intake.asked)
        if not self._intake.asked:
            self._host.polls.give_back(self)

    def _lost(self) -> None:
        self._intake.lost()
        self._answered()

    # receiving, in nats-py's loop

    def _deliver(self, received: Message) -> None:
        reply = received.reply
        self._silent = 0.0
        if not reply:
            self._status(received)
            return
        if not reply.startswith(self.attempts.first) and not self._is_delivery(reply):
            return
        if not self._intake.take():
            self._refuse(reply)
            return
        self._received_any = self._share.busy = True
        self.doubts.unknown = ""
        if received.header and self._set_aside(received):
            self._intake.let_go()
        else:
            self.slots.hold()
            self.held[reply] = self._tick
            self._waiting.append(received)
            if not self._called:
                self.slots.call(self)
        if not self._intake.asked:
            self._answered()
            self.ask()

    def _is_delivery(self, reply: bytes) -> bool:
        """Whether it is a delivery of our consumer, and no message of a stranger's."""
        return is_ack_subject(reply, self.actor.event.stream_name, self.actor.consumer_name)

    def _set_aside(self, received: Message) -> bool:
        """Answer an event that is not to be run: one for another actor, or without its payload."""
        try:
            headers = received.headers
        except HeaderError:
            return False  # the job finds out, and gives the event up
        if headers.get(HEADER_ACTOR, self.actor.name) != self.actor.name:
            self._link.post(pub(received.reply, b""))
        elif self.doubts.stripped(headers, received.data):
            self._refuse(received.reply)
        else:
            return False
        return True

    def _refuse(self, reply: bytes) -> None:
        """Have an event delivered again in a while, or at once where this is the end."""
        delay = 0.0 if self._intake.stopped else REFUSED_DELAY
        self._link.post(self.attempts.note(reply))
        self._link.post(pub(reply, in_words(Nak(delay))))

    def _status(self, received: Message) -> None:
        try:
            code, description = received.status
            pending = received.headers.get(PENDING, "")
        except HeaderError:
            return  # of a stranger
        if not code:
            return
        self.doubts.status(meaning := meaning_of(code, description), code, description)
        self._intake.status(meaning, int(pending) if pending.isdecimal() else None)
        self._answered()
        match meaning:
            case Meaning.ALIVE | Meaning.NOTHING | Meaning.LATER | Meaning.UNKNOWN:
                return
            case Meaning.DELETED | Meaning.REFUSED:
                self._host.failed(ConsumerConfigError(self.doubts.refusal(meaning, description)))
            case Meaning.EMPTY | Meaning.EXPIRED if self._options.burst:
                self.finished = True
                self._host.settled()
            case Meaning.EXPIRED:
                self._share.rest()
                self.ask()
            case _:
                self.ask()

    # slots

    def call_slot(self) -> Slot:
        """A slot to run the next event, parked or new; see `Slots.call`."""
        self._called += 1
        event = self._waiting.popleft() if self._waiting else None
        if self.parked:
            slot = self.parked.pop()
            slot.wake(event)
            return slot
        slot = Slot(self, event)
        self._host.spawn(slot)
        return slot

    def next_for(self, slot: Slot) -> Message | None:
        """The next event for a slot; None: it has given its tokens back."""
        if slot.called:
            slot.called = False
            self._called -= 1
            if slot.current is not None:
                return slot.current
        if self._waiting and not self.slots.must_yield(self):
            return self._waiting.popleft()
        self.release(slot)
        self.suspending()
        return None

    def release(self, slot: Slot) -> None:
        """A slot has nothing to run, or gives way: its tokens go to others."""
        slot.active = False
        self.slots.release(self, slot)
        if self.finished or self._intake.stopped:
            self._host.settled()

    def suspending(self) -> None:
        """A handler waits for something: let others start, two of them so that soon all do."""
        if self._waiting and self.slots.call(self) and self._waiting:
            self.slots.call(self)

    # the end of a job

    def handled(self, received: Message) -> None:
        """The handler has returned: the event is done with."""
        reply = received.reply
        if reply in self.held:
            self._link.post(b"PUB %b 0\r\n\r\n" % reply)
            self.done += 1
            self.let_go(reply)

    def let_go(self, reply: bytes) -> None:
        """The server has been told of an event, once: it is not held any more."""
        del self.held[reply]
        if self._later:
            self._later.pop(reply, None)
        self._intake.let_go()
        self.slots.let_go()
        self.ask()

    def say(self, reply: bytes, verdict: Ack | Nak | Term) -> None:
        """Tell the server what becomes of an event, unless it has been told."""
        if reply in self.held:
            self._link.post(pub(reply, in_words(verdict)))
            self.let_go(reply)

    def hand_back_all(self) -> None:
        """Give every event that is not done with back to the server, to be delivered at once."""
        for reply in list(self.held):
            self.hand_back(reply)

    def hand_back(self, reply: bytes) -> None:
        """Give an event that is not done with back to the server, to be delivered at once."""
        if reply in self.held:
            self.counts.handed_back += 1
            self._link.post(self.attempts.note(reply))
            self.say(reply, Nak(0.0))

    # the clock

    def tick(self, seconds: float) -> None:
        """Prolong what is held, and notice a server that has fallen silent."""
        tick = self._tick = self._tick + 1
        if self.actor.pulse and self._intake.connected:
            post = self._link.post_transient
            for reply, since in self.held.items():
                # What came since the last tick has most of its `ack_wait` left.
                if since < tick - 1:
                    post(b"PUB %b 4\r\n+WPI\r\n" % reply)
        elif not self.actor.pulse:
            self._hand_back_unstarted()
        if (problem := self.doubts.tick(seconds)) is not None:
            self._host.failed(problem)
        intake = self._intake
        self._silent += seconds
        # It may have been asked or heard of just before this tick, so one of them proves nothing.
        if intake.asked and self._silent - seconds > self._options.silence:
            self._silent = 0.0
            self._lost()
            self.ask()
        if intake.paused and self._silent >= PAUSE:
            intake.resume()
            self.ask()

    def _hand_back_unstarted(self) -> None:
        """Give back what waits for a shared slot while its `ack_wait` runs out."""
        waiting = self._waiting
        while waiting and self.held[waiting[0].reply] <= self._tick - UNSTARTED_TICKS:
            self.hand_back(waiting.popleft().reply)
            if not waiting:
                self.slots.withdraw(self)
                self.ask()
