"""Which server next, and after how long: the laws of the rule, over any history."""

from __future__ import annotations

import logging
from itertools import pairwise
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from walnats_anyio._link._options import ConnectOptions, ServerAddress, parse_servers
from walnats_anyio._link._servers import (
    BACKOFF,
    JITTER,
    MOST_DISCOVERED,
    STABLE_AFTER,
    ServerChoice,
    Servers,
)
from walnats_anyio._link.protocol._refusals import refusal_of

VIOLATION = refusal_of("Authorization Violation")
FULL = refusal_of("maximum connections exceeded")
HERE = 1000.0
"""Some time on the clock."""


def make(servers: str, seed: int = 0, **options: Any) -> Servers:
    options.setdefault("dont_randomize", True)
    return Servers(parse_servers(servers), ConnectOptions.of(options), Random(seed))


def next_of(servers: Servers, now: float, info: dict[str, Any] | None = None) -> tuple[str, float]:
    chosen = servers.next(now, info)
    assert chosen is not None
    return chosen[0].host, chosen[1]


def address(servers: Servers, host: str) -> ServerAddress:
    return next(item for item in servers.addresses if item.host == host)


def fail(servers: Servers, now: float, reason: Any = "refused") -> tuple[str, float]:
    """Try the next one, in vain; which it was, and when that was."""
    chosen = servers.next(now)
    assert chosen is not None
    servers.failed(chosen[0], reason, now + chosen[1])
    return chosen[0].host, now + chosen[1]


# The order


def test_the_order_given() -> None:
    servers = make("a,b,c")
    assert [fail(servers, HERE)[0] for _ in range(3)] == ["a", "b", "c"]


def test_shuffled_once() -> None:
    orders: set[tuple[str, ...]] = set()
    for seed in range(50):
        servers = make("a,b,c", seed, dont_randomize=False)
        order = [item.host for item in servers.addresses]
        assert sorted(order) == ["a", "b", "c"]
        now = HERE
        tried: list[str] = []
        for _ in range(3):
            host, now = fail(servers, now)
            tried.append(host)
        assert tried == order == [item.host for item in servers.addresses]
        orders.add(tuple(order))
    assert len(orders) == 6


# Back-off


def test_all_servers_are_tried_at_once_before_any_is_waited_for() -> None:
    servers = make("a,b,c")
    assert [fail(servers, HERE) for _ in range(3)] == [(host, HERE) for host in "abc"]
    assert next_of(servers, HERE)[1] > 0


def test_the_wait_doubles_with_each_round_up_to_its_most() -> None:
    servers = make("a,b")
    first, most = BACKOFF
    now = HERE
    waits: dict[str, list[float]] = {"a": [], "b": []}
    at = {"a": now, "b": now}
    for _ in range(40):
        host, now = fail(servers, now)
        waits[host].append(now - at[host])
        at[host] = now
    for each in waits.values():
        assert each[0] == 0
        for number, wait in enumerate(each[1:]):
            whole = min(most, first * 2**number)
            assert JITTER[0] * whole - 1e-6 <= wait <= JITTER[1] * whole + 1e-6


def test_the_wait_has_jitter() -> None:
    waits: set[float] = set()
    for seed in range(20):
        servers = make("a", seed)
        fail(servers, HERE)
        waits.add(next_of(servers, HERE)[1])
    assert len(waits) == 20
    assert all(JITTER[0] * BACKOFF[0] <= wait <= JITTER[1] * BACKOFF[0] for wait in waits)


def test_a_server_that_closes_after_the_handshake() -> None:
    """nats-py connected to it 3,843 times in 10 s."""
    servers = make("a")
    now, connects = HERE, 0
    while now < HERE + 10:
        host, wait = next_of(servers, now)
        now += wait + 0.001
        servers.connected(address(servers, host), now)
        servers.lost(now)
        connects += 1
    assert 4 < connects < 15


