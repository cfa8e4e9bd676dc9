"""Keys, credentials files and TLS: passed through to the client, on both event loops."""

from __future__ import annotations

import base64
import gc
import json
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it is not typed
import pytest
import trustme

import walnats_anyio as walnats
from tests.faults._proxy import Proxy
from tests.link._bare import BadServer
from tests.support.leftovers import Leftovers
from tests.support.sweep import sweep
from tests.support.waiting import until
from walnats_anyio._link import open_link
from walnats_anyio._link._handshake import dial
from walnats_anyio._link._options import ConnectOptions, parse_servers
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

EVENT = walnats.Event("user-created", int)
EVENTS = walnats.Events(EVENT)


async def emits(url: str, **options: Any) -> None:
    """Connect, register and emit: a round trip with everything."""
    async with EVENTS.connect(url, **options) as conn:
        await conn.register()
        await conn.emit(EVENT, 1, sync=True)


async def is_refused(url: str, **options: Any) -> None:
    with pytest.raises(walnats.ConnectError, match="check user, password, token, nkeys"):
        async with EVENTS.connect(url, **options):
            pytest.fail("connected")


# Keys


@dataclass(frozen=True)
class Key:
    """An nkey pair."""

    seed: str

    @property
    def public(self) -> str:
        return bytes(self._pair().public_key).decode()

    def sign(self, data: bytes) -> bytes:
        return bytes(self._pair().sign(data))

    def _pair(self) -> Any:
        return nkeys.from_seed(bytearray(self.seed.encode()))


def make_key(prefix: int) -> Key:
    return Key(bytes(nkeys.encode_seed(os.urandom(32), prefix=prefix)).decode())


@pytest.fixture
def key() -> Key:
    return make_key(nkeys.PREFIX_BYTE_USER)


@pytest.fixture
def key_server(key: Key) -> Iterator[NatsServer]:
    config = f"authorization {{ users = [{{ nkey: {key.public} }}] }}"
    with NatsServer(config=config) as server:
        yield server


async def test_a_seed_in_a_file(key: Key, key_server: NatsServer, tmp_path: Path) -> None:
    file = tmp_path / "kim.nk"
    file.write_text(key.seed)
    await emits(key_server.url, nkeys_seed=str(file))


async def test_a_seed_as_text(key: Key, key_server: NatsServer) -> None:
    await emits(key_server.url, nkeys_seed_str=key.seed)


async def test_somebody_elses_seed(key_server: NatsServer) -> None:
    other = make_key(nkeys.PREFIX_BYTE_USER)
    await is_refused(key_server.url, nkeys_seed_str=other.seed)


async def test_what_is_no_seed(key_server: NatsServer) -> None:
    with pytest.raises((ValueError, walnats.ConnectError), match="seed"):
        await emits(key_server.url, nkeys_seed_str="no seed")


# Credentials: a token that an account has signed, whose token an operator has signed


def token(
    issuer: Key, subject: Key, name: str, claims: dict[str, Any], seconds: int = 1_000_000
) -> str:
    """A JWT as `nsc` makes it, that expires in so many seconds."""
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    body = {
        "jti": base64.b32encode(os.urandom(32)).decode().strip("="),
        "iat": int(time.time()),
        "exp": int(time.time()) + seconds,
        "iss": issuer.public,
        "name": name,
        "sub": subject.public,
        "nats": {"version": 2, **claims},
    }
    signed = ".".join(_part(json.dumps(part).encode()) for part in (header, body))
    return f"{signed}.{_part(issuer.sign(signed.encode()))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


UNLIMITED = dict.fromkeys(
    [
        "subs",
        "data",
        "payload",
        "imports",
        "exports",
        "conn",
        "leaf",
        "mem_storage",
        "disk_storage",
        "streams",
        "consumer",
    ],
    -1,
)


