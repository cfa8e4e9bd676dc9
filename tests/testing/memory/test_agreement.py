"""Scenes played to nats-server and to the engine, step by step: both answer the same.

What the two answer is compared by `Pair` after each step; a scene has nothing to assert itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeAlias

import pytest

from tests.testing.memory._pair import Pair, play
from walnats_anyio.testing import NatsServer

P = ParamSpec("P")

SECOND = 10**9
ADVISORIES = b"SUB $JS.EVENT.ADVISORY.STREAM.> 2\r\nSUB $JS.EVENT.ADVISORY.CONSUMER.> 3\r\n"
EXPLICIT: dict[str, Any] = {"ack_policy": "explicit"}


@pytest.fixture(scope="module")
def real() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


Scene: TypeAlias = Callable[Concatenate[Pair, P], None]


def scene(play_it: Scene[P]) -> Callable[..., None]:
    """A test that plays a scene to the fixture `real` and to an engine."""

    def test(real: NatsServer, *args: P.args, **kwargs: P.kwargs) -> None:
        play(real, lambda pair: play_it(pair, *args, **kwargs))

    signature = inspect.signature(play_it)
    parameters = [
        each.replace(name="real") if name == "pair" else each
        for name, each in signature.parameters.items()
    ]
    test.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    test.__name__ = play_it.__name__
    return test


def look(pair: Pair, stream: str, *consumers: str) -> None:
    pair.api(f"STREAM.INFO.{stream}", {"subjects_filter": ">", "deleted_details": True})
    for consumer in consumers:
        pair.api(f"CONSUMER.INFO.{stream}.{consumer}")


def create(pair: Pair, name: str, **config: Any) -> None:
    pair.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.*"]} | config)


def consume(pair: Pair, stream: str, name: str, config: Any, **more: Any) -> None:
    body = {"stream_name": stream, "config": config} | more
    pair.api(f"CONSUMER.CREATE.{stream}.{name}", body)


@scene
def test_life_of_a_stream(pair: Pair) -> None:
    pair.say(ADVISORIES)
    pair.publish("nobody.x")
    for subject in ("STREAM.INFO.nope", "STREAM.DELETE.nope", "STREAM.PURGE.nope", "STREAM.NAMES"):
        pair.api(subject)
    create(pair, "a", retention="interest", metadata={"k": "v"}, description="d")
    pair.publish("a.x", b"nobody waits for it")
    consume(pair, "a", "c", {"durable_name": "c", **EXPLICIT}, action="create")
    for uid in ("1", "1", "2"):
        pair.publish("a.x", b"hello", Nats_Msg_Id=uid)
    look(pair, "a", "c")
    for asked in ({"seq": 2}, {"seq": 1}, {"last_by_subj": "a.x"}, {"next_by_subj": "a.*"}, {},
                  {"seq": 1, "last_by_subj": "x"}, {"seq": 2, "no_hdr": True}):  # fmt: skip
        pair.api("STREAM.MSG.GET.a", asked)
    for subject in ("STREAM.LIST", "CONSUMER.NAMES.a", "CONSUMER.LIST.a", "STREAM.PURGE.a"):
        pair.api(subject)
    look(pair, "a", "c")
    pair.api("STREAM.CREATE.a", {"name": "a", "subjects": ["a.*"]})
    pair.api("STREAM.CREATE.b", {"name": "b", "subjects": ["a.>"]})
    pair.api("STREAM.CREATE.b", {"name": "other", "subjects": ["b"]})
    pair.api("STREAM.CREATE.b", b"{".decode())
    pair.api("STREAM.UPDATE.b", {"name": "b"})
    pair.api("STREAM.UPDATE.a", {"name": "a", "subjects": ["a.*"], "storage": "memory"})
    pair.api("STREAM.UPDATE.a", {"name": "a", "subjects": ["b.>"], "retention": "interest"})
    pair.api("CONSUMER.DELETE.a.c")
    pair.api("CONSUMER.DELETE.a.c")
    pair.api("DIRECT.GET.a.a.x")
    pair.api("CONSUMER.MSG.NEXT.a.c", {"batch": 1})


@pytest.mark.parametrize(
    "config",
    [
        {"name": "q.q"}, {"subjects": ["a..b"]}, {"subjects": ["x", "x"]}, {"num_replicas": 3},
        {"subjects": ["x.*", "x.y"]}, {"subjects": [">"]}, {"subjects": ["$JS.API.>"]},
        {"subjects": ["$SYS.>"]}, {"max_age": 5}, {"max_age": -5}, {"duplicate_window": 5},
        {"duplicate_window": 10 * SECOND, "max_age": 5 * SECOND}, {"num_replicas": -1},
        {"retention": "bogus"}, {"bogus": 1}, {"name": 5}, {"description": "x" * 5000},
        {"discard_new_per_subject": True}, {"discard_new_per_subject": True, "discard": "new"},
        {"deny_purge": True, "allow_rollup_hdrs": True}, {"sealed": True}, {"max_msgs": None},
        {"allow_msg_counter": True, "discard": "new"},
        {"allow_msg_counter": True, "retention": "interest"},
        {"persist_mode": "async", "storage": "memory"}, {"allow_atomic": True},
        {"persist_mode": "async", "allow_atomic": True}, {"max_msgs": -7, "max_bytes": 0},
        {"republish": {"dest": "q.copy"}}, {"consumer_limits": {"max_ack_pending": 5}},
    ],
    ids=str,
)  # fmt: skip
@scene
def test_configurations_of_streams(pair: Pair, config: dict[str, Any]) -> None:
    pair.api("STREAM.CREATE.q", {"name": "q", "subjects": ["q.*"]} | config)


@scene
def test_configurations_of_consumers(pair: Pair) -> None:
    create(pair, "a")
    for number in range(3):
        for subject in ("a.x", "a.y", "a.z"):
            pair.publish(subject, b"%d" % number)
    last = {**EXPLICIT, "deliver_policy": "last_per_subject"}
    sequence = {**EXPLICIT, "deliver_policy": "by_start_sequence"}
    moment = {**EXPLICIT, "deliver_policy": "by_start_time"}
    for number, config in enumerate((
        {}, EXPLICIT, {**EXPLICIT, "deliver_policy": "new"}, {**EXPLICIT, "deliver_policy": "last"},
        {**EXPLICIT, "deliver_policy": "last", "filter_subject": "a.x"}, last,
        {**last, "filter_subject": "a.*"}, {**sequence, "opt_start_seq": 4}, sequence, moment,
        {**moment, "opt_start_time": "2099-01-01T00:00:00Z"}, {**EXPLICIT, "opt_start_seq": 5},
        {**EXPLICIT, "filter_subjects": ["a.y", "a.z"]}, {**EXPLICIT, "filter_subjects": [""]},
        {**EXPLICIT, "filter_subjects": ["a.y", "a.*"]}, {**EXPLICIT, "filter_subject": "b..y"},
        {**EXPLICIT, "filter_subjects": ["a.y"], "filter_subject": "a.x"},
        {**EXPLICIT, "ack_wait": -1}, {**EXPLICIT, "backoff": [SECOND, SECOND], "max_deliver": 1},
        {**EXPLICIT, "backoff": [-1]}, {**EXPLICIT, "num_replicas": 2}, {**EXPLICIT, "bogus": 1},
        {**EXPLICIT, "max_deliver": -5, "max_ack_pending": -3, "max_waiting": -1},
        {**EXPLICIT, "idle_heartbeat": SECOND}, {**EXPLICIT, "max_expires": 5},
        {**EXPLICIT, "durable_name": "other"}, {**EXPLICIT, "headers_only": True},
        {**EXPLICIT, "priority_policy": "overflow"}, {"deliver_subject": "x.*"},
        {"deliver_subject": "a.x"}, {"deliver_subject": "x", "max_waiting": 1},
    )):  # fmt: skip
        consume(pair, "a", f"c{number}", config)
        pair.pull(f"CONSUMER.MSG.NEXT.a.c{number}", {"batch": 20, "no_wait": True})


@scene
def test_updates_of_a_consumer(pair: Pair) -> None:
    create(pair, "a")
    known = {"durable_name": "c", **EXPLICIT}
    consume(pair, "a", "c", known, action="update")
    consume(pair, "a", "c", known, action="create")
    consume(pair, "a", "c", known, action="create")
    for change in ({"ack_wait": SECOND}, {"deliver_policy": "new"}, {"ack_policy": "none"},
                   {"max_waiting": 5}, {"deliver_subject": "x"}, {"mem_storage": True},
                   {"filter_subject": "a.z"}, {"max_ack_pending": 1}):  # fmt: skip
        consume(pair, "a", "c", known | change, action="create")
        consume(pair, "a", "c", known | change)
    consume(pair, "nope", "c", known)
    pair.api("CONSUMER.CREATE.a.c", {"stream_name": "other", "config": known})
    pair.api("CONSUMER.CREATE.a.d.a.x", {"stream_name": "a", "config": {"filter_subject": "a.y"}})
    pair.api("CONSUMER.CREATE.a", {"stream_name": "a", "config": known})
    for durable in ("c", "other", ""):
        body = {"stream_name": "a", "config": {**EXPLICIT, "durable_name": durable}}
        pair.api("CONSUMER.DURABLE.CREATE.a.c", body)
    for pause in ({"pause_until": "2099-01-01T00:00:00Z"}, {}):
        pair.api("CONSUMER.PAUSE.a.c", pause)
        pair.pull("CONSUMER.MSG.NEXT.a.c", {"batch": 1, "no_wait": True})
    pair.api("CONSUMER.PAUSE.a.nope", {})


@scene
def test_a_work_queue(pair: Pair) -> None:
    create(pair, "w", retention="workqueue")
    for subject in ("w.x", "w.y", "w.y"):
        pair.publish(subject, b"1")
    one, other = {"filter_subject": "w.x"}, {"filter_subject": "w.y"}
    for name, change in (
        ("a", {"ack_policy": "none"}), ("a", {"deliver_policy": "new"}), ("a", one), ("b", {}),
        ("b", {"filter_subject": "w.*"}), ("b", other),
    ):  # fmt: skip
        consume(pair, "w", name, {"durable_name": name, **EXPLICIT} | change)
    pair.pull("CONSUMER.MSG.NEXT.w.b", {"batch": 20, "no_wait": True})
    pair.acknowledge(0, b"", "inbox.a")
    pair.acknowledge(1, b"+TERM", "inbox.a")
    look(pair, "w", "a", "b")


@scene
def test_pull_requests(pair: Pair) -> None:
    create(pair, "s", allow_direct=True, max_msgs_per_subject=1)
    limits = {"max_waiting": 3, "max_batch": 10, "max_expires": 20 * SECOND, "max_bytes": 1000}
    consume(pair, "s", "c", {"durable_name": "c", **EXPLICIT, **limits})
    next_one = "CONSUMER.MSG.NEXT.s.c"
    for body in ({"batch": "a"}, {"batch": 11}, {"batch": 1, "expires": 30 * SECOND},
                 {"batch": 1, "max_bytes": 2000}, {"batch": 2, "no_wait": True},
                 {"batch": 2, "expires": SECOND // 2, "idle_heartbeat": SECOND // 3}):  # fmt: skip
        pair.pull(next_one, body)
    for payload, name in ((b"x" * 100, "s.b"), (b"y" * 100, "s.c"), (b"y" * 100, "s.d")):
        pair.publish(name, payload)
    pair.pull(next_one, {"batch": 5, "expires": int(0.3 * SECOND), "max_bytes": 300})
    pair.publish("s.e", b"z" * 100)
    pair.publish("s.f", b"z" * 100)
    pair.sleep(0.5)
    pair.pull(next_one, {"batch": 5, "expires": int(0.3 * SECOND), "max_bytes": 50})
    pair.publish("s.g", b"z" * 100)
    pair.pull(next_one, {"batch": 2, "expires": int(0.3 * SECOND), "no_wait": True})
    pair.sleep(0.5)
    for asked in ({"seq": 5}, {"last_by_subj": "s.*"}, {"next_by_subj": "s.*", "seq": 4}, {}, None):
        pair.api("DIRECT.GET.s", asked)
    for subject in ("s.b", "s.nope", "s.*"):
        pair.api(f"DIRECT.GET.s.{subject}")
    for _ in range(4):
        pair.pull(next_one, {"batch": 1, "expires": 2 * SECOND})
    look(pair, "s", "c")
    pair.api("CONSUMER.DELETE.s.c")


@scene
def test_redelivery_and_advisories(pair: Pair) -> None:
    pair.say(ADVISORIES)
    create(pair, "s")
    times = {"ack_wait": SECOND // 5, "max_deliver": 2, "max_ack_pending": 3}
    consume(pair, "s", "c", {"durable_name": "c", **EXPLICIT, **times})
    for number in range(6):
        pair.publish("s.b", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 5, "expires": 5 * SECOND})
    pair.acknowledge(0, b"-NAK")
    pair.acknowledge(1, b"+TERM because", "inbox.t")
    pair.acknowledge(2, b'-NAK {"delay":600000000}')
    for pause in (0.3, 0.4, 0.5):
        look(pair, "s", "c")
        pair.sleep(pause)
    pair.api("STREAM.UPDATE.s", {"name": "s", "subjects": ["s.*"], "max_msgs": 2})
    pair.sleep(0.5)
    look(pair, "s", "c")


@scene
def test_an_acknowledgement_of_the_first_delivery_after_a_second_one(pair: Pair) -> None:
    create(pair, "s")
    consume(pair, "s", "c", {"durable_name": "c", "ack_policy": "all", "ack_wait": SECOND // 5})
    for number in range(3):
        pair.publish("s.b", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 2, "expires": 5 * SECOND})
    pair.acknowledge(1, b"-NAK")
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 1, "no_wait": True})
    pair.acknowledge(1, b"+ACK")
    look(pair, "s", "c")
    # The consumer looks at what is pending once more, and a purge shows what it found.
    pair.sleep(0.3)
    for number in range(2):
        pair.publish("s.b", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 3, "no_wait": True})
    pair.api("STREAM.PURGE.s", {"seq": 2})
    look(pair, "s", "c")


@scene
def test_what_was_deleted_while_it_waits_to_come_again(pair: Pair) -> None:
    pair.say(ADVISORIES)
    create(pair, "s")
    consume(pair, "s", "c", {"durable_name": "c", "ack_policy": "all"})
    for number in range(3):
        pair.publish("s.b", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 2, "no_wait": True})
    pair.acknowledge(0, b"-NAK")
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 1, "no_wait": True})
    pair.acknowledge(1, b"-NAK")
    # The second delivery of message 1 is later than the first one of message 2.
    pair.acknowledge(2, b"+ACK")
    pair.api("STREAM.MSG.DELETE.s", {"seq": 2})
    look(pair, "s", "c")
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 1, "no_wait": True})
    look(pair, "s", "c")
    for number in range(2):
        pair.publish("s.b", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 2, "no_wait": True})
    for number in (3, 5):
        pair.acknowledge(number, b"+ACK")
        pair.api("CONSUMER.INFO.s.c")


@scene
def test_floors_after_what_was_given_up_or_skipped(pair: Pair) -> None:
    pair.say(ADVISORIES)
    create(pair, "s")
    times = {"ack_wait": SECOND // 5, "max_deliver": 1, "filter_subject": "s.b"}
    consume(pair, "s", "c", {"durable_name": "c", **EXPLICIT, **times})
    for subject in ("s.b", "s.b", "s.x", "s.x"):
        pair.publish(subject, b"1")
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 5, "expires": 2 * SECOND})
    pair.acknowledge(1, b"+ACK")
    pair.sleep(0.3)
    look(pair, "s", "c")
    pair.publish("s.b", b"2")
    pair.acknowledge(2, b"+ACK")
    pair.api("CONSUMER.INFO.s.c")
    pair.publish("s.b", b"3")
    pair.api("STREAM.PURGE.s", {"seq": 1})
    look(pair, "s", "c")


@scene
def test_a_purge_after_a_time_in_which_nobody_asked(pair: Pair) -> None:
    create(pair, "s")
    consume(pair, "s", "c", {"durable_name": "c", **EXPLICIT, "ack_wait": SECOND // 5})
    for number in range(3):
        pair.publish("s.b", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 3, "no_wait": True})
    pair.sleep(0.5)
    look(pair, "s", "c")
    pair.api("STREAM.PURGE.s", {"seq": 2})
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 2, "expires": SECOND})
    pair.sleep(0.3)
    look(pair, "s", "c")


@scene
def test_one_message_is_purged_while_it_is_out(pair: Pair) -> None:
    pair.say(ADVISORIES)
    create(pair, "s", retention="interest")
    consume(pair, "s", "c", {"durable_name": "c", "ack_policy": "all"})
    for subject in ("s.y", "s.y", "s.x", "s.y"):
        pair.publish(subject, b"1")
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 4, "no_wait": True})
    pair.api("STREAM.PURGE.s", {"filter": "s.x"})
    look(pair, "s", "c")


@scene
def test_headers(pair: Pair) -> None:
    create(pair, "s", allow_rollup_hdrs=True, max_msg_size=200)
    pair.publish("s.x", b"1")
    sequence, of_subject = "Nats_Expected_Last_Sequence", "Nats_Expected_Last_Subject_Sequence"
    for headers in (
        {"Nats_Expected_Stream": "t"}, {"Nats_Expected_Stream": "s"}, {sequence: "9"},
        {sequence: "2"}, {sequence: "x"}, {of_subject: "1"}, {of_subject: "3"},
        {of_subject: "0", f"{of_subject}_Subject": "s.nope"}, {f"{of_subject}_Subject": "s.x"},
        {"Nats_Expected_Last_Msg_Id": "q"}, {"Nats_Msg_Id": "q"},
        {"Nats_Expected_Last_Msg_Id": "q"}, {"Nats_TTL": "1s"}, {"Nats_TTL": "bogus"},
        {"Nats_Rollup": "bogus"}, {"Nats_Incr": "1"}, {"Nats_Schedule": "@every 1s"},
        {"Foo": "x" * 70000}, {"Nats_Rollup": "sub"}, {"Nats_Rollup": "all"},
    ):  # fmt: skip
        pair.publish("s.x", b"1", **headers)
    pair.publish("s.x", b"1" * 201)
    look(pair, "s")
    create(pair, "d", allow_msg_ttl=True, duplicate_window=3 * SECOND // 10)
    for text in ("1s", "never", "bogus", "100ms", "-1", "0"):
        pair.publish("d.y", b"1", Nats_TTL=text)
    pair.publish("d.y", b"1", Nats_Msg_Id="q")
    pair.publish("d.y", b"1", Nats_Msg_Id="q")
    pair.sleep(0.4)
    pair.publish("d.y", b"1", Nats_Msg_Id="q")
    pair.sleep(1.2)
    look(pair, "d")


@scene
def test_counters(pair: Pair) -> None:
    create(pair, "c", allow_msg_counter=True)
    for increment in ("1", "+5", "-2", "x"):
        pair.publish("c.y", b"", Nats_Incr=increment)
    pair.publish("c.y", b"1")
    pair.publish("c.y", b"1", Nats_Incr="1")
    pair.publish("c.y", b"", Nats_Incr="1", Nats_Expected_Last_Sequence="1")
    pair.api("STREAM.MSG.GET.c", {"seq": 3})
    look(pair, "c")


@scene
def test_limits(pair: Pair) -> None:
    create(pair, "s", max_msgs=3, discard="new")
    changes: tuple[dict[str, Any], ...] = (
        {"max_msgs": 3, "discard": "new"},
        {"max_msgs_per_subject": 1, "discard": "new", "discard_new_per_subject": True},
        {"max_msgs": 3, "max_msgs_per_subject": 1, "discard": "new"},
        {"max_bytes": 100, "discard": "new"},
        {"max_bytes": 100},
    )  # fmt: skip
    for change in changes:
        pair.api("STREAM.UPDATE.s", {"name": "s", "subjects": ["s.*"]} | change)
        for subject in ("s.x", "s.y", "s.z", "s.w", "s.z"):
            pair.publish(subject, b"1" * 5)
        pair.publish("s.x", b"1" * 200)
        look(pair, "s")
    pair.api("STREAM.UPDATE.s", {"name": "s", "subjects": ["s.*"], "max_age": 3 * SECOND // 10})
    pair.publish("s.w", b"1")
    pair.sleep(1.2)
    look(pair, "s")
    create(pair, "m", storage="memory", max_bytes=120, max_msgs_per_subject=2, first_seq=10)
    for _ in range(4):
        pair.publish("m.x", b"1" * 20, A="b")
        pair.publish("m.y", b"2" * 10)
    look(pair, "m")
    for purge in ({"keep": 1}, {"keep": 1, "seq": 1}, {"seq": 100}, {"filter": "m.y"}):
        pair.api("STREAM.PURGE.m", purge)
        pair.publish("m.x")
        look(pair, "m")


@scene
def test_what_is_forbidden(pair: Pair) -> None:
    create(pair, "n", no_ack=True, deny_delete=True, deny_purge=True)
    pair.publish("n.x")
    pair.api("STREAM.PURGE.n")
    pair.api("STREAM.MSG.DELETE.n", {"seq": 1})
    pair.api("STREAM.UPDATE.n", {"name": "n", "subjects": ["n.*"], "no_ack": True})
    sealed = {"sealed": True, "deny_delete": True, "deny_purge": True}
    pair.api("STREAM.UPDATE.n", {"name": "n", "subjects": ["n.*"]} | sealed)
    pair.publish("n.x")
    pair.api("STREAM.PURGE.n")
    look(pair, "n")


@scene
def test_republishing(pair: Pair) -> None:
    create(pair, "r", republish={"dest": "copy.>"})
    pair.say(b"SUB copy.> 7\r\n")
    pair.publish("r.a", b"x")
    pair.publish("r.a", b"y", Foo="x")


@scene
def test_purges(pair: Pair) -> None:
    pair.say(ADVISORIES)
    create(pair, "s")
    for number in range(4):
        for subject in ("s.x", "s.y", "s.z"):
            pair.publish(subject, b"%d" % number)
    for name, filters in (("one", ["s.y"]), ("two", ["s.y", "s.z"]), ("all", [])):
        consume(pair, "s", name, {"durable_name": name, **EXPLICIT, "filter_subjects": filters})
        pair.pull(f"CONSUMER.MSG.NEXT.s.{name}", {"batch": 5, "no_wait": True})
    for purge in ({"filter": "s.z"}, {"filter": "s.y", "keep": 1}, {"seq": 5}, None):
        pair.api("STREAM.PURGE.s", purge)
        look(pair, "s", "one", "two", "all")


@scene
def test_a_push_consumer(pair: Pair) -> None:
    create(pair, "s")
    limits = {"deliver_subject": "push.x", "ack_wait": SECOND, "max_ack_pending": 2}
    consume(pair, "s", "c", {"durable_name": "c", **EXPLICIT, **limits})
    pair.publish("s.x", b"1")
    pair.say(b"SUB push.x 5\r\n")
    pair.publish("s.x", b"2")
    pair.publish("s.y", b"3")
    pair.acknowledge(0, b"", "inbox.a")
    look(pair, "s", "c")
    pair.sleep(1.3)
    pair.pull("CONSUMER.MSG.NEXT.s.c", {"batch": 1})
    pair.say(b"UNSUB 5\r\n")
    pair.publish("s.x", b"4")
    look(pair, "s", "c")


def restarting(pair: Pair) -> None:
    create(pair, "kept", retention="interest")
    create(pair, "lost", storage="memory")
    consume(pair, "kept", "c", {"durable_name": "c", **EXPLICIT, "ack_wait": SECOND})
    for number in range(4):
        pair.publish("kept.x", b"%d" % number, Nats_Msg_Id=str(number))
        pair.publish("lost.x", b"%d" % number)
    pair.pull("CONSUMER.MSG.NEXT.kept.c", {"batch": 3, "no_wait": True})
    pair.acknowledge(1, b"", "inbox.a")
    pair.acknowledge(2, b"-NAK", "inbox.a")
    pair.restart()
    pair.publish("kept.x", b"3", Nats_Msg_Id="3")
    pair.api("STREAM.NAMES")
    look(pair, "kept", "c")
    pair.acknowledge(0, b"", "inbox.a")
    pair.sleep(1.7)
    look(pair, "kept", "c")
    pair.pull("CONSUMER.MSG.NEXT.kept.c", {"batch": 5, "no_wait": True})
    look(pair, "kept", "c")


def test_a_restart(nats_server: NatsServer) -> None:
    play(nats_server, restarting)


@scene
def test_core_nats(pair: Pair) -> None:
    pair.say(b"SUB x.* q 5\r\nSUB x.> 6\r\nSUB y 7\r\nUNSUB 7 2\r\n")
    for subject in ("x.y", "x.y.z", "y", "y", "y", "x", "x.*", "x.>"):
        pair.publish(subject, b"a")
    for said in (b"UNSUB 6\r\nPUB x.y 1\r\na\r\n", b"SUB a..b 8\r\n", b"UNSUB 77\r\n",
                 b"sub z 9\r\npub z 0\r\n\r\n", b"PUB  z   2\r\nab\r\n"):  # fmt: skip
        pair.say(said)
    pair.publish("nobody", b"", "inbox.no", A="b")


@pytest.mark.parametrize(
    "said",
    [
        b"FOO\r\n", b"PUB\r\n", b"PUB a b c d\r\n", b"PUB a -1\r\n", b"PUB a 9999999\r\n",
        b"HPUB a 5 2\r\n", b"SUB\r\n", b"SUB a\r\n", b"UNSUB\r\n", b"x" * 5000, b"CONNECT {\r\n",
        b"PUB a 1\r\nabc\r\n", b"INFO {}\r\n", b"MSG a 1 1\r\nx\r\n", b"\r\n", b"SUB a b c d\r\n",
        b"SUB " + b"a" * 5000 + b" 1\r\n",
    ],
    ids=lambda said: repr(said[:20]),
)  # fmt: skip
@scene
def test_violations_of_the_protocol(pair: Pair, said: bytes) -> None:
    pair.say(said)
    pair.reconnect()


def test_a_difference_is_noticed(real: NatsServer) -> None:
    def differ(pair: Pair) -> None:
        create(pair, "s")
        pair.engine.jetstream.streams["s"].store.skip(1)
        pair.publish("s.x")

    with pytest.raises(AssertionError, match="but in memory"):
        play(real, differ)


def in_batch(pair: Pair, name: str, number: int, commit: str = "", **more: str) -> None:
    headers = {"Nats_Batch_Id": name, "Nats_Batch_Sequence": str(number), **more}
    if commit:
        headers["Nats_Batch_Commit"] = commit
    pair.publish("a.x", b"%d" % number, **headers)


@pytest.mark.parametrize("retention", ["limits", "interest"])
@scene
def test_atomic_batches(pair: Pair, retention: str) -> None:
    create(pair, "a", retention=retention, allow_atomic=True, max_msg_size=300)
    pair.publish("a.x", b"first")
    if retention == "interest":
        in_batch(pair, "nobody", 1, "1")
        consume(pair, "a", "c", {"durable_name": "c", **EXPLICIT})
    in_batch(pair, "one", 1)
    in_batch(pair, "two", 1, Nats_Msg_Id="u1")
    in_batch(pair, "one", 2)
    look(pair, "a")
    in_batch(pair, "two", 2, "1", Nats_Msg_Id="u2")
    in_batch(pair, "one", 3, "eob")
    look(pair, "a")
    for seq in (2, 3, 4, 5):
        pair.api("STREAM.MSG.GET.a", {"seq": seq})
    for name, numbers in (("gap", (1, 3)), ("late", (2,)), ("again", (1, 1)), ("far", (1001,))):
        for number in numbers:
            in_batch(pair, name, number, "1" if number == numbers[-1] else "")
    in_batch(pair, "x" * 65, 1)
    in_batch(pair, "empty", 1, "eob")
    in_batch(pair, "odd", 1, "2")
    pair.publish("a.x", Nats_Batch_Id="none")
    in_batch(pair, "known", 1)
    in_batch(pair, "known", 2, "1", Nats_Msg_Id="u1")
    in_batch(pair, "twice", 1, Nats_Msg_Id="u3")
    in_batch(pair, "twice", 2, "1", Nats_Msg_Id="u3")
    in_batch(pair, "last id", 1, "1", Nats_Expected_Last_Msg_Id="u1")
    in_batch(pair, "wrong", 1, "1", Nats_Expected_Last_Sequence="77")
    last = "6" if retention == "limits" else "7"
    in_batch(pair, "right", 1, "1", Nats_Expected_Last_Sequence=last)
    in_batch(pair, "large", 1)
    pair.publish("a.x", b"x" * 300, Nats_Batch_Id="large", Nats_Batch_Sequence="2")
    in_batch(pair, "large", 3, "1")
    look(pair, "a")
    pair.api("STREAM.UPDATE.a", {"name": "a", "subjects": ["a.*"], "retention": retention})
    in_batch(pair, "off", 1, "1")
    pair.publish("a.x", Nats_Msg_Id="u1", Nats_Expected_Last_Msg_Id="never")
    pair.publish("a.x", Nats_Msg_Id="u9", Nats_Expected_Last_Msg_Id="never")
    look(pair, "a")