@pytest.mark.parametrize("first_refuses", [False, True])
def test_one_that_closes_and_names_a_new_neighbour_each_time(first_refuses: bool) -> None:
    servers = make("a")
    now, attempts = HERE, 0
    while now < HERE + 10:
        chosen = servers.next(now)
        assert chosen is not None
        server, wait = chosen
        now += wait + 0.0001
        if server.host == "a" and first_refuses and attempts:
            servers.failed(server, "refused", now)
        else:
            servers.connected(server, now)
            servers.discovered([f"n{attempts}:1"], server)
            servers.lost(now)
        attempts += 1
    assert attempts < 60


def test_the_wait_stays_at_its_most_for_days() -> None:
    servers = make("a")
    now = HERE
    for _ in range(3000):
        _, now = fail(servers, now)
    assert next_of(servers, now)[1] <= BACKOFF[1]


def test_a_connection_that_another_one_took_over_from_has_lasted() -> None:
    servers = make("a,b")
    servers.connected(address(servers, "a"), HERE)
    for number in range(10):
        servers.failed(address(servers, "b"), "refused", HERE + number)
    servers.connected(address(servers, "b"), HERE + 60)
    servers.failed(address(servers, "a"), "refused", HERE + 60)
    servers.lost(HERE + 60)
    assert {fail(servers, HERE + 60)[0] for _ in range(2)} == {"a", "b"}


def test_after_a_connection_that_lasted_the_next_attempt_is_immediate() -> None:
    servers = make("a")
    now = HERE
    for _ in range(10):
        _, now = fail(servers, now)
    servers.connected(address(servers, "a"), now)
    now += STABLE_AFTER
    servers.lost(now)
    assert next_of(servers, now) == ("a", 0)
    fail(servers, now)
    assert next_of(servers, now)[1] <= BACKOFF[0]


def test_a_connection_that_did_not_last_takes_nothing_back() -> None:
    servers = make("a")
    now = HERE
    for _ in range(10):
        _, now = fail(servers, now)
    servers.connected(address(servers, "a"), now)
    now += STABLE_AFTER - 0.01
    servers.lost(now)
    assert next_of(servers, now)[1] >= BACKOFF[1] * JITTER[0]


def test_the_others_come_before_the_one_that_was_lost() -> None:
    servers = make("a,b,c")
    servers.connected(address(servers, "a"), HERE)
    now = HERE + 60
    servers.lost(now)
    assert [fail(servers, now) for _ in range(3)] == [("b", now), ("c", now), ("a", now)]


def test_neighbours_that_cannot_be_reached_are_found_out_once() -> None:
    """Each of them takes `connect_timeout`: so long was every reconnect, without end."""
    servers = make("a,b")
    now = HERE
    servers.connected(address(servers, "a"), now)
    servers.discovered(["c:4222", "d:4222"], address(servers, "a"))
    now += 60
    servers.lost(now)
    assert [fail(servers, now)[0] for _ in range(3)] == ["b", "c", "d"]
    for _ in range(3):
        servers.connected(address(servers, "a"), now)
        now += 60
        servers.lost(now)
        assert next_of(servers, now) == ("a", 0)
    assert {fail(servers, now)[0] for _ in range(4)} == {"a", "b", "c", "d"}


def test_a_server_that_was_reached_once_is_tried_before_the_one_that_was_lost() -> None:
    servers = make("a,b")
    for host in "ab":
        servers.connected(address(servers, host), HERE)
    servers.failed(address(servers, "a"), "refused", HERE)
    servers.lost(HERE + 60)
    assert [fail(servers, HERE + 60)[0] for _ in range(2)] == ["a", "b"]


def test_a_fixed_wait_of_the_users() -> None:
    servers = make("a,b", reconnect_time_wait=3)
    assert [fail(servers, HERE) for _ in range(2)] == [("a", HERE), ("b", HERE)]
    for number in range(1, 10):
        assert fail(servers, HERE + 3 * number - 1) == ("a", HERE + 3 * number)
        assert fail(servers, HERE + 3 * number) == ("b", HERE + 3 * number)


