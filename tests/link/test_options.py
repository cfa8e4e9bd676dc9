"""What may be said about a connection: servers and options, and what is said when it is wrong."""

from __future__ import annotations

import dataclasses
import inspect
import math
import ssl
from collections import UserString
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client, RawCredentials

import walnats_anyio as walnats
from walnats_anyio._link._options import (
    ConnectOptions,
    ServerAddress,
    check_connect,
    is_client,
    parse_servers,
    without_password,
)

EVENTS = walnats.Events(walnats.Event("user-created", int))
URL = "nats://127.0.0.1:1"
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"

OF_NATS_PY = set(inspect.signature(Client.connect).parameters) - {"self", "servers"}
REFUSED = {"skip_subject_validation", "flush_timeout", "pending_size", "flusher_queue_size"}
NO_LIST: list[str] = []


def one(url: str) -> ServerAddress:
    (address,) = parse_servers(url)
    return address


# Servers


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("nats://localhost:4222", "nats", "localhost", 4222),
        ("nats://localhost", "nats", "localhost", 4222),
        ("localhost", "nats", "localhost", 4222),
        ("localhost:14222", "nats", "localhost", 14222),
        ("NATS://LocalHost:1", "nats", "localhost", 1),
        ("tls://nats.example.com", "tls", "nats.example.com", 4222),
        ("ws://nats.example.com", "ws", "nats.example.com", 80),
        ("wss://nats.example.com", "wss", "nats.example.com", 443),
        ("wss://nats.example.com:8443", "wss", "nats.example.com", 8443),
        ("nats://[::1]:4223", "nats", "::1", 4223),
        ("[::1]:4223", "nats", "::1", 4223),
        ("nats://[2001:db8::7]", "nats", "2001:db8::7", 4222),
        (" nats://localhost:4222\n", "nats", "localhost", 4222),
        ("nats://localhost:4222/", "nats", "localhost", 4222),
    ],
)
def test_a_url(url: str, scheme: str, host: str, port: int) -> None:
    address = one(url)
    assert (address.scheme, address.host, address.port) == (scheme, host, port)
    assert (address.user, address.password, address.token, address.path) == (None, None, None, "")
    assert address.tls == (scheme in ("tls", "wss"))
    assert address.websocket == (scheme in ("ws", "wss"))


@pytest.mark.parametrize(
    ("url", "user", "password", "token"),
    [
        ("nats://kim:pw@h", "kim", "pw", None),
        ("kim:pw@h:1", "kim", "pw", None),
        ("nats://kim:@h", "kim", "", None),
        ("nats://:pw@h", "", "pw", None),
        ("nats://s3cret@h", None, None, "s3cret"),
        ("nats://s%40cret@h", None, None, "s@cret"),
        ("nats://k%3Am:p%40%2F%2C%23w@h", "k:m", "p@/,#w", None),
        ("nats://kim:p@w@h", "kim", "p@w", None),
        ("nats://%C3%A9:%E2%82%AC@h", "é", "€", None),
        ("nats://@h", None, None, None),
    ],
)
def test_who_a_url_says_we_are(
    url: str, user: str | None, password: str | None, token: str | None
) -> None:
    address = one(url)
    assert (address.user, address.password, address.token) == (user, password, token)
    assert address.host == "h"


@given(user=st.text(min_size=1), password=st.text())
def test_any_user_and_password_can_be_written_in_a_url(user: str, password: str) -> None:
    address = one(f"nats://{quote(user, safe='')}:{quote(password, safe='')}@[::1]:7")
    assert (address.user, address.password, address.host) == (user, password, "::1")
    assert address.shown == "nats://***@[::1]:7"


def test_several_servers() -> None:
    wanted = ["nats://a:4222", "nats://b:4223", "tls://c:4222"]
    for given_as in (
        "a, nats://b:4223,tls://c",
        ["a", "b:4223", "tls://c"],
        ("a,b:4223", "tls://c"),
    ):
        assert [address.shown for address in parse_servers(given_as)] == wanted


