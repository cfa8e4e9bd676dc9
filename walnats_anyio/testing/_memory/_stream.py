"""One stream: what it accepts, what it keeps, and for how long."""

from __future__ import annotations

import heapq
import json
import re
from typing import TYPE_CHECKING, Any

from walnats_anyio.testing._memory._answers import ApiError, show_time
from walnats_anyio.testing._memory._batches import HEADER, Batches
from walnats_anyio.testing._memory._commands import Publish, with_headers
from walnats_anyio.testing._memory._durations import parse_duration
from walnats_anyio.testing._memory._store import Store, Stored, is_match
from walnats_anyio.testing._memory._stream_config import StreamConfig
from walnats_anyio.testing._memory._subjects import is_subset, matches
from walnats_anyio.testing._memory._timers import SECOND, Timer

if TYPE_CHECKING:
    from walnats_anyio.testing._memory._consumer import Consumer
    from walnats_anyio.testing._memory._jetstream import JetStream

MOST_HEADERS = 65535
"""Bytes of the largest header block."""

_INTEGER = re.compile(r"[+-]?[0-9]+")


class Stream:
    """A stream and its consumers."""

    def __init__(self, jetstream: JetStream, config: StreamConfig) -> None:
        self.config = config
        self.created = jetstream.timers.stamp()
        self.store = Store(on_disk=config.storage == "file", first=config.first_seq)
        self.consumers: dict[str, Consumer] = {}
        self._jetstream = jetstream
        self._timers = jetstream.timers
        self._batches = Batches(jetstream.timers, self._accept_all)
        self._last_id = ""
        self._seen: dict[str, tuple[int, int]] = {}
        self._mortal: list[tuple[int, int]] = []
        self._expiry: Timer | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    # what comes

    def receive(self, publish: Publish) -> None:
        """A message came on one of its subjects."""
        answer: dict[str, Any] | None
        try:
            headers = publish.headers if publish.header else {}
            if headers.get(HEADER):
                answer = self._take_aside(publish, headers)
            else:
                answer = self._accept(publish)
        except ApiError as error:
            answer = {"error": error.as_dict(), "stream": self.name, "seq": 0}
        if publish.reply and not self.config.no_ack:
            payload = b"" if answer is None else json.dumps(answer, separators=(",", ":")).encode()
            self._jetstream.publish(Publish(publish.reply, payload=payload))

    def _take_aside(self, publish: Publish, headers: dict[str, str]) -> dict[str, Any] | None:
        """A message of an atomic batch came."""
        if self.config.sealed:
            raise ApiError(400, 10109, "invalid operation on sealed stream")
        if -1 < self.config.max_msg_size < len(publish.header) + len(publish.payload):
            raise ApiError(400, 10054, "message size exceeds maximum allowed")
        if not self.config.allow_atomic:
            raise ApiError(400, 10174, "atomic publish is disabled")
        return self._batches.take(publish, headers)

    def _accept_all(self, batch: list[Publish]) -> dict[str, Any]:
        """Store a batch, if none of its messages is refused."""
        uids = set[str]()
        for publish in batch:
            headers = publish.headers
            if headers.get("Nats-Expected-Last-Msg-Id"):
                text = "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id"
                raise ApiError(400, 10177, text)
            uid = headers.get("Nats-Msg-Id", "")
            if uid in uids or self._duplicate(uid):
                text = "atomic publish batch contains duplicate message id"
                raise ApiError(400, 10201, text)
            uids |= {uid} - {""}
            self._check_increment(publish, headers)
            self._check_expected(publish.subject, headers)
            self._rollup(headers)
            self._check_size(publish, publish.payload)
        return [self._accept(publish) for publish in batch][-1]

    def _accept(self, publish: Publish) -> dict[str, Any]:
        headers = publish.headers if publish.header else {}
        if self.config.sealed:
            raise ApiError(400, 10109, "invalid operation on sealed stream")
        if headers:
            self._check_increment(publish, headers)
            self._check_expected(publish.subject, headers)
        uid = headers.get("Nats-Msg-Id", "")
        duplicate = self._duplicate(uid)
        if duplicate:
            return {"stream": self.name, "seq": duplicate, "duplicate": True}
        expected = headers.get("Nats-Expected-Last-Msg-Id", "")
        if expected and expected != self._last_id:
            raise ApiError(400, 10070, f"wrong last msg ID: {self._last_id}")
        rollup = self._rollup(headers)
        value = self._count(publish, headers)
        payload = publish.payload if value is None else json.dumps({"val": value}).encode()
        payload = payload.replace(b'": "', b'":"') if value is not None else payload
        self._check_size(publish, payload)
        if not self._wanted(publish.subject):
            seq = self.store.skip(self._timers.stamp())
            self._remember(uid, seq)
            return {"stream": self.name, "seq": seq}
        stored = self._put(publish, payload, headers)
        self._remember(uid, stored.seq)
        self._roll_up(rollup, stored)
        self._republish(stored)
        for consumer in list(self.consumers.values()):
            consumer.on_stored(stored)
        return {"stream": self.name, "seq": stored.seq} | ({} if value is None else {"val": value})

    def _check_increment(self, publish: Publish, headers: dict[str, str]) -> None:
        increment = headers.get("Nats-Incr")
        if increment is None:
            return
        if not _INTEGER.fullmatch(increment):
            raise ApiError(400, 10171, "message counter increment is invalid")
        if not self.config.allow_msg_counter:
            raise ApiError(400, 10168, "message counters is disabled")
        if publish.payload:
            raise ApiError(400, 10170, "message counter has payload")
        if any(name.startswith("Nats-Expected-") or name == "Nats-Rollup" for name in headers):
            raise ApiError(400, 10171, "message counter increment is invalid")

    def _check_expected(self, subject: str, headers: dict[str, str]) -> None:
        if headers.get("Nats-Expected-Stream", self.name) not in ("", self.name):
            raise ApiError(400, 10060, "expected stream does not match")
        if not self.config.allow_msg_ttl and _time_to_live(headers, strict=False):
            raise ApiError(400, 10166, "per-message TTL is disabled")
        of_subject = headers.get("Nats-Expected-Last-Subject-Sequence-Subject", "")
        wanted = _number(headers, "Nats-Expected-Last-Subject-Sequence")
        if wanted is not None:
            newest = self.store.newest(of_subject or subject)
            actual = newest.seq if newest else 0
            if actual != wanted:
                raise ApiError(400, 10071, f"wrong last sequence: {actual}")
        elif of_subject:
            text = "missing sequence for expected last sequence per subject"
            raise ApiError(400, 10193, text)
        wanted = _number(headers, "Nats-Expected-Last-Sequence")
        if wanted is not None and wanted != self.store.last:
            raise ApiError(400, 10071, f"wrong last sequence: {self.store.last}")
        for name in ("Nats-Schedule", "Nats-Schedule-Next", "Nats-Scheduler"):
            if name in headers:
                raise ApiError(400, 10188, "message schedules is disabled")

    def _duplicate(self, uid: str) -> int:
        oldest = self._timers.now - self.config.duplicate_window
        while self._seen:
            first = next(iter(self._seen))
            if self._seen[first][1] > oldest:
                break
            del self._seen[first]
        return self._seen[uid][0] if uid in self._seen else 0

    def _remember(self, uid: str, seq: int) -> None:
        self._last_id = uid
        if uid:
            self._seen[uid] = (seq, self._timers.now)

    def _rollup(self, headers: dict[str, str]) -> str:
        rollup = headers.get("Nats-Rollup", "")
        if rollup and not self.config.allow_rollup_hdrs:
            raise ApiError(500, 10111, "rollup not permitted")
        if rollup not in ("", "sub", "all"):
            raise ApiError(500, 10111, f'rollup value invalid: "{rollup}"')
        return rollup

    def _count(self, publish: Publish, headers: dict[str, str]) -> str | None:
        """The new value of a counter; None where there are no counters."""
        if not self.config.allow_msg_counter:
            return None
        if "Nats-Incr" not in headers:
            raise ApiError(400, 10169, "message counter increment is missing")
        newest = self.store.newest(publish.subject)
        before = json.loads(newest.payload)["val"] if newest else "0"
        return str(int(before) + int(headers["Nats-Incr"]))

    def _check_size(self, publish: Publish, payload: bytes) -> None:
        config, store = self.config, self.store
        if -1 < config.max_msg_size < len(publish.header) + len(payload):
            raise ApiError(400, 10054, "message size exceeds maximum allowed")
        if len(publish.header) > MOST_HEADERS:
            raise ApiError(400, 10097, "header size exceeds maximum allowed of 64k")
        if config.discard != "new" or not self._wanted(publish.subject):
            return
        count = store.count_of(publish.subject)
        full_subject = 0 < config.max_msgs_per_subject <= count
        if config.discard_new_per_subject and full_subject:
            raise ApiError(503, 10077, "maximum messages per subject exceeded")
        # One that takes the place of another makes the stream no fuller.
        if 0 <= config.max_msgs <= len(store) and not full_subject:
            raise ApiError(503, 10077, "maximum messages exceeded")
        size = store.size_of(publish.subject, publish.header, payload)
        makes_room = full_subject and store.oldest_of(publish.subject).size >= size
        if 0 <= config.max_bytes < store.bytes + size and not makes_room:
            raise ApiError(503, 10077, "maximum bytes exceeded")

    def _wanted(self, subject: str) -> bool:
        """Whether somebody is there for it, where that is asked."""
        if self.config.retention != "interest":
            return True
        return any(consumer.wants(subject) for consumer in self.consumers.values())

    def _put(self, publish: Publish, payload: bytes, headers: dict[str, str]) -> Stored:
        seconds = _time_to_live(headers)
        time = self._timers.stamp()
        expires = time + seconds * SECOND if seconds > 0 else 0
        stored = self.store.put(
            publish.subject, publish.header, payload, time, expires, seconds < 0
        )
        if expires:
            heapq.heappush(self._mortal, (expires, stored.seq))
        self._enforce_of(publish.subject)
        self._enforce_totals()
        self._schedule_expiry()
        return stored

    def _roll_up(self, rollup: str, stored: Stored) -> None:
        for other in self.store if rollup else ():
            if other is not stored and (rollup == "all" or other.subject == stored.subject):
                self.remove(other.seq)

    def _republish(self, stored: Stored) -> None:
        republish = self.config.republish
        if republish is None or not matches(republish.src, stored.subject):
            return
        target = republish.dest
        if target.endswith(">"):
            start = len(republish.src) - 1 if republish.src.endswith(">") else 0
            target = target[:-1] + stored.subject[start:]
        before = [each.seq for each in self.store if each.subject == stored.subject]
        headers: dict[str, object] = {
            "Nats-Stream": self.name,
            "Nats-Subject": stored.subject,
            "Nats-Sequence": stored.seq,
            "Nats-Time-Stamp": show_time(stored.time),
            "Nats-Last-Sequence": before[-2] if len(before) > 1 else 0,
        }
        payload = stored.payload
        if republish.headers_only:
            headers["Nats-Msg-Size"] = len(payload)
            payload = b""
        header = with_headers(stored.header, headers)
        self._jetstream.publish(Publish(target, header=header, payload=payload))

    # what is kept

    def _enforce_totals(self) -> None:
        """Drop the oldest messages that are too many, or too large together."""
        config, store = self.config, self.store
        while config.discard == "old" and (
            0 <= config.max_msgs < len(store) or 0 <= config.max_bytes < store.bytes
        ):
            if not self.remove(store.first):
                break

    def _enforce_of(self, subject: str) -> None:
        """Drop the oldest messages of a subject that are too many."""
        most = self.config.max_msgs_per_subject
        while 0 < most < self.store.count_of(subject):
            self.remove(self.store.oldest_of(subject).seq)

    def update(self, config: StreamConfig) -> None:
        """Take over a configuration that was checked."""
        before, self.config = self.config, config
        self._enforce_totals()
        for subject in self.store.subjects:
            self._enforce_of(subject)
        self._schedule_expiry()
        if before.retention == "limits" and config.retention == "interest":
            self.drop_unwanted()

    def remove(self, seq: int) -> bool:
        """Delete a message; consumers that hold it let go. False when there is none."""
        stored = self.store.remove(seq)
        if stored is None:
            return False
        for consumer in list(self.consumers.values()):
            consumer.on_removed(stored)
        return True

    def acknowledged(self, seq: int) -> None:
        """A consumer is done with a message."""
        stored = self.store.get(seq)
        if stored is None or self.config.retention == "limits":
            return
        if self.config.retention == "workqueue" or not self._needed(stored):
            self.remove(seq)

    def drop_unwanted(self) -> None:
        """Delete what no consumer waits for, after one was deleted."""
        if self.config.retention == "interest":
            for stored in self.store:
                if not self._needed(stored):
                    self.remove(stored.seq)

    def purge(self, filters: list[str], before: int, keep: int) -> int:
        """Delete messages; gives how many.

        Args:
            filters: subjects; empty for all.
            before: only those with a lower number; 0 for all.
            keep: how many of the last ones stay.
        """
        chosen = [stored.seq for stored in self.store if is_match(filters, stored.subject)]
        if before:
            chosen = [seq for seq in chosen if seq < before]
        elif keep:
            chosen = chosen[:-keep]
        # Of a single message nats-server tells the consumers, of several it does not.
        told = len(chosen) == 1 and (filters or (keep and not before))
        for seq in chosen:
            if told:
                self.remove(seq)
            else:
                self.store.remove(seq)
        if before > self.store.last and not filters:
            self.store.move_to(before)
        if chosen and not told:
            for consumer in self.consumers.values():
                consumer.forget_before(self.store.first)
        self._tell_of_purge(filters)
        return len(chosen)

    def _tell_of_purge(self, filters: list[str]) -> None:
        store = self.store
        oldest = store.next(filters, store.first) if filters else None
        first = store.first if not filters else oldest.seq if oldest else store.last + 1
        for consumer in list(self.consumers.values()):
            theirs = consumer.config.filters
            if not filters or (theirs and all(is_subset(each, filters[0]) for each in theirs)):
                consumer.on_purged(first, wider=False)
            elif consumer.wants(filters[0]):
                consumer.on_purged(store.first, wider=True)
            else:
                consumer.recount()

    def close(self) -> None:
        """It is deleted, or its server stops."""
        self._batches.close()
        if self._expiry is not None:
            self._expiry.cancel()

    def _needed(self, stored: Stored) -> bool:
        return any(each.needs(stored.seq, stored.subject) for each in self.consumers.values())

    def _schedule_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        due = [self._mortal[0][0]] if self._mortal else []
        if self.config.max_age:
            aged = (each for each in self.store.oldest_first() if not each.immortal)
            due += [stored.time + self.config.max_age for stored in (next(aged, None),) if stored]
        if due:
            self._expiry = self._timers.at(min(due), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._timers.now
        while self._mortal and self._mortal[0][0] <= now:
            self.remove(heapq.heappop(self._mortal)[1])
        if self.config.max_age:
            for stored in self.store.oldest_first():
                if stored.time + self.config.max_age > now:
                    break
                if not stored.immortal:
                    self.remove(stored.seq)
        self._schedule_expiry()

    # what it says of itself

    def state(self) -> dict[str, Any]:
        """`state` of an answer."""
        store = self.store
        state: dict[str, Any] = {
            "messages": len(store),
            "bytes": store.bytes,
            "first_seq": store.first,
            "first_ts": show_time(store.first_time),
            "last_seq": store.last,
            "last_ts": show_time(store.last_time),
        }
        if subjects := len(store.subjects):
            state["num_subjects"] = subjects
        if deleted := self.deleted():
            state["num_deleted"] = len(deleted)
        return state | {"consumer_count": len(self.consumers)}

    def deleted(self) -> list[int]:
        """The numbers between the first and the last message that are gone."""
        store = self.store
        if not len(store):
            return []
        return [seq for seq in range(store.first, store.last + 1) if store.get(seq) is None]


def _number(headers: dict[str, str], name: str) -> int | None:
    text = headers.get(name)
    if not text:
        return None
    # What is no number is no number of a message either.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1


def _time_to_live(headers: dict[str, str], *, strict: bool = True) -> int:
    """Whole seconds; 0 for none, -1 for ever.

    Raises:
        ApiError: it is no time to live, if `strict`.
    """
    text = headers.get("Nats-TTL", "")
    if not text:
        return 0
    if text.lower() == "never":
        return -1
    if text.isascii() and text.isdigit() and len(text) < 19 and int(text):
        return int(text)
    nanoseconds = parse_duration(text)
    if nanoseconds is not None and nanoseconds >= SECOND:
        return nanoseconds // SECOND
    if strict:
        raise ApiError(400, 10165, "invalid per-message TTL")
    return 0