# Giving up


@pytest.mark.parametrize("most", [1, 3])
def test_so_many_attempts_at_each_server(most: int) -> None:
    servers = make("a,b", max_reconnect_attempts=most)
    now = HERE
    tried: list[str] = []
    while servers.next(now) is not None:
        host, now = fail(servers, now)
        tried.append(host)
    assert sorted(tried) == ["a"] * most + ["b"] * most


def test_a_connection_that_lasted_gives_all_attempts_back() -> None:
    servers = make("a,b", max_reconnect_attempts=1)
    assert fail(servers, HERE)[0] == "a"
    servers.connected(address(servers, "b"), HERE)
    servers.lost(HERE + STABLE_AFTER)
    assert {fail(servers, HERE + STABLE_AFTER)[0] for _ in range(2)} == {"a", "b"}


def test_connections_that_do_not_last_are_attempts_too() -> None:
    servers = make("a", max_reconnect_attempts=2)
    for _ in range(2):
        assert servers.next(HERE) is not None
        servers.connected(address(servers, "a"), HERE)
        servers.lost(HERE)
    assert servers.next(HERE + 60) is None


def test_not_to_reconnect() -> None:
    servers = make("a,b", allow_reconnect=False)
    assert fail(servers, HERE)[0] == "a"
    assert next_of(servers, HERE) == ("b", 0)
    servers.connected(address(servers, "b"), HERE)
    servers.lost(HERE + 60)
    assert servers.next(HERE + 60) is None
    nowhere = make("a,b", allow_reconnect=False)
    assert [fail(nowhere, HERE)[0] for _ in range(2)] == ["a", "b"]
    assert nowhere.next(HERE + 60) is None


# Servers that INFO tells of


def places(servers: Servers) -> set[str]:
    return {item.place for item in servers.addresses}


def test_servers_that_info_names() -> None:
    servers = make("tls://kim:pw@a")
    told_by = address(servers, "a")
    new = servers.discovered(["b:4222", "a:4222", "[::1]:4223", "nats://x:1", "", None, 5], told_by)
    assert {item.place for item in new} == {"b:4222", "[::1]:4223"}
    assert all((item.scheme, item.user, item.password) == ("tls", "kim", "pw") for item in new)
    assert places(servers) == {"a:4222", "b:4222", "[::1]:4223"}
    assert servers.discovered(["b:4222", "c:4222"], told_by)[0].place == "c:4222"
    assert places(servers) == {"a:4222", "b:4222", "c:4222"}
    assert servers.discovered([], told_by) == ()
    assert servers.discovered(["rubbish"], told_by) == ()
    assert places(servers) == {"a:4222", "b:4222", "c:4222"}


def test_a_server_of_the_users_is_kept_whatever_info_names() -> None:
    servers = make("a,b")
    servers.discovered(["b:4222", "c:4222"], address(servers, "a"))
    servers.discovered(["c:4222"], address(servers, "a"))
    assert places(servers) == {"a:4222", "b:4222", "c:4222"}


def test_the_server_that_we_are_connected_to_is_kept() -> None:
    servers = make("a")
    servers.discovered(["b:4222"], address(servers, "a"))
    servers.connected(address(servers, "b"), HERE)
    servers.discovered(["c:4222"], address(servers, "b"))
    assert places(servers) == {"a:4222", "b:4222", "c:4222"}
    servers.connected(address(servers, "c"), HERE)
    servers.discovered(["c:4222"], address(servers, "c"))
    assert places(servers) == {"a:4222", "c:4222"}


def test_a_server_that_was_forgotten_while_it_was_connected_to() -> None:
    servers = make("a")
    servers.discovered(["b:4222"], address(servers, "a"))
    b = address(servers, "b")
    servers.discovered(["c:4222"], address(servers, "a"))
    servers.failed(b, "refused", HERE)
    servers.lame_duck(b)
    servers.connected(b, HERE)
    assert places(servers) == {"a:4222", "b:4222", "c:4222"}
    servers.lost(HERE + 60)
    assert next_of(servers, HERE + 60)[0] == "a"