def test_a_server_that_is_named_twice_counts_once() -> None:
    assert len(parse_servers("a,nats://A:4222,tls://a,b")) == 2
    told = one("nats://h").neighbour("B.example.com:1")
    assert told is not None
    assert told.place == "b.example.com:1"


def test_the_path_of_a_websocket() -> None:
    address = one("wss://kim:pw@h/nats/ws?key=s3cret")
    assert address.path == "/nats/ws?key=s3cret"
    assert address.shown == "wss://***@h:443/nats/ws"


NO_URLS = [
    "", " ", [], (), [""], ["nats://x", ""], "a,", "a,,b", "nats://", "http://127.0.0.1:4222",
    "nats://127.0.0.1:port", "nats://127.0.0.1:99999", "nats://127.0.0.1:0", "nats://::1:4222",
    "nats://a b:1", "nats://a\tb:1", "nats://a\x00b", "nats://[::1", "nats://h:1/path", "nats://h?x",
    "nats://h#x", "nats://%ff:x@h", "unix:///tmp/nats.sock", "://", ":", "@", "nats://:4222",
]  # fmt: skip


@pytest.mark.parametrize("server", NO_URLS)
def test_what_is_no_url(server: Any) -> None:
    with pytest.raises(ValueError, match=r"server URL .*pass one such as|list .* is empty"):
        check_connect(server, {})


@given(st.text())
def test_whatever_text_is_a_server_or_a_value_error(text: str) -> None:
    try:
        addresses = parse_servers(text)
    except ValueError as error:
        if type(error) is not ValueError or not str(error):
            raise AssertionError("no error of ours") from error
        return
    assert all(address.host and 0 < address.port < 65536 for address in addresses)


@pytest.mark.parametrize(
    "server", [5, True, b"nats://x:pw@h", {"a"}, [5], ["nats://x", None], object]
)
def test_what_names_no_server(server: Any) -> None:
    with pytest.raises(TypeError, match="server must be a URL, a list of URLs or") as caught:
        check_connect(server, {})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "nats://kim:kimspw@h:port", "htp://kim:kimspw@h:4222", "nats://kim:kimspw,x@h", "kimspw@",
        "nats://kim:1/kimspw@h", "nats://kim:1#kimspw@h", "nats://kim:1?kimspw@h",
        "nats://kim:kimspw\n@h", "nats://kim:kim\nspw@h",
    ],
)  # fmt: skip
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(ValueError, match="server URL") as caught:
        check_connect(url, {})
    assert "spw" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_that_must_be_encoded_is_said_so() -> None:
    with pytest.raises(ValueError, match=r"percent-encode it .*or pass the options user"):
        check_connect("nats://kim:1/2@h", {})


def test_nothing_shows_a_password() -> None:
    for address in (one("nats://kim:kimspw@h"), one("nats://kimspw@h"), one("ws://h/?kimspw")):
        assert "kimspw" not in address.shown + repr(address) + str(address)
    assert without_password("nats://kim:p@kimspw@h") == "nats://***@h"
    assert without_password("kim:kimspw@h") == "***@h"
    assert without_password("nats://h") == "nats://h"


def test_websockets_are_not_mixed_with_others() -> None:
    with pytest.raises(ValueError, match=r"nats://a:4222, ws://b:80 mix websockets"):
        check_connect("a,ws://b", {})
    check_connect("ws://a,wss://b", {})
    check_connect("nats://a,tls://b", {})


def test_servers_that_another_one_tells_of() -> None:
    told_by = one("tls://kim:pw@nats.example.com")
    found = told_by.neighbour("10.0.0.2:4223")
    assert found is not None
    assert (found.scheme, found.place, found.user, found.password) == (
        "tls", "10.0.0.2:4223", "kim", "pw",
    )  # fmt: skip
    assert found.certificate_host == "nats.example.com"
    further = found.neighbour("[::1]:4222")
    assert further is not None
    assert (further.host, further.certificate_host) == ("::1", "nats.example.com")
    named = found.neighbour("b.example.com:4222")
    assert named is not None
    assert named.certificate_host is None