class Realm:
    """An operator, an account with JetStream, and whom the account lets in."""

    def __init__(self) -> None:
        self._operator = make_key(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = make_key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._system = make_key(nkeys.PREFIX_BYTE_ACCOUNT)

    def server_config(self) -> str:
        limits = {**UNLIMITED, "wildcards": True}
        operator = token(self._operator, self._operator, "operator", {"type": "operator"})
        accounts = {
            "shop": (self._account, {"type": "account", "limits": limits}),
            "SYS": (
                self._system,
                {"type": "account", "limits": {**limits, "mem_storage": 0, "disk_storage": 0}},
            ),
        }
        preload = "\n".join(
            f"{key.public}: {token(self._operator, key, name, claims)}"
            for name, (key, claims) in accounts.items()
        )
        return (
            f"operator: {operator}\nsystem_account: {self._system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
        )

    def credentials(self, *, signed_by: Key | None = None, seconds: int = 1_000_000) -> str:
        """The text of a credentials file for a new user."""
        user = make_key(nkeys.PREFIX_BYTE_USER)
        signed = self.user_jwt(user, signed_by=signed_by, seconds=seconds)
        return (
            f"-----BEGIN NATS USER JWT-----\n{signed}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )

    def user_jwt(self, user: Key, *, signed_by: Key | None = None, seconds: int) -> str:
        """The JWT of a user of the account."""
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        return token(signed_by or self._account, user, "kim", claims, seconds)


async def test_a_credentials_file(tmp_path: Path) -> None:
    realm = Realm()
    mine, other = tmp_path / "kim.creds", tmp_path / "other.creds"
    mine.write_text(realm.credentials())
    other.write_text(realm.credentials(signed_by=make_key(nkeys.PREFIX_BYTE_ACCOUNT)))
    with NatsServer(config=realm.server_config()) as server:
        await emits(server.url, user_credentials=str(mine))
        await emits(server.url, user_credentials=mine)
        await is_refused(server.url, user_credentials=str(other))
        await is_refused(server.url)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_config(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A server that proves who it is, and wants the same of its clients."""
    directory = tmp_path_factory.mktemp("tls")
    proof = authority.issue_cert("127.0.0.1", "localhost")
    proof.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    authority.cert_pem.write_to_path(directory / "authority.pem")
    both = str(directory / "server.pem")
    return {"cert_file": both, "key_file": both, "ca_file": str(directory / "authority.pem")}


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls(authority: trustme.CA, tls_config: dict[str, Any]) -> None:
    with NatsServer(config={"tls": tls_config}) as server:
        context = trusting(authority)
        await emits(server.url, tls=context)
        await emits(server.url.replace("nats://", "tls://"), tls=context)
        await emits(server.url.replace("127.0.0.1", "localhost"), tls=context)


async def test_tls_survives_a_reconnect(authority: trustme.CA, tls_config: dict[str, Any]) -> None:
    with NatsServer(config={"tls": tls_config}) as server:
        async with EVENTS.connect(server.url, tls=trusting(authority)) as conn:
            await conn.register()
            await server.restart()
            await conn.emit(EVENT, 1, sync=True)


async def test_tls_that_ends_without_a_farewell(
    authority: trustme.CA, tls_config: dict[str, Any]
) -> None:
    """A server that is killed says none: that is a connection closed, and no violation of TLS."""
    with NatsServer(config={"tls": tls_config}) as server:
        options = {"tls": trusting(authority), "reconnect_time_wait": 60}
        async with open_link(server.url, options=options) as link:
            server.kill()
            await until(lambda: bool(link.trouble))
            assert link.trouble == "the server closed the connection"


async def test_tls_that_is_reset(authority: trustme.CA, tls_config: dict[str, Any]) -> None:
    """The reason is that of the socket below."""
    with NatsServer(config={"tls": tls_config}) as server, Proxy(server.port) as proxy:
        options = {"tls": trusting(authority), "reconnect_time_wait": 60}
        async with open_link(proxy.url, options=options) as link:
            proxy.cut()
            await until(lambda: bool(link.trouble))
            assert "reset by peer" in link.trouble


async def test_tls_before_the_first_word(authority: trustme.CA, tls_config: dict[str, Any]) -> None:
    with NatsServer(config={"tls": tls_config | {"handshake_first": True}}) as server:
        await emits(server.url, tls=trusting(authority), tls_handshake_first=True)


@pytest.mark.parametrize("words", [b"INFO {}\r\n", b"MSG a 1 9\r\n"], ids=["whole", "half"])
async def test_words_before_tls_are_nobodys(words: bytes) -> None:
    """Who sits in between could add them, and they would be taken for the server's."""
    said = b'INFO {"tls_required":true,"max_payload":1048576}\r\n' + words
    told = "more than INFO before the TLS handshake"
    with (
        BadServer(lambda connection: connection.sendall(said)) as server,
        pytest.raises(walnats.ConnectError, match=told),
    ):
        await emits(server.url, tls=ssl.create_default_context())


async def test_tls_with_a_certificate_of_ours(
    authority: trustme.CA, tls_config: dict[str, Any]
) -> None:
    with NatsServer(config={"tls": tls_config | {"verify": True}}) as server:
        context = trusting(authority)
        with pytest.raises(walnats.ConnectError):
            await emits(server.url, tls=context)
        authority.issue_cert("kim@example.com").configure_cert(context)
        await emits(server.url, tls=context)


async def test_a_server_that_cannot_be_trusted(tls_config: dict[str, Any]) -> None:
    with NatsServer(config={"tls": tls_config}) as server:
        errors: list[Exception] = []
        for options in ({}, {"tls": ssl.create_default_context()}):
            with pytest.raises(walnats.ConnectError, match=r"(?i)certificate verify failed"):
                await emits(server.url, error_cb=errors.append, **options)
    assert len(errors) == 2  # each is tried once: it does not pass by itself


async def test_a_server_that_another_one_named_proves_the_name_that_was_given(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """Servers tell the addresses of each other, which their certificates need not have."""
    proof = authority.issue_cert("localhost")
    proof.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    both = str(tmp_path / "server.pem")
    with NatsServer(config={"tls": {"cert_file": both, "key_file": both}}) as server:
        named = parse_servers("tls://localhost:1")[0].neighbour(f"127.0.0.1:{server.port}")
        assert named is not None
        established = await dial(named, ConnectOptions.of({"tls": trusting(authority)}))
        await established.transport.close()


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("first", [False, True])
async def test_cancelled_at_every_checkpoint(
    authority: trustme.CA, tls_config: dict[str, Any], first: bool, trusted: bool
) -> None:
    context = trusting(authority) if trusted else ssl.create_default_context()

    async def scenario() -> None:
        with suppress(walnats.ConnectError):
            async with EVENTS.connect(server.url, tls=context, tls_handshake_first=first):
                assert trusted

    with NatsServer(config={"tls": tls_config | {"handshake_first": first}}) as server:
        leftovers = Leftovers()
        assert await sweep(scenario, leftovers.none, bounded_by=15) >= 2
    gc.collect()