def test_no_server_makes_us_know_thousands() -> None:
    servers = make("a")
    servers.discovered([f"n{number}:1" for number in range(10_000)], address(servers, "a"))
    assert len(servers.addresses) <= MOST_DISCOVERED + 1


def test_news_in_an_outage_is_no_reason_to_hurry() -> None:
    servers = make("a")
    now = HERE
    for _ in range(10):
        _, now = fail(servers, now)
    servers.connected(address(servers, "a"), now)
    servers.discovered(["b:4222"], address(servers, "a"))
    servers.lost(now)
    fail(servers, now)
    assert next_of(servers, now)[1] > 1


# A server that is about to stop


def test_a_lame_duck_comes_last() -> None:
    servers = make("a,b,c")
    servers.connected(address(servers, "a"), HERE)
    servers.lame_duck(address(servers, "a"))
    now = HERE + 1
    assert fail(servers, now)[0] == "b"
    assert fail(servers, now)[0] == "c"
    assert next_of(servers, now)[0] == "a"


def test_a_lame_duck_that_is_the_only_one_is_tried_again() -> None:
    servers = make("a")
    servers.connected(address(servers, "a"), HERE)
    servers.lame_duck(address(servers, "a"))
    servers.lost(HERE + 60)
    assert next_of(servers, HERE + 60) == ("a", 0)


def test_a_lame_duck_is_one_for_a_while() -> None:
    servers = make("a,b")
    servers.connected(address(servers, "a"), HERE)
    servers.lame_duck(address(servers, "a"))
    servers.connected(address(servers, "b"), HERE + 10)
    servers.lost(HERE + 20)
    assert next_of(servers, HERE + 20)[0] == "a"


def test_a_lame_duck_is_still_one_after_its_own_connection_lasted() -> None:
    """Also for a server that becomes known later than that."""
    servers = make("a,b")
    servers.connected(address(servers, "a"), HERE)
    servers.lame_duck(address(servers, "a"))
    servers.connected(address(servers, "b"), HERE + 60)
    servers.discovered(["c:4222"], address(servers, "b"))
    servers.lost(HERE + 60)
    assert next_of(servers, HERE + 60)[0] == "c"


def test_an_old_lame_duck_is_a_server_as_the_others() -> None:
    servers = make("a,b,c")
    servers.lame_duck(address(servers, "a"))
    servers.connected(address(servers, "b"), HERE)
    servers.lost(HERE + 20)
    assert next_of(servers, HERE + 20)[0] == "a"


# Nobody lets us in


def test_a_refusal_by_every_server() -> None:
    servers = make("a,b")
    assert servers.refusal is None
    fail(servers, HERE, VIOLATION)
    assert servers.refusal is None
    fail(servers, HERE, VIOLATION)
    assert servers.refusal == str(VIOLATION)
    assert "check user, password" in str(servers.refusal)


def test_a_server_that_is_away_is_no_answer() -> None:
    servers = make("a,b")
    fail(servers, HERE, "connection refused")
    fail(servers, HERE, VIOLATION)
    assert servers.refusal == str(VIOLATION)
    nobody = make("a,b")
    fail(nobody, HERE, "connection refused")
    fail(nobody, HERE, "connection refused")
    assert nobody.refusal is None


def test_another_answer_is_no_refusal() -> None:
    servers = make("a,b")
    fail(servers, HERE, FULL)
    fail(servers, HERE, VIOLATION)
    assert servers.refusal is None


def test_who_was_let_in_is_not_refused() -> None:
    servers = make("a")
    fail(servers, HERE, VIOLATION)
    servers.connected(address(servers, "a"), HERE)
    assert servers.refusal is None
    servers.lost(HERE)
    assert servers.refusal is None
    fail(servers, HERE, VIOLATION)
    assert servers.refusal == str(VIOLATION)


