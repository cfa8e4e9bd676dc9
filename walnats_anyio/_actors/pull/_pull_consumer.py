"""The pull consumer of one actor: from requests for events to deliveries (ADR-37)."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio

from walnats_anyio._actors.declare._actor import Actor
from walnats_anyio._actors.declare._choices import Snooze
from walnats_anyio._actors.pull._budget import RequestBudget, Share
from walnats_anyio._actors.pull._doubles import (
    HEADER_SCHEDULER,
    DelayedDelivery,
    DoneSchedules,
)
from walnats_anyio._actors.pull._doubts import Doubts
from walnats_anyio._actors.pull._due import DueTimes, LeadTimes
from walnats_anyio._actors.pull._early import WAIT_FOR_SLOT, EarlyDeliveries
from walnats_anyio._actors.pull._intake import PENDING, Intake, Meaning, meaning_of
from walnats_anyio._actors.pull._polls import Polls
from walnats_anyio._actors.pull._requests import (
    HEADERS,
    LONGEST_PERIOD,
    Options,
    pull_requests,
    within,
)
from walnats_anyio._actors.settle import (
    Ack,
    Attempts,
    Deliveries,
    Delivery,
    HandBack,
    Origin,
    Outcome,
    Superseded,
)
from walnats_anyio._actors.settle import decide as _decide
from walnats_anyio._events import HEADER_ACTOR, HEADER_DELAY, HEADER_DUE
from walnats_anyio._events._headers import HEADER_RETRY
from walnats_anyio._link import (
    HeaderError,
    Link,
    Message,
    Refusal,
    ServerError,
    Subscription,
    is_ack_subject,
    usual_acks,
)
from walnats_anyio._link.protocol._parser import MAX_MESSAGE

PENDING_BYTES = PENDING.encode()
PENDING_NUMBER = re.compile(r"[0-9]{1,18}")
"""A number of events in a header; a stranger may send anything."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """An event has waited in the server."""

    seconds: float
    """How long it is to be held here, until it is due."""

    schedule: str
    """What identifies it; empty where somebody has made it up."""


PAUSE = 1.0
"""Seconds without requests when the server does not want any."""


class PullConsumer:
    """Asks for the events of one actor, and gives on what comes.

    Never waits: everything here is called by the reader of the link, by workers and by the clock.
    """

    hand_back: Callable[[Delivery, Outcome], object]
    """Hand back a delivery that still waits for a worker."""

    _at_next: Callable[[], None] | None = None
    """What is called when the next event comes, once."""

    def __init__(
        self,
        actor: Actor[Any, Any],
        link: Link,
        options: Options,
        *,
        deliveries: Deliveries,
        attempts: Attempts,
        budget: RequestBudget,
        share: Share,
        polls: Polls,
        slots: int,
        max_bytes: int,
        put: Callable[[Delivery], None],
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        changed: Callable[[], None],
        failed: Callable[[Exception], None],
        look: Callable[[], None],
        hung: Callable[[], bool] | None,
    ) -> None:
        self.actor = actor
        self.finished = False
        """Whether its burst is over."""
        self.doubts = Doubts(actor.name, actor.ack_wait)
        self._due = DueTimes(actor.name)
        self._leads = LeadTimes()
        self._early = EarlyDeliveries(start, self._on_due)
        self._done = DoneSchedules()
        self._usual_acks = usual_acks(actor.event.stream_name, actor.consumer_name)
        self._link = link
        self._options = options
        self._deliveries = deliveries
        self._attempts = attempts
        self._budget = budget
        self._share = share
        self._polls = polls
        self._put = self._given_on = self._give_on = put
        self._changed, self._start = changed, start
        self._failed = failed
        self._look = look
        self._hung = hung
        self._intake = Intake(
            slots,
            options.batch,
            one_at_a_time=options.burst,
        )
        self._subscription: Subscription | None = None
        self._silent = self._uncounted = 0.0
        self._silence = options.silence
        self._heard_at = self._paused_at = link.now()
        self._max_bytes = max(link.max_payload + HEADERS, max_bytes)
        # How many events had come by then: whether any has come since shows in the intake.
        self._taken_at_tick = self._taken_at_request = self._taken_at_rest = 0
        self._taken_at_doubt = 0
        self._wait_until = 0.0
        self._held_up = False
        self._paused = False
        self._earlier: list[Subscription] = []
        """Subscriptions from before a pause: what is under way to them is handed back."""
        deliveries.released = self._released

    @property
    def stopped(self) -> bool:
        """Whether nothing more is taken."""
        return self._intake.stopped

    @property
    def requested(self) -> int:
        """Events asked for that have not come."""
        return self._intake.asked

    # the connection

    def start(self) -> None:
        """Subscribe and ask for the first events."""
        self._subscribe()
        self._intake.connected = self._link.connected
        self._link.watch(self)
        # A request may expire a moment early.
        self._wait_until = self._link.now() + self._options.poll_delay * 0.9
        self.request()

    def _subscribe(self) -> None:
        """Have a new inbox, and ask from there."""
        self._subscription = self._link.subscribe(self._on_message)
        self.apply_terms()

    def pause(self) -> None:
        """Take no events until `resume_from_pause`; the server gives them to other processes.

        There is nothing for a burst then.
        """
        if self._paused:
            return
        self._paused = True
        self._intake.refuse(True)
        self.finished = self._options.burst
        if self._subscription is not None and not self.stopped:
            # Without anybody to hear an answer the server drops the requests that wait there.
            self._link.end(self._subscription)
            self._earlier.append(self._subscription)
            self._lost()
        self._hand_back_early(Outcome.STOPPED)

    def resume_from_pause(self) -> None:
        """Take events again."""
        if not self._paused:
            return
        self._paused = self.finished = False
        self._intake.refuse(self._held_up)
        if self._subscription is not None and not self.stopped:
            self._subscribe()
            self.request()

    def apply_terms(self) -> None:
        """Ask from now on within what the consumer on the server allows."""
        assert self._subscription is not None
        largest = self._link.max_payload + HEADERS
        options = replace(self._options, max_bytes=self._max_bytes, largest=largest)
        options = within(options, self.doubts.terms)
        self._intake.set_batch(options.batch)
        self._silence = options.silence
        inbox, prefixes = self._subscription.subject, self._link.prefixes
        self._request = pull_requests(self.actor, inbox, options, prefixes)

    def resize(self, slots: int) -> None:
        """Hold so many events at most from now on; what is here already, or asked for, stays."""
        grown = slots + len(self._early) > self._intake.slots
        self._intake.resize(slots + len(self._early))
        if grown and self._subscription is not None:
            self.request()

    def stop(self) -> None:
        """Take nothing more."""
        if self._intake.stopped:
            return
        self._intake.stop()
        self._polls.withdraw(self)
        self._budget.withdraw(self._share)
        if self._subscription is not None:
            self._link.end(self._subscription)
        self._hand_back_early(Outcome.STOPPED)

    def close(self) -> None:
        """Forget the subscription."""
        self._link.unwatch(self)
        for subscription in (*self._earlier, self._subscription):
            if subscription is not None:
                self._link.forget(subscription)

    def hold_up(self) -> None:
        """Take nothing for a while; what still comes is handed back."""
        self._held_up = True
        self._intake.refuse(True)
        self._hand_back_early(Outcome.REFUSED)

    def resume(self) -> None:
        """Take events again."""
        self._held_up = False
        self._intake.refuse(self._paused)
        if not self.stopped:
            self.request()

    def on_disconnect(self) -> None:
        self._intake.connected = False
        self._lost()

    def on_reconnect(self) -> None:
        self._intake.connected = True
        self.request()

    def on_close(self) -> None:
        if self._link.closed is not None:
            self._failed(self._link.closed)

    def on_refusal(self, refusal: Refusal) -> None:
        """The server does not let us do something; perhaps what this actor lives on."""
        self._attempts.on_refusal(refusal)
        subject = refusal.subject or ""
        mine = f".{self.actor.event.stream_name}.{self.actor.consumer_name}"
        asking = subject.endswith(f".CONSUMER.MSG.NEXT{mine}")
        acknowledging = subject.startswith("$JS.ACK.") and f"{mine}." in subject
        own = self._subscription
        receiving = refusal.operation == "subscribe" and (
            not subject or (own is not None and subject == own.subject.decode())
        )
        if asking or acknowledging or receiving:
            self._failed(ServerError(f"actor {self.actor.name!r}: {refusal}"))

    # asking for events

    def request(self) -> None:
        """Ask the server for as many events as there is room for."""
        intake = self._intake
        if self._held_up or self._paused:
            return
        if self._hung is not None and self._hung():
            self._ask_later()
        share = self._share
        if intake.taken > self._taken_at_rest:
            share.busy = True
        while room := intake.room(share.most(self._held)):
            if self.finished or not self._polls.take(self):
                return
            intake.ask(room)
            self._silent = 0.0
            self._taken_at_request = intake.taken
            self._link.post_transient(self._request(room, not intake.taken))
        share.asked(intake.asked)
        if not intake.asked and self._budget.room <= 0:
            self._budget.call_later(share, self.request)

    @property
    def _held(self) -> int:
        """Deliveries that have a worker, or wait for one."""
        return self._intake.held - len(self._early)

    def _ask_later(self) -> None:
        """Ask for nothing until the clock has it asked again, in `PAUSE` seconds at least."""
        self._intake.paused = True
        self._paused_at = self._link.now()
        self._wake_clock()

    def _answered(self) -> None:
        """Nothing is asked for any more: others may have their turn."""
        self._share.asked(self._intake.asked)
        if not self._intake.asked:
            self._polls.give_back(self)

    def _lost(self) -> None:
        self._intake.lost()
        self._answered()

    # receiving, called by the reader of the link

    def _on_message(self, message: Message) -> None:
        # The hot path: what other classes could do in calls of their own stands here, as
        # those would cost 4 % of an event.
        reply = message.reply
        if not reply:
            self._on_status(message)
            return
        # To take apart every reply subject would cost 0.3 us of the 5 us of an event.
        redelivered = not reply.startswith(self._attempts.first)
        if redelivered:
            if not self._is_delivery(reply):
                return
            redelivered = not self._attempts.is_first(reply)
        intake = self._intake
        if intake.taken < intake.take_until:
            intake.taken += 1
        elif not self._take(message):
            return
        if message.header and (special := self._look_at(message)) is not None:
            self._on_special(message, special)
        else:
            self._budget.held += 1
            deliveries = self._deliveries
            delivery = Delivery(deliveries, message, deliveries.tick, redelivered)
            deliveries.held[delivery] = None
            self._put(delivery)
        if intake.taken == intake.due:
            self._on_all_come()

    def _take(self, message: Message) -> bool:
        """Take an event that was not asked for, or is not wanted now; False: it was handed back."""
        intake = self._intake
        if not intake.take():
            self._turn_away(message, Outcome.STOPPED if intake.stopped else Outcome.REFUSED)
            return False
        if not intake.refusing:
            return True
        intake.let_go()
        self._turn_away(message, Outcome.STOPPED if self._paused else Outcome.REFUSED)
        if not intake.asked:
            self._on_all_come()
        return False

    def _on_all_come(self) -> None:
        """All that was asked for has come."""
        self._intake.update()
        self._answered()
        self.request()

    def _turn_away(self, message: Message, outcome: Outcome) -> None:
        self._deliveries.turn_away(message, _turned_away(outcome))

    def _is_delivery(self, reply: bytes) -> bool:
        """Whether it is a delivery of our consumer, and no message of a stranger's."""
        if self._usual_acks.fullmatch(reply) is not None:
            return True
        return is_ack_subject(reply, self.actor.event.stream_name, self.actor.consumer_name)

    def _on_special(
        self, message: Message, special: Ack | HandBack | Superseded | Origin | Delayed
    ) -> None:
        deliveries = self._deliveries
        if isinstance(special, Delayed):
            self._on_delayed(message, special)
            return
        if not isinstance(special, Origin):
            self._intake.let_go()
            deliveries.turn_away(message, special)
            return
        # As a retry it is looked up before it is run.
        delivery = Delivery(
            deliveries, message, deliveries.tick, redelivered=True, attempt=special.attempts + 1,
            deaths=special.deaths, origin=special,
        )  # fmt: skip
        self._hold(delivery)

    def _hold(self, delivery: Delivery) -> None:
        """The same as for any event in `_on_message`."""
        self._budget.held += 1
        self._deliveries.held[delivery] = None
        self._put(delivery)

    def _on_delayed(self, message: Message, delayed: Delayed) -> None:
        """Have an event run, perhaps in a moment; others may have its slot meanwhile."""
        deliveries = self._deliveries
        redelivered = not self._attempts.is_first(message.reply)
        delivery = DelayedDelivery(
            deliveries, message, deliveries.tick, redelivered, done=self._done,
            schedule=delayed.schedule,
        )  # fmt: skip
        if not delayed.seconds:
            self._hold(delivery)
            return
        deliveries.held[delivery] = None
        self._wake_clock()  # it is prolonged as what runs
        # It is counted as held, so one slot more leaves as many to others.
        self._intake.resize(self._intake.slots + 1)
        self._early.hold(delivery, delayed.seconds)

    def _look_at(self, message: Message) -> Ack | HandBack | Superseded | Origin | Delayed | None:
        """Whether an event is special.

        Returns:
            A verdict: it is not to be run now, as it is for another actor, has come without its
            payload, is not due yet, or has come before. An origin: it is a copy that has waited for
            its retry. A `Delayed`: it has waited in the server. None: an event like any other.
        """
        try:
            headers = message.headers
        except HeaderError:
            return None  # the job finds out, and the event is given up
        if headers.get(HEADER_ACTOR, self.actor.name) != self.actor.name:
            return _turned_away(Outcome.FOREIGN)
        if self.doubts.stripped(headers, message.data):
            return _turned_away(Outcome.REFUSED)
        if HEADER_RETRY in headers and HEADER_ACTOR in headers:
            origin = Origin.of(headers[HEADER_RETRY])
            if origin is not None:
                return origin  # it was due before it was tried
        if HEADER_DUE in headers:
            return self._look_at_delayed(message, headers)
        if HEADER_DELAY in headers:
            left = self._due.seconds_left(headers[HEADER_DELAY], self._link.wall())
            if left:
                return _turned_away(Outcome.EARLY, Snooze(left))
        return None

    def _look_at_delayed(
        self, message: Message, headers: dict[str, str]
    ) -> Ack | HandBack | Superseded | Delayed:
        """What becomes of an event that has waited in the server."""
        schedule = headers.get(HEADER_SCHEDULER, "")
        if schedule in self._done:
            return _turned_away(Outcome.SUPERSEDED)
        left = self._lead_of(message, headers[HEADER_DUE])
        if left and not self._may_hold(message, left):
            return _turned_away(Outcome.EARLY, Snooze(left))
        return Delayed(left, schedule)

    def _may_hold(self, message: Message, seconds: float) -> bool:
        """Whether an event can be held here until it is due; a burst is not to wait."""
        if self._options.burst or not self._early.has_room(message):
            return False
        # Without a pulse it would come again meanwhile.
        return self.actor.pulse or seconds <= self.actor.ack_wait / 4

    def _lead_of(self, message: Message, moment: str) -> float:
        """Seconds until an event is due that its stream has got a moment before."""
        try:
            stored = message.metadata.timestamp.timestamp()
        except (ValueError, OverflowError):
            return 0.0  # of a stranger
        return self._leads.seconds_left(moment, stored, self._link.now(), self._link.wall())

    def _on_due(self, delivery: Delivery, last: bool) -> bool:
        """Have an event run that is due now; see `EarlyDeliveries`."""
        is_full = self._intake.held >= self._intake.slots
        if is_full and not last:
            return False
        self._early_ends()
        if is_full:
            # Another process may have a slot.
            self._settle_early(delivery, Outcome.STOPPED)
        else:
            self._put(delivery)
            self._look_for_excess()
        return True

    def _look_for_excess(self) -> None:
        """What was held early has a slot that an event was asked for: look at those that come.

        That costs the others nothing, as with `call_at_next`.
        """
        intake = self._intake
        if intake.asked + intake.held > intake.slots and self._at_next is None:
            self._put = self._given_on = self._put_excess

    def _put_excess(self, delivery: Delivery) -> None:
        """Have an event handled, and handed back soon where no slot gets free for it.

        It would wait for as long as a job takes, though another process may have a slot.
        """
        intake = self._intake
        if intake.held > intake.slots:
            self._start(partial(self._give_up_excess, delivery))
        elif intake.asked + intake.held <= intake.slots:
            self._put = self._given_on = self._give_on
        self._give_on(delivery)

    async def _give_up_excess(self, delivery: Delivery) -> None:
        await anyio.sleep(WAIT_FOR_SLOT)
        if self._intake.held > self._intake.slots:
            self.hand_back(delivery, Outcome.STOPPED)

    def cancel_early(self, delivery: Delivery) -> bool:
        """Cancel a delivery that is held until it is due; False: it is not."""
        if not self._early.take_out(delivery):
            return False
        self._early_ends()
        self._settle_early(delivery, Outcome.CANCELLED)
        return True

    def _hand_back_early(self, outcome: Outcome) -> None:
        for delivery in self._early.drain():
            self._early_ends()
            self._settle_early(delivery, outcome)

    def _settle_early(self, delivery: Delivery, outcome: Outcome) -> None:
        delivery.settle(_decide(outcome))  # type: ignore[arg-type]  # none of them makes a letter

    def _early_ends(self) -> None:
        """An event is not held any more until it is due, so it counts like any other."""
        self._intake.resize(self._intake.slots - 1)
        self._budget.held += 1

    def _released(self) -> None:
        """A delivery is settled. The hot path, like `_on_message`."""
        intake, budget = self._intake, self._budget
        intake.done += 1
        budget.held -= 1
        if budget.starved:
            budget.feed()
        # Nearly always something is asked for and too little is free for more: to find that out
        # here saves a tenth of an event. At the end nothing is asked for.
        if intake.done >= intake.ask_from:
            self.request()
            if self.finished or intake.stopped:
                self._changed()

    def _on_status(self, message: Message) -> None:
        try:
            code, description = message.status
            # A heartbeat has no headers but those of its status. To read them took half of the CPU
            # of an actor that is idle.
            pending = message.headers.get(PENDING, "") if PENDING_BYTES in message.header else ""
        except HeaderError:
            return  # of a stranger
        if not code:
            return
        self._heard_at = self._link.now()  # at least: events are not noted, see `may_sleep`
        meaning = meaning_of(code, description)
        self._look_for_events()
        self.doubts.status(meaning, code, description)
        self._taken_at_doubt, self._silent = self._intake.taken, 0.0
        self._intake.status(meaning, int(pending) if PENDING_NUMBER.fullmatch(pending) else None)
        self._answered()
        match meaning:
            case Meaning.ALIVE | Meaning.COMPLETED | Meaning.NOTHING:
                return
            case Meaning.LATER | Meaning.UNKNOWN:
                self._ask_later()
            case Meaning.DELETED | Meaning.REFUSED:
                # A stranger may say so, or it may only be about what was asked for: the server is
                # asked, and until then nothing more.
                self._ask_later()
                self._look()
            case Meaning.EMPTY | Meaning.EXPIRED if self._options.burst:
                self._on_nothing()
            case Meaning.EXPIRED:
                self._share.rest()
                self._taken_at_rest = self._intake.taken
                # Of two requests that wait, the second one then asks for what both did: each costs
                # a heartbeat and a request again and again while there is nothing to do.
                if self._intake.asked * 2 < self._intake.slots:
                    self.request()
            case Meaning.TOO_LARGE:
                self._on_too_large()
                self.request()
            case _:
                self.request()

    def _on_nothing(self) -> None:
        """There is nothing more for a burst, unless the first event may still be waited for.

        One request waits for a part of `poll_delay` only, where `ack_wait` is short.
        """
        if not self._intake.taken and self._link.now() < self._wait_until:
            self.request()
        else:
            self.finished = True
            self._intake.lost()
            self._changed()

    def _on_too_large(self) -> None:
        """The next event is larger than what the request has left.

        So events are large, and may be as large as the server takes them. If nothing came before,
        it is one from a time when the server took larger ones.
        """
        came = self._intake.taken > self._taken_at_request
        if not came and self._max_bytes < 2 * MAX_MESSAGE:
            self._max_bytes *= 2
            self.apply_terms()
        self._intake.limit(max(1, self._max_bytes // (self._link.max_payload + HEADERS)))

    # the clock

    def tick(self, seconds: float) -> None:
        """Notice a server that has fallen silent, and end pauses."""
        intake = self._intake
        self._look_for_events()
        # The clock may have slept until the status came.
        if (problem := self.doubts.tick(min(seconds, LONGEST_PERIOD))) is not None:
            self._failed(problem)
        if not self._silent:
            # It may have been asked or heard of just before this round, so that proves nothing.
            self._uncounted = seconds
        self._silent += seconds
        if intake.asked and self._silent - self._uncounted > self._silence:
            self._silent = 0.0
            self._lost()
            self.request()
        if intake.paused and self._link.now() - self._paused_at >= PAUSE:
            intake.resume()
            self.request()

    def _look_for_events(self) -> None:
        """Take note of events that have come since this was called last."""
        taken = self._intake.taken
        if taken > self._taken_at_tick:
            self._taken_at_tick, self._silent = taken, 0.0
        if taken > self._taken_at_doubt:
            self.doubts.unknown = ""

    def may_sleep(self, period: float) -> float:
        """Seconds that the clock need not look, as long as no event comes; 0 where it has to.

        Args:
            period: seconds between two looks otherwise.
        """
        self._look_for_events()
        if self._intake.paused or self.doubts.unknown or self._options.burst:
            return 0.0
        return self._heard_at + self._silence + period - self._link.now()

    def call_at_next(self, call: Callable[[], None]) -> None:
        """Call it when the next event comes, once; it costs the others nothing."""
        self._at_next = call
        self._put = self._put_first

    def call_no_more(self) -> None:
        """Take back `call_at_next`."""
        self._at_next = None
        self._put = self._given_on

    def _put_first(self, delivery: Delivery) -> None:
        self._wake_clock()
        self._put(delivery)

    def _wake_clock(self) -> None:
        """Something is held again, or the clock has to ask again: it begins with its rounds."""
        call = self._at_next
        self.call_no_more()
        if call is not None:
            call()


def _turned_away(outcome: Outcome, error: Exception | None = None) -> Ack | HandBack | Superseded:
    """What becomes of an event that is not to be run here, or not now."""
    verdict = _decide(outcome, error)
    assert isinstance(verdict, Ack | HandBack | Superseded)
    return verdict
