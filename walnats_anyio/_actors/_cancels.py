"""Cancelling events that this process holds, when a message says so.

Theory of operation. One subscription for all actors of a `listen`. A message names one event (see
`Control`), and whoever holds the event cancels it: a handler that runs is cancelled, as by its
`job_timeout`, and one that has not begun never does. Nothing is kept for that while events come and
go: what is held is looked through when a message has come. Messages that come together are looked
for together, as a caller that is cancelled may have had ten thousand requests.

The caller of a request may leave before its event has come here. So callers that have left are
remembered, and a job asks whether its caller is one of them before it starts.

A message that has a reply subject is answered by whoever holds the event, at once and when that is
settled. The caller of a request may also ask for its answer once more, which it may have lost.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio
import msgspec

from walnats_anyio._actors._actor_run import ActorRun
from walnats_anyio._actors.settle import (
    Callers,
    Delivery,
    HandBack,
    Nak,
    Postponed,
    first_place,
    place_of,
)
from walnats_anyio._events import Control, Held, read_control, subject_of, uid_in
from walnats_anyio._link import HeaderError, Link, Message, Subscription, pub

LOOK_EVERY = 0.002
"""Seconds between looks whether what was cancelled is settled, where somebody waits for that.

One that ends as cancelled is looked at once; it may also return, or be a dead letter by now.
"""

FEW = 16
"""So many `uid`s are searched for in headers that are not read."""

AGAIN = (HandBack, Nak, Postponed)
"""Verdicts after which an event comes again, as it had failed before it was cancelled."""

ANSWER_WITHIN = 60.0
"""Seconds after which nobody waits for that any more."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A message that has come."""

    stream: bytes
    control: Control
    reply: bytes


@dataclass(frozen=True, slots=True)
class _Cancelled:
    """An event that was cancelled, and whose end somebody waits for."""

    delivery: Delivery
    reply: bytes
    held: Held
    give_up_at: float


class Cancels:
    """Cancels what one run of `listen` holds."""

    def __init__(self, link: Link, runs: Sequence[ActorRun], callers: Callers) -> None:
        self._link = link
        self._runs = runs
        self._callers = callers
        self._streams = {run.on_server.event.stream_name.encode(): run for run in runs}
        self._new: list[_Wanted] = []
        self._ending: list[_Cancelled] = []
        self._spot = link.new_spot()
        self._stopped = False
        self._process = secrets.token_hex(8)
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Hear of what is to be cancelled."""
        for run in self._runs:
            run.deliveries.cancelled = self._spot.wake
        subject = subject_of("*", self._link.prefixes)
        self._subscription = self._link.subscribe_to(subject, self._on_message)

    def stop(self) -> None:
        """Hear of nothing more; nothing is held any more."""
        self._stopped = True
        if self._subscription is not None:
            self._link.forget(self._subscription)
        self._spot.wake()

    def _on_message(self, message: Message) -> None:
        stream = message.subject.rpartition(b".")[2]
        if stream not in self._streams:
            return
        control = read_control(message.data)
        if control is None:
            return
        if control.what == "answer":
            self._callers.answer_again(control.reply)
        else:
            self._new.append(_Wanted(stream, control, message.reply))
            self._spot.wake()

    async def run(self) -> None:
        """Cancel what is asked for, until `stop`; a task of its own."""
        with anyio.CancelScope(shield=True):
            while not self._stopped:
                if not self._new:
                    with anyio.move_on_after(LOOK_EVERY if self._ending else math.inf):
                        await self._spot.wait()
                wanted, self._new = self._new, []
                if wanted:
                    self._cancel_all(wanted)
                self._ending = [each for each in self._ending if not self._tell(each)]

    def _cancel_all(self, wanted: list[_Wanted]) -> None:
        by_key: dict[tuple[bytes, str, object], list[_Wanted]] = {}
        for each in wanted:
            asked = each.control
            if asked.reply:
                self._callers.has_left(asked.reply)
            key: object = asked.reply or asked.uid or asked.sequence
            kind = "reply" if asked.reply else "uid" if asked.uid else "sequence"
            by_key.setdefault((each.stream, kind, key), []).append(each)
        kinds = {kind for _, kind, _ in by_key}
        uids = [key.encode() for _, kind, key in by_key if kind == "uid" and isinstance(key, str)]
        for run in self._runs:
            stream = run.on_server.event.stream_name.encode()
            for delivery in list(run.deliveries.held):
                for kind, key in self._keys_of(run, delivery, kinds, uids):
                    self._cancel(run, delivery, by_key.get((stream, kind, key), ()))

    def _keys_of(
        self, run: ActorRun, delivery: Delivery, kinds: set[str], uids: list[bytes]
    ) -> Iterable[tuple[str, object]]:
        """What the event is named by; only what is asked for, as to read it takes time."""
        if "reply" in kinds and run.callers is not None:
            yield "reply", run.callers.caller_of(delivery).reply
        if "sequence" in kinds:
            first, number = _numbers_of(delivery)
            yield "sequence", number
            if first != number:
                yield "sequence", first
        header = delivery.message.header
        # To search the bytes takes a thirtieth of reading the headers.
        if uids and (len(uids) > FEW or any(uid in header for uid in uids)):
            try:
                yield "uid", uid_in(delivery.message.headers)
            except HeaderError:
                return

    def _cancel(self, run: ActorRun, delivery: Delivery, wanted: Iterable[_Wanted]) -> None:
        for each in wanted:
            actor = each.control.actor
            if delivery.settled is not None or actor not in ("", run.actor.name):
                continue
            was = run.cancel(delivery)
            if each.reply:
                _, number = _numbers_of(delivery)
                held = Held(
                    run.actor.name, was, number, False, self._process, place=first_place(delivery)
                )
                self._link.post(pub(each.reply, msgspec.json.encode(held)))
                give_up_at = self._link.now() + ANSWER_WITHIN
                self._ending.append(_Cancelled(delivery, each.reply, held, give_up_at))

    def _tell(self, each: _Cancelled) -> bool:
        """Answer whoever waits for the end of an event; False if that is still to come."""
        verdict = each.delivery.settled
        if verdict is None:
            return self._link.now() > each.give_up_at
        over = not isinstance(verdict, AGAIN)
        held = msgspec.structs.replace(each.held, settled=True, over=over)
        self._link.post(pub(each.reply, msgspec.json.encode(held)))
        return True


def _numbers_of(delivery: Delivery) -> tuple[int, int]:
    """The number of the event in its stream, and that of the message; of a copy they differ."""
    place, _ = place_of(delivery)
    return int(first_place(delivery).partition("-")[0]), int(place.partition("-")[0])