def test_a_removed_user_is_seen_when_it_is_cut() -> None:
    servers = make("a")
    servers.connected(address(servers, "a"), HERE)
    servers.lost(HERE + 60, refusal_of("User Authentication Expired"))
    assert servers.refusal is not None
    assert "renew the credentials file" in servers.refusal


def test_what_was_answered_before_a_connection_that_lasted_is_old() -> None:
    servers = make("a,b")
    fail(servers, HERE, VIOLATION)
    servers.connected(address(servers, "b"), HERE)
    servers.lost(HERE + 60, VIOLATION)
    assert servers.refusal is None


# A rule of the user's


def test_a_handler_chooses_the_server() -> None:
    asked: list[tuple[list[ServerChoice], dict[str, Any]]] = []

    def handler(servers: list[ServerChoice], info: dict[str, Any]) -> tuple[ServerChoice, float]:
        asked.append((servers, info))
        return servers[-1], 0.25

    servers = make("nats://kim:pw@a,b,c", reconnect_to_server_handler=handler)
    assert next_of(servers, HERE) == ("a", 0)
    assert not asked
    servers.failed(address(servers, "a"), "refused", HERE)
    servers.connected(address(servers, "b"), HERE)
    servers.lost(HERE + 60)
    assert next_of(servers, HERE + 60, {"version": "2.15.1"}) == ("c", 0.25)
    ((choices, info),) = asked
    assert [choice.uri.netloc for choice in choices] == ["a:4222", "b:4222", "c:4222"]
    assert choices[0].uri.hostname == "a"
    assert info == {"version": "2.15.1"}
    servers.failed(address(servers, "c"), "refused", HERE + 60)
    next_of(servers, HERE + 61)
    assert [choice.reconnects for choice in asked[-1][0]] == [0, 0, 1]


def test_a_handler_that_leaves_the_choice_to_us() -> None:
    servers = make("a,b", reconnect_to_server_handler=lambda servers, info: (None, 7))
    servers.connected(address(servers, "a"), HERE)
    servers.lost(HERE + 60)
    assert next_of(servers, HERE + 60) == ("b", 7)


