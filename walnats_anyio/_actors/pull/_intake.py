"""The intake: how many events to ask the server for, and when. Pure: no clock, no network.

Theory of operation (ADR-37, pull consumer "consume"). A pull request asks for up to `batch` events
and stays at the server until it is fulfilled or expires. The intake counts what is *asked* for and
has not come, and what is *held*: waiting or running. It keeps

    asked + held <= slots

whatever happens, so that no more events are taken than can be run. And as long as a slot is
free it keeps something asked for: at once when nothing is, and again when a part of the slots is
free, rather than with a request for every single slot.

Each request is limited in bytes, but several together are not, and a server cuts a connection off
for which it holds too many. So where a request comes to its limit, events are large, and only so
many are asked for together as are within the limit however large they are. When nothing is asked
for, one request may ask for twice as many, as its own limit holds for all of them; and when all of
them come, so many are asked for together from then on.

What was asked for before a connection was lost may still come, or not. The intake takes it as lost
and asks anew; what comes in excess of the slots is refused, and handed back.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass


class Meaning(enum.Enum):
    """What a status message of the server means for the intake."""

    ALIVE = "a heartbeat: the request is still there"
    EMPTY = "nothing is there, and none was waited for"
    EXPIRED = "the request has ended; what it still asked for will not come"
    COMPLETED = "the request has got all that it asked for"
    TOO_LARGE = "the request has ended, as the next event is larger than the bytes it has left"
    AGAIN = "every request has ended, but new ones are welcome"
    LATER = "too many requests, or nobody to take them: ask again in a while"
    DELETED = "the consumer is gone for good"
    REFUSED = "the consumer does not allow such requests"
    NOTHING = "no status at all: somebody else's message, which says nothing about requests"
    UNKNOWN = "nobody knows: ask again in a while, but not for long"


PENDING = "Nats-Pending-Messages"
"""The header of a status that says how many events its request still asked for."""

STATUSES: tuple[tuple[str, str, Meaning], ...] = (
    ("", "", Meaning.NOTHING),
    ("100", "", Meaning.ALIVE),
    # Statuses about the request itself: the same request gets the same status again.
    ("400", "", Meaning.REFUSED),
    ("404", "", Meaning.EMPTY),
    # Also "Interest Expired", and "Requests Pending": others wait for all that is there.
    ("408", "", Meaning.EXPIRED),
    # Said of requests with a limit of bytes only.
    ("409", "batch completed", Meaning.COMPLETED),
    ("409", "message size exceeds maxbytes", Meaning.TOO_LARGE),
    ("409", "leadership change", Meaning.AGAIN),
    ("409", "server shutdown", Meaning.AGAIN),
    ("409", "exceeded maxwaiting", Meaning.LATER),
    ("409", "consumer deleted", Meaning.DELETED),
    ("409", "consumer is push based", Meaning.REFUSED),
    ("409", "exceeded maxrequestbatch", Meaning.REFUSED),
    ("409", "exceeded maxrequestexpires", Meaning.REFUSED),
    ("409", "exceeded maxrequestmaxbytes", Meaning.REFUSED),
    # A level of the API that requests of this library do not name.
    ("412", "", Meaning.REFUSED),
    # Another client is pinned to the consumer, or the pin has changed.
    ("423", "", Meaning.REFUSED),
    # The client's server: nobody subscribes to the consumer's subject.
    ("503", "", Meaning.LATER),
)
"""What a status means: code, beginning of the description in lower case, meaning; first match.

