"""Random walks: the same things said at random to both servers, from a seed."""

from __future__ import annotations

import random
from typing import Any

from tests.testing.memory._pair import Pair

SECOND = 10**9
STREAM = "s"
SUBJECTS = ("a.x", "a.y", "a.z")
CONSUMERS = ("c", "d")


class Walk:
    """One walk over one stream and up to two consumers."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self._pair = pair
        self._chance = random.Random(seed)
        self._serial = 0
        self._retention = self._chance.choice(["limits", "interest", "workqueue"])
        # nats-server 2.15.1 forgets a consumer whose filter is taken away.
        self._filters = {name: self._chance.choice(["", "", "a.x"]) for name in CONSUMERS}
        self._storage = self._chance.choice(["file", "memory"])

    def go(self, steps: int) -> None:
        """Set up, and take so many steps."""
        pair = self._pair
        pair.say(b"SUB $JS.EVENT.ADVISORY.CONSUMER.> 3\r\n")
        pair.api(f"STREAM.CREATE.{STREAM}", self._stream_config())
        self._put_consumer(CONSUMERS[0])
        # nats-server 2.15.1 shows message 0 of a stream that never had any as deleted.
        self._publish()
        moves: dict[Any, int] = {
            self._publish: 20,
            self._pull: 18,
            self._acknowledge: 22,
            self._sleep: 7,
            self._ask: 6,
            self._delete_message: 1,
            self._purge: 1,
            self._reconnect: 2,
            self._put_any_consumer: 3,
            self._delete_consumer: 1,
            self._update_stream: 1,
            self._pause: 1,
        }
        for _ in range(steps):
            self._chance.choices(list(moves), list(moves.values()))[0]()
        self._ask()
        pair.sleep(1.2)
        self._ask()
        pair.api(f"STREAM.DELETE.{STREAM}")

    def _stream_config(self) -> dict[str, Any]:
        choice = self._chance.choice
        return {
            "name": STREAM,
            "subjects": ["a.*"],
            "retention": self._retention,
            "storage": self._storage,
            "max_msgs": choice([-1, -1, 6]),
            "max_bytes": choice([-1, -1, 400]),
            "max_msgs_per_subject": choice([-1, -1, 2]),
            "discard": choice(["old", "old", "new"]),
            "duplicate_window": 100 * SECOND,
        }

    def _consumer_config(self, name: str) -> dict[str, Any]:
        choice = self._chance.choice
        config: dict[str, Any] = {
            "durable_name": name,
            "ack_policy": "explicit"
            if self._retention == "workqueue"
            else choice(["explicit", "explicit", "explicit", "all", "none"]),
            "max_deliver": choice([-1, -1, 2, 3]),
        }
        if config["ack_policy"] != "none":
            config["max_ack_pending"] = choice([1000, 1000, 3])
            config["ack_wait"] = choice([30, 30, 0.5]) * SECOND
            if config["max_deliver"] in (-1, 3) and choice([True, False, False]):
                config["backoff"] = [int(0.4 * SECOND), int(0.8 * SECOND)]
        if self._retention == "workqueue":
            config["filter_subject"] = "a.x" if name == "c" else "a.y"
        elif self._filters[name]:
            config["filter_subject"] = self._filters[name]
        if self._retention != "workqueue":
            config["deliver_policy"] = choice(["all", "all", "new", "last"])
        config["ack_wait"] = int(config.get("ack_wait", 0))
        return config

    def _put_consumer(self, name: str) -> None:
        body = {"stream_name": STREAM, "config": self._consumer_config(name)}
        self._pair.api(f"CONSUMER.CREATE.{STREAM}.{name}", body)

    def _put_any_consumer(self) -> None:
        self._put_consumer(self._chance.choice(CONSUMERS))

    def _delete_consumer(self) -> None:
        self._pair.api(f"CONSUMER.DELETE.{STREAM}.{self._chance.choice(CONSUMERS)}")

    def _publish(self) -> None:
        choice = self._chance.choice
        self._serial += 1
        headers = {}
        if choice([True, False, False]):
            headers["Nats_Msg_Id"] = str(choice([self._serial, self._serial - 1, 1]))
        if self._serial > 1 and choice([True] + [False] * 9):
            headers["Nats_Expected_Last_Sequence"] = str(self._serial)
        payload = b"%d" % self._serial + b"." * choice([0, 0, 30, 100])
        reply = choice(["inbox.p", "inbox.p", ""]) if self._serial > 1 else "inbox.p"
        self._pair.publish(choice(SUBJECTS), payload, reply, **headers)

    def _pull(self) -> None:
        choice = self._chance.choice
        body: dict[str, Any] = {"batch": choice([1, 1, 2, 5])}
        if choice([True, False]):
            body["expires"] = int(choice([0.25, 0.5, 5]) * SECOND)
        if "expires" not in body or choice([True, False, False]):
            body["no_wait"] = True
        if choice([True, False, False, False]):
            body["max_bytes"] = choice([60, 200, 1000])
        consumer = choice(CONSUMERS[:1] * 3 + CONSUMERS[1:])
        self._pair.pull(f"CONSUMER.MSG.NEXT.{STREAM}.{consumer}", body)

    def _acknowledge(self) -> None:
        choice = self._chance.choice
        acks = self._pair.acks
        if not acks:
            return
        number = max(0, len(acks) - 1 - choice([0, 0, 0, 1, 1, 2, 3, 5]))
        payload = choice(
            [b"", b"+ACK", b"+ACK", b"-NAK", b"-NAK", b'-NAK {"delay": 300000000}', b"-NAK 300ms",
             b"+WPI", b"+TERM", b"+TERM no way", b"+NXT", b"nonsense"],
        )  # fmt: skip
        reply = choice(["", "inbox.n.c"]) if payload == b"+NXT" else choice(["", "", "inbox.a"])
        self._pair.acknowledge(number, payload, reply)

    def _sleep(self) -> None:
        self._pair.sleep(self._chance.choice([0.1, 0.3, 0.6]))

    def _ask(self) -> None:
        self._pair.api(f"STREAM.INFO.{STREAM}", {"subjects_filter": ">", "deleted_details": True})
        for consumer in CONSUMERS:
            self._pair.api(f"CONSUMER.INFO.{STREAM}.{consumer}")

    def _delete_message(self) -> None:
        seq = max(1, self._serial - self._chance.randint(0, 6))
        self._pair.api(f"STREAM.MSG.DELETE.{STREAM}", {"seq": seq})

    def _purge(self) -> None:
        # Not `keep`: of what that deletes, nats-server 2.15.1 goes on to count some as pending.
        seq = max(1, self._serial - 3)
        body = self._chance.choice([None, {"filter": "a.x"}, {"seq": seq}])
        self._pair.api(f"STREAM.PURGE.{STREAM}", body)

    def _reconnect(self) -> None:
        self._pair.reconnect()
        self._pair.say(b"SUB $JS.EVENT.ADVISORY.CONSUMER.> 3\r\n")

    def _update_stream(self) -> None:
        self._pair.api(f"STREAM.UPDATE.{STREAM}", self._stream_config())

    def _pause(self) -> None:
        until = self._chance.choice([None, {}, {"pause_until": "2020-01-01T00:00:00Z"}])
        self._pair.api(f"CONSUMER.PAUSE.{STREAM}.{CONSUMERS[0]}", until)