@pytest.mark.parametrize(
    "answer",
    [None, 5, ("a", 0), (None, -1), (None, float("nan")), (None, float("inf")), (None, "soon"),
     (ServerChoice(parse_servers("x")[0], 0), 0), ValueError("mine")],  # type: ignore[arg-type]
)  # fmt: skip
def test_a_handler_that_answers_wrongly(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    def handler(_servers: object, _info: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    servers = make("a,b", reconnect_to_server_handler=handler)
    servers.connected(address(servers, "a"), HERE)
    servers.lost(HERE + 60)
    with caplog.at_level(logging.ERROR, "walnats_anyio.link"):
        assert next_of(servers, HERE + 60) == ("b", 0)
    assert "reconnect_to_server_handler did not return" in caplog.text


def test_an_exit_in_a_handler_goes_out() -> None:
    def handler(_servers: object, _info: object) -> Any:
        raise SystemExit

    servers = make("a", reconnect_to_server_handler=handler)
    servers.connected(address(servers, "a"), HERE)
    servers.lost(HERE + 60)
    with pytest.raises(SystemExit):
        servers.next(HERE + 60)


def test_nothing_shows_a_password() -> None:
    servers = make("nats://kim:kimspw@a,kimspw@b")
    assert "kimspw" not in repr(servers)
    assert "nats://***@a:4222" in repr(servers)


# Laws, whatever happens


@settings(deadline=None)
@given(
    hosts=st.lists(st.integers(1, 9), min_size=1, max_size=9, unique=True),
    up=st.integers(1, 9),
    outage=st.floats(0, 500),
    seed=st.integers(0, 1000),
)
def test_a_server_that_comes_back_is_found_soon(
    hosts: list[int], up: int, outage: float, seed: int
) -> None:
    servers = make(",".join(f"h{host}" for host in hosts), seed, dont_randomize=False)
    back = f"h{up if up in hosts else hosts[0]}"
    now = HERE
    while now < HERE + outage:
        _, now = fail(servers, now)
    back_at = now
    while True:
        host, wait = next_of(servers, now)
        now += wait
        if host == back:
            break
        servers.failed(address(servers, host), "refused", now)
    assert now - back_at <= BACKOFF[1]


class AnyHistory(RuleBasedStateMachine):
    """A connection that obeys the rule, among servers that do whatever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.given = {"a:4222", "b:4222"}
        self.servers = make("a,b", 1, dont_randomize=False)
        self.now = HERE
        self.at: ServerAddress | None = None
        self.connected_at = 0.0
        self.unstable: list[float] = []
        self.attempts: dict[str, list[float]] = {}

    def _attempt(self) -> ServerAddress:
        chosen = self.servers.next(self.now)
        assert chosen is not None
        server, wait = chosen
        assert server in self.servers.addresses
        assert 0 <= wait <= BACKOFF[1]
        self.now += wait + 1e-6
        self.attempts.setdefault(server.place, []).append(self.now)
        return server

    @precondition(lambda self: self.at is None)
    @rule(reason=st.sampled_from(["refused", VIOLATION, FULL]))
    def fails(self, reason: Any) -> None:
        self.servers.failed(self._attempt(), reason, self.now)

    @precondition(lambda self: self.at is None)
    @rule()
    def connects(self) -> None:
        self.at = self._attempt()
        self.servers.connected(self.at, self.now)
        self.connected_at = self.now
        assert self.servers.refusal is None

    @precondition(lambda self: self.at is not None)
    @rule(
        after=st.sampled_from([0.0, 0.1, STABLE_AFTER - 0.1, STABLE_AFTER + 0.1, 1000.0]),
        reason=st.sampled_from([None, "end of file", VIOLATION]),
    )
    def is_lost(self, after: float, reason: Any) -> None:
        self.now += after
        self.at = None
        self.servers.lost(self.now, reason)
        if self.now - self.connected_at >= STABLE_AFTER:
            self.attempts.clear()
            self.unstable.clear()
            chosen = self.servers.next(self.now)
            assert chosen is not None
            assert chosen[1] == 0
        else:
            self.unstable.append(self.now)

    @precondition(lambda self: self.at is not None)
    @rule(urls=st.lists(st.sampled_from(["a:4222", "c:1", "d:2", "[::1]:3", "bad", "e:99999"])))
    def tells(self, urls: list[str]) -> None:
        assert self.at is not None
        before = {item.place for item in self.servers.addresses}
        new = {item.place for item in self.servers.discovered(urls, self.at)}
        after = {item.place for item in self.servers.addresses}
        good = set(urls) - {"bad", "e:99999"}
        assert new == good - before
        if good:
            assert after == self.given | good | {self.at.place}
        else:
            assert after == before

    @precondition(lambda self: self.at is not None)
    @rule()
    def is_about_to_stop(self) -> None:
        assert self.at is not None
        self.servers.lame_duck(self.at)

    @invariant()
    def what_the_user_gave_is_kept(self) -> None:
        assert self.given <= {item.place for item in self.servers.addresses}

    @invariant()
    def there_is_always_a_next_one(self) -> None:
        assert self.servers.next(self.now) is not None

    @invariant()
    def no_server_is_pressed(self) -> None:
        """Between two attempts at one server lies the wait that the first of them earned."""
        for place in self.given:
            times = self.attempts.get(place, [])
            for number, (one, two) in enumerate(pairwise(times)):
                whole = min(BACKOFF[1], BACKOFF[0] * 2**number)
                assert two - one >= JITTER[0] * whole - 1e-3


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(deadline=None)