@pytest.mark.parametrize(
    "told",
    ["", "h", ":1", "h:", "h:0", "h:65536", "h:123456", "nats://h:1", "kim@h:1", "h:1/x", "h 1:1",
     "[::1]", "::1:4222", "[::1:1", "h:-1", "h:\uff11", "h:1\n", "a,b:1", "[h]:1"],
)  # fmt: skip
def test_a_malformed_neighbour(told: str) -> None:
    assert one("nats://h").neighbour(told) is None


@given(st.text())
def test_whatever_a_server_tells_of(told: str) -> None:
    found = one("nats://h").neighbour(told)
    assert found is None or one(found.place).place == found.place


# A client


def test_a_client_is_recognised() -> None:
    client = Client()
    assert is_client(client)
    check_connect(client, {})
    for other in ("nats://h", None, Client, ["nats://h"], 5):
        assert not is_client(other)


def test_options_beside_a_client() -> None:
    with pytest.raises(TypeError, match=r"\['name'\] have no effect on a client"):
        check_connect(Client(), {"name": "x"})


@pytest.mark.parametrize("borrowed", [False, True])
def test_actors_on_a_connection_without_an_echo(borrowed: bool) -> None:
    client = Client()
    client.options = {"no_echo": True}
    given: tuple[Any, dict[str, Any]] = (client, {}) if borrowed else (URL, {"no_echo": True})
    actors = walnats.Actors(walnats.Actor("a", walnats.Event("e", int), print))
    with pytest.raises(ValueError, match=r"no_echo=True keeps .* leave it out"):
        actors.connect(given[0], **given[1])
    actors.connect(URL, no_echo=False)


# Options


def test_every_option_of_nats_py_is_there_or_refused() -> None:
    ours = {field.name for field in dataclasses.fields(ConnectOptions)}
    assert ours == OF_NATS_PY - REFUSED


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_option_that_is_refused_says_what_to_do(name: str) -> None:
    with pytest.raises(TypeError, match=rf"option '{name}'; .*leave it out"):
        check_connect(URL, {name: False})


def test_every_option_is_documented() -> None:
    source = inspect.getsource(ConnectOptions)
    for field in dataclasses.fields(ConnectOptions):
        _, _, rest = source.partition(f"    {field.name}: ")
        assert '"""' in "".join(rest.splitlines(keepends=True)[1:2]), field.name


DEFAULTS = {
    "connect_timeout": 2.0,
    "ping_interval": 7.5,
    "max_outstanding_pings": 2,
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": None,
    "inbox_prefix": "_INBOX",
    "allow_reconnect": True,
}


@pytest.mark.parametrize(
    "given_as", [{}, dict.fromkeys(OF_NATS_PY - REFUSED)], ids=["none", "None"]
)
def test_defaults(given_as: dict[str, Any]) -> None:
    check_connect(None, given_as)
    options = ConnectOptions.of(given_as)
    assert options == ConnectOptions()
    assert {name: getattr(options, name) for name in DEFAULTS} == DEFAULTS


def text() -> str:
    return "x"


async def coroutine(*_args: object) -> None:
    pass


def generator(*_args: object) -> Iterator[None]:
    yield


class AsyncCall:
    async def __call__(self, *_args: object) -> None:
        pass


SERVER_SIDE = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