After ADR-37 and nats-server 2.10 to 2.15 (`processNextMsgRequest`, `nextWaiting` and
`stopWithFlags` of its consumer, and `server shutdown` of its JetStream).
"""


def meaning_of(code: str, description: str) -> Meaning:
    """What a status message means; `UNKNOWN` for what no row of `STATUSES` has."""
    lowered = description.lower()
    for known, beginning, meaning in STATUSES:
        if code == known and lowered.startswith(beginning):
            return meaning
    return Meaning.UNKNOWN


@dataclass(slots=True)
class Intake:
    """Counts of one actor's events in one process.

    What is asked for and what is held are differences of counts that only grow. So an event that
    comes changes one number, and one that is done with another: these are the hot path, and are
    counted there without a call.
    """

    slots: int
    """Events that may be asked for, waiting and running, all together; see `resize`."""

    batch: int | None = None
    """The most events one request asks for. None: as many as slots are free."""

    max_requests: int = 64
    """The most requests outstanding; a consumer takes 512 from all processes together."""

    one_at_a_time: bool = False
    """Whether to ask only when nothing is asked for: a burst must know which request is over."""

    connected: bool = True
    """Whether requests reach the server."""

    stopped: bool = False
    """Whether no more is to be asked for."""

    paused: bool = False
    """Whether the server wants no requests for a while."""

    refusing: bool = False
    """Whether what comes is handed back for a while; see `refuse`."""

    together: int | None = None
    """Events that may be asked for together, as they are large; None: as many as are free."""

    trial: int = 0
    """Events of the request that asks for more than that, while it lasts."""

    due: int = 0
    """What `taken` will be when all that is asked for has come."""

    taken: int = 0
    """Events that have come and were taken, so far."""

    done: int = 0
    """Of these, events that were done with, or handed back."""

    take_until: int = 0
    """An event that comes while `taken` is less is taken: that is counted, and nothing else has to
    be looked at. Any other one is for `take`."""

    ask_from: int = 0
    """There is nothing more to ask for while `done` is less, but for other reasons than that."""

    @property
    def asked(self) -> int:
        """Events asked for that have not come."""
        return self.due - self.taken

    @property
    def held(self) -> int:
        """Events that have come and are waiting or running."""
        return self.taken - self.done

    @property
    def free(self) -> int:
        """Slots for which nothing is asked; below 0 where there are fewer than there were."""
        return self.slots + self.done - self.due

    def room(self, most: int | None = None) -> int:
        """How many events the next request should ask for; 0 for no request now.

        Args:
            most: the most to be asked for altogether, where other intakes share the slots.
        """
        if self.stopped or self.paused or not self.connected:
            return 0
        free, asked = self.free, self.asked
        # A little at a time only while nothing at all is asked for.
        if free <= 0 or (asked and (self.one_at_a_time or free < self.enough)):
            return 0
        if most is not None and most - asked < free:
            free = most - asked
        if self.together is not None:
            free = min(free, self.together - asked if asked else 2 * self.together)
        if self.batch is not None:
            free = min(free, self.batch, self.batch * self.max_requests - asked)
        return max(free, 0)

    @property
    def enough(self) -> int:
        """How many must be free to ask for more while something is asked for."""
        if self.batch is not None and self.batch < self.slots // 32:
            return self.batch
        return max(1, self.slots // 32)

    def ask(self, count: int) -> None:
        """A request for so many events is on its way.

        Raises:
            ValueError: that many are not to be asked for.
        """
        if count < 1 or count > self.free:
            raise ValueError(
                f"cannot ask for {count}: {self.asked} asked, {self.held} held, {self.slots} slots"
            )
        if self.together is not None:
            self._ask_together(self.together, count)
        self.due += count
        self.update()

    def resize(self, slots: int) -> None:
        """Have so many slots from now on; what was asked for before may be more than they hold."""
        self.slots = slots
        self.update()

    def set_batch(self, batch: int | None) -> None:
        """Have requests ask for so many events at most from now on."""
        self.batch = batch
        self.update()

    def limit(self, together: int) -> None:
        """A request has come to its limit of bytes: ask for so many events together, at most."""
        self.together = together
        self.trial = 0

    def _ask_together(self, together: int, count: int) -> None:
        if self.trial and not self.asked:
            self.together = together = max(together, self.trial)  # all of them have come
        self.trial = count if count > together else 0
        if together >= self.slots:
            self.together = None

    def take(self) -> bool:
        """An event came. False: there is no slot for it, and it is to be handed back."""
        if not self.asked:
            if self.held >= self.slots:
                return False
            self.due += 1
        if self.stopped:
            self.due -= 1
        else:
            self.taken += 1
        self.update()
        return not self.stopped

    def let_go(self) -> None:
        """An event that was held is done with, or handed back.

        Raises:
            ValueError: none is held.
        """
        if self.held < 1:
            raise ValueError("no event is held")
        self.done += 1

    def status(self, meaning: Meaning, pending: int | None) -> None:
        """A status message came.

        Args:
            meaning: what it means.
            pending: how many events the request that it ends still asked for (the header
                `Nats-Pending-Messages`), where the server says so.
        """
        match meaning:
            case Meaning.ALIVE | Meaning.COMPLETED | Meaning.NOTHING:
                return
        self.trial = 0
        match meaning:
            case Meaning.LATER | Meaning.UNKNOWN:
                self.due = self.taken
                self.paused = True
            case Meaning.EXPIRED | Meaning.TOO_LARGE | Meaning.EMPTY if pending is not None:
                self.due = max(self.taken, self.due - pending)
            case _:
                self.due = self.taken
        self.update()

    def lost(self) -> None:
        """What was asked for will not come: the connection is lost, or nothing is heard."""
        self.due, self.trial = self.taken, 0
        self.update()

    def resume(self) -> None:
        """The while that a server wanted no requests is over."""
        self.paused = False

    def refuse(self, refusing: bool) -> None:
        """Have `take` look at each event that comes, as it is to be handed back; or no more."""
        self.refusing = refusing
        self.update()

    def stop(self) -> None:
        """Ask for nothing more; what still comes is refused."""
        self.stopped = True
        self.update()

    def update(self) -> None:
        """Find out anew from when on something is to be done; also when all that was asked came."""
        if self.stopped or not self.asked:
            self.ask_from = 0
        elif self.one_at_a_time:
            self.ask_from = sys.maxsize
        else:
            self.ask_from = self.due - self.slots + self.enough
        self.take_until = 0 if self.stopped or self.refusing else self.due