WRONG: list[tuple[str, object]] = [
    *[(name, value) for name in ("connect_timeout", "ping_interval", "reconnect_time_wait",
                                 "drain_timeout")
      for value in ("2", 0, -1, True, math.nan, math.inf, NO_LIST)],
    *[(name, value) for name in ("allow_reconnect", "dont_randomize", "no_echo", "pedantic",
                                 "verbose", "tls_handshake_first") for value in (1, "yes", 0)],
    *[(name, value) for name in ("max_outstanding_pings",)
      for value in (0, -1, 2.0, True, "5")],
    *[("max_reconnect_attempts", value) for value in (0, -2, 1.5, True, "3")],
    *[("inbox_prefix", value) for value in (5, "", b"", "a b", "a.*", ">", "a.", ".a", "a..b",
                                            b"\xff", "a\r\nSUB x", "a\x00")],
    *[(name, value) for name in ("name", "tls_hostname") for value in (5, b"x")],
    ("tls_hostname", ""),
    *[("tls", value) for value in (True, "cert.pem", SERVER_SIDE)],
    *[(name, value) for name in ("user", "password", "token")
      for value in (5, b"x", coroutine, lambda one: one, generator, AsyncCall())],
    *[("user_jwt_cb", value) for value in ("x", coroutine, lambda one: one, AsyncCall())],
    *[("signature_cb", value) for value in ("x", coroutine, text, generator)],
    *[("reconnect_to_server_handler", value) for value in (5, coroutine, text)],
    *[("error_cb", value) for value in (5, text, lambda one, two: None, generator)],
    *[(name, value) for name in ("disconnected_cb", "closed_cb", "reconnected_cb",
                                 "discovered_server_cb", "lame_duck_mode_cb")
      for value in ("print", lambda one: None, generator)],
    *[("nkeys_seed", value) for value in (5, "", "/no/such/file", b"/x")],
    *[("nkeys_seed_str", value) for value in (5, "", "no seed", SEED[:-1], SEED + "A", b"x")],
    *[("user_credentials", value) for value in (5, "", "/no/such/file", (), ("a",), ("", "b"),
                                                ("a", "b", "c"), ("a", 5), ["a", "b"])],
    *[("ws_connection_headers", value) for value in (
        5, NO_LIST, {"a": 5}, {5: "a"}, {"a": ["b", 5]}, {"a": "b\r\nc: d"}, {"a b": "c"},
        {"": "x"}, {"a:": "x"}, {"a": None}, {"a": "\u20ac"})],
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_option(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=f"option {name}"):
        check_connect(URL, {name: value, **({"password": "x"} if name == "user" else {})})


def test_a_wrong_option_is_said_by_the_call_that_got_it() -> None:
    options: dict[str, Any] = {"connect_timeout": "2"}
    with pytest.raises(TypeError, match="option connect_timeout must be a number of seconds above"):
        EVENTS.connect(URL, **options)


@pytest.mark.parametrize("name", ["nope", "servers", "usr"])
def test_an_unknown_option(name: str) -> None:
    with pytest.raises(TypeError, match=rf"unknown connection option '{name}'; .*nkeys_seed,"):
        check_connect(URL, {name: None})


def test_the_servers_of_nats_py_are_the_first_argument_here() -> None:
    with pytest.raises(TypeError, match="pass the URLs as the first argument, server"):
        check_connect(URL, {"servers": ["nats://h"]})


RIGHT: list[dict[str, Any]] = [
    {"user": "kim", "password": ""},
    {"user": text, "password": text},
    {"token": "x"},
    {"token": text},
    {"token": "x", "nkeys_seed_str": f" {SEED}\n"},
    {"user_jwt_cb": text},
    {"user_jwt_cb": text, "signature_cb": lambda nonce: b""},
    {"user_credentials": RawCredentials("anything")},
    {"user_credentials": UserString("anything")},
    {"user_credentials": f"-----BEGIN NATS USER JWT-----\nx\n{SEED}"},
    {"tls": ssl.create_default_context(), "tls_hostname": "h", "tls_handshake_first": True},
    {"error_cb": print, "closed_cb": print, "disconnected_cb": coroutine},
    {"error_cb": AsyncCall(), "reconnected_cb": lambda: None, "lame_duck_mode_cb": text},
    {"inbox_prefix": "_MY.inbox"},
    {"inbox_prefix": b"_MY.inbox"},
    {"name": "billing: é", "no_echo": True, "verbose": True, "pedantic": True},
    {"reconnect_time_wait": 1, "max_reconnect_attempts": 3, "dont_randomize": True},
    {"allow_reconnect": False, "max_reconnect_attempts": -1},
    {"reconnect_to_server_handler": lambda servers, info: (servers[0], 0)},
    {"drain_timeout": 0.5},
]


@pytest.mark.parametrize("options", RIGHT, ids="-".join)
def test_right_options(options: dict[str, Any]) -> None:
    check_connect(URL, options)
    made = ConnectOptions.of(options)
    for name, value in options.items():
        wanted = value.decode() if isinstance(value, bytes) else value
        assert getattr(made, name) == wanted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user": "kim"}, "option user needs password"),
        ({"password": "x"}, "option password needs user"),
        ({"user": "kim", "password": "x", "token": "y"}, "user and token exclude each other"),
        ({"nkeys_seed_str": SEED, "user_jwt_cb": text}, "nkeys_seed_str and user_jwt_cb exclude"),
        (
            {"user_credentials": UserString("x"), "nkeys_seed_str": SEED},
            "nkeys_seed_str and user_credentials exclude",
        ),
        (
            {"user": "kim", "password": "x", "nkeys_seed_str": SEED},
            "user and nkeys_seed_str exclude each other",
        ),
        ({"signature_cb": lambda nonce: b""}, "signature_cb needs user_jwt_cb"),
        (
            {"reconnect_to_server_handler": lambda a, b: a, "allow_reconnect": False},
            "no effect with allow_reconnect=False",
        ),
        ({"ws_connection_headers": {"a": "b"}}, "websockets only"),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        check_connect(URL, options)
    assert SEED not in str(caught.value)


def test_headers_of_a_websocket() -> None:
    headers = {"Authorization": ["Bearer x"], "X-A": "1", "X-B": ("2", "3")}
    check_connect("ws://h", {"ws_connection_headers": headers})
    check_connect(None, {"ws_connection_headers": headers})
    made = ConnectOptions.of({"ws_connection_headers": headers})
    assert made.ws_connection_headers == (
        ("Authorization", "Bearer x"), ("X-A", "1"), ("X-B", "2"), ("X-B", "3"),
    )  # fmt: skip


# Files and secrets


def test_files_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "kim.creds"
    for name in ("nkeys_seed", "user_credentials"):
        with pytest.raises(ValueError, match=rf"option {name}: there is no file .*kim\.creds"):
            check_connect(URL, {name: file})
    with pytest.raises(ValueError, match="there is no file"):
        check_connect(URL, {"user_credentials": tmp_path})
    with pytest.raises(ValueError, match="there is no file"):
        check_connect(URL, {"user_credentials": "x" * 5000})
    file.write_text("not looked into yet")
    check_connect(URL, {"nkeys_seed": file})
    check_connect(URL, {"user_credentials": str(file)})
    check_connect(URL, {"user_credentials": (file, str(file))})
    assert ConnectOptions.of({"user_credentials": (file, file)}).user_credentials == (
        str(file), str(file),
    )  # fmt: skip


def test_a_seed_where_a_path_should_be() -> None:
    with pytest.raises(ValueError, match="pass the seed itself as nkeys_seed_str") as caught:
        check_connect(URL, {"nkeys_seed": SEED})
    assert SEED not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"nkeys_seed_str": SEED + SEED},
        {"nkeys_seed": f"/keys/{SEED}"},
        {"user_credentials": SEED},
        {"user_credentials": f"x\n{SEED}\n"},
        {"user_credentials": (SEED, SEED)},
        {"user_credentials": [SEED]},
        {"nkeys_seed_str": [SEED]},
        {"nkeys_seed_str": SEED.encode()},
        {"token": [SEED]},
        {"token": SEED.encode()},
        {"password": [SEED], "user": "kim"},
        {"ws_connection_headers": {"a": SEED + "\n"}},
    ],
    ids=lambda options: next(iter(options)),
)
def test_no_error_shows_a_secret(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match="option") as caught:
        check_connect(URL, options)
    assert SEED not in str(caught.value)
    assert SEED not in repr(caught.value)


def test_no_repr_shows_a_secret() -> None:
    secrets: list[dict[str, Any]] = [
        {"nkeys_seed_str": SEED},
        {"user": "kim", "password": SEED},
        {"token": SEED},
        {"user_credentials": UserString(SEED)},
        {"ws_connection_headers": {"a": SEED}},
    ]
    for options in secrets:
        assert SEED not in repr(ConnectOptions.of(options))
