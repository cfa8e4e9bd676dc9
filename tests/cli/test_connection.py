"""Where to connect and as whom: options, variables, URLs; against servers that ask for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it is not typed
import pytest
import trustme
from typer.testing import CliRunner

from tests.cli._command import marked, started
from tests.cli.conftest import Shop, on_one_loop
from tests.link.test_credentials import Realm, make_key
from walnats_anyio.cli._app import app
from walnats_anyio.cli._connection import Connection
from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.testing import NatsServer

PASSWORD = "p@ss/w:rd%, kim"
ENCODED = "p%40ss%2Fw%3Ard%25%2C%20kim"
USERS: dict[str, Any] = {"authorization": {"users": [{"user": "k@m", "password": PASSWORD}]}}


def dead_list(*words: str, **env: str | None) -> tuple[int, str]:
    """Run `walnats-anyio dead list`, which connects and asks for a stream."""
    cleared = {name: None for name in os.environ if name.startswith(("WALNATS_", "NATS_"))}
    result = CliRunner().invoke(app, ["dead", "list", *words], env={**cleared, **env})
    return result.exit_code, result.output


# What the options become


@pytest.mark.parametrize(
    ("given", "urls", "options"),
    [
        (["nats://a:1"], ["nats://a:1"], {}),
        (["nats://a:1,b:2", "c"], ["nats://a:1", "b:2", "c"], {}),
        ([" nats://a:1 , nats://b:2 ,"], ["nats://a:1", "nats://b:2"], {}),
        (
            [f"nats://k%40m:{ENCODED}@a:1,nats://b:2"],
            ["nats://a:1", "nats://b:2"],
            {"user": "k@m", "password": PASSWORD},
        ),
        (["kim:pw@a:1"], ["nats://a:1"], {"user": "kim", "password": "pw"}),
        (["nats://s3%40cret@a:1"], ["nats://a:1"], {"token": "s3@cret"}),
        (["tls://kim:pw@[::1]:1"], ["tls://[::1]:1"], {"user": "kim", "password": "pw"}),
        # Each server has a user of its own.
        (["nats://a:b@a:1,nats://c:d@b:2"], ["nats://a:b@a:1", "nats://c:d@b:2"], {}),
    ],
)
def test_urls(given: list[str], urls: list[str], options: dict[str, str]) -> None:
    found, others = Connection(server=given).arguments("me")
    assert found == urls
    assert others == {"name": "me", **options}


def test_without_a_server_the_variable_of_the_library_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NATS_SERVER", "nats://kim:p%25@a:1,nats://b:2")
    urls, options = Connection().arguments("me")
    assert urls == ["nats://a:1", "nats://b:2"]
    assert options == {"name": "me", "user": "kim", "password": "p%"}
    monkeypatch.delenv("NATS_SERVER")
    assert Connection().arguments("me") == (None, {"name": "me"})


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (Connection(server=[" , "]), "names no server"),
        (Connection(user="kim"), "--password is missing"),
        (Connection(password="pw"), "--user is missing"),
        (Connection(creds=Path("a"), nkey=Path("b")), "--creds and --nkey are given"),
        (Connection(creds=Path("a"), user="kim", password="pw"), "--creds and --user are given"),
        (Connection(server=["nats://kim:pw@a"], user="kim", password="pw"), "--user and a URL"),
        (Connection(tls_key=Path("a")), "--tls-key is given without --tls-cert"),
    ],
)
def test_what_does_not_fit_together_is_a_sentence(connection: Connection, said: str) -> None:
    with pytest.raises(Problem, match=said) as raised:
        connection.arguments("me")
    assert raised.value.code is ExitCode.USAGE
    assert raised.value.hint


def test_a_password_is_not_in_the_repr() -> None:
    assert "s3cret" not in repr(Connection(user="kim", password="s3cret"))


def test_keys_without_what_reads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("walnats_anyio.cli._connection.find_spec", lambda _: None)
    (tmp_path / "kim").write_text("")
    for option in ("--creds", "--nkey"):
        code, shown = dead_list(option, str(tmp_path / "kim"))
        assert code == 2
        assert shown.splitlines() == [
            f"error: {option} needs nkeys, which is not installed",
            "hint: pip install 'walnats-anyio[nkeys]'",
        ]


@pytest.mark.parametrize("option", ["--creds", "--nkey", "--tls-ca", "--tls-cert", "--tls-key"])
def test_a_file_that_is_not_there(option: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    variable = f"WALNATS_{option.removeprefix('--').replace('-', '_').upper()}"
    for code, shown in (dead_list(option, missing), dead_list(**{variable: missing})):
        assert code == 2
        assert option in shown
        assert "does not exist" in shown


# Against servers


def test_a_password_in_options_variables_and_urls() -> None:
    with NatsServer(config=USERS) as server:
        url = ("--server", server.url)
        assert dead_list(*url, "--user", "k@m", "--password", PASSWORD)[0] == 0
        variables = {"WALNATS_SERVER": server.url, "WALNATS_USER": "k@m"}
        assert dead_list(**variables, WALNATS_PASSWORD=PASSWORD)[0] == 0
        with_user = server.url.replace("://", f"://k%40m:{ENCODED}@")
        assert dead_list("--server", with_user)[0] == 0
        assert dead_list(WALNATS_SERVER=f"nats://127.0.0.1:1,{with_user}")[0] == 0
        assert dead_list(NATS_SERVER=with_user)[0] == 0
        code, shown = dead_list(*url, "--user", "k@m", "--password", "wr0ng")
        assert code == 3
        assert "wr0ng" not in shown


def test_an_nkey(tmp_path: Path) -> None:
    key = make_key(nkeys.PREFIX_BYTE_USER)
    (tmp_path / "kim.nk").write_text(key.seed)
    config = f"authorization {{ users = [{{ nkey: {key.public} }}] }}"
    with NatsServer(config=config) as server:
        assert dead_list("--server", server.url, "--nkey", str(tmp_path / "kim.nk"))[0] == 0
        assert dead_list("--server", server.url, WALNATS_NKEY=str(tmp_path / "kim.nk"))[0] == 0
        assert dead_list("--server", server.url)[0] == 3


def test_a_credentials_file(tmp_path: Path) -> None:
    realm = Realm()
    (tmp_path / "kim.creds").write_text(realm.credentials())
    with NatsServer(config=realm.server_config()) as server:
        assert dead_list("--server", server.url, "--creds", str(tmp_path / "kim.creds"))[0] == 0
        assert dead_list("--server", server.url, WALNATS_CREDS=str(tmp_path / "kim.creds"))[0] == 0
        assert dead_list("--server", server.url)[0] == 3


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "server.pem"
    )
    ours = authority.issue_cert("kim@example.com")
    ours.cert_chain_pems[0].write_to_path(cert)
    ours.private_key_pem.write_to_path(key)
    both = str(tmp_path / "server.pem")
    tls = {"cert_file": both, "key_file": both, "ca_file": str(ca), "verify": True}
    with NatsServer(config={"tls": tls}) as server:
        trusted = ("--server", server.url, "--tls-ca", str(ca))
        shown = ("--tls-cert", str(cert), "--tls-key", str(key))
        assert dead_list(*trusted, *shown) == (0, "no dead letters\n")
        variables = {"WALNATS_TLS_CA": ca, "WALNATS_TLS_CERT": cert, "WALNATS_TLS_KEY": key}
        strings = {name: str(file) for name, file in variables.items()}
        assert dead_list("--server", server.url, **strings)[0] == 0
        assert dead_list(*trusted)[0] == 3
        code, told = dead_list(*trusted, "--tls-cert", str(cert), "--tls-key", str(ca))
        assert code == 2
        assert f"--tls-cert {cert} and the key in {ca} are of no use" in told
        code, told = dead_list("--server", server.url, "--tls-ca", str(key))
        assert code == 2
        assert "holds no certificate in PEM" in told


@pytest.mark.parametrize("workers", [1, 2])
@on_one_loop("trio")
def test_a_password_is_on_no_other_command_line(shop: Shop, backend: str, workers: int) -> None:
    words = ("run", "shop:ACTORS", f"--workers={workers}", "--backend", backend)
    with NatsServer(config=USERS) as server:
        with started(
            shop.directory,
            *words,
            WALNATS_SERVER=server.url,
            WALNATS_USER="k@m",
            WALNATS_PASSWORD=PASSWORD,
        ) as command:
            for number in range(1, workers + 1):
                command.says("ready;" if workers == 1 else f"worker {number} (")
            command.says("ready")
            lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in marked(command.mark)]
            assert len(lines) == (1 if workers == 1 else 1 + workers)
            assert not any(b"kim" in line or b"server" in line for line in lines)
        who = ("--user=k@m", f"--password={PASSWORD}", f"--server={server.url}")
        with started(shop.directory, *words, *who) as command:
            command.says(": ready" if workers > 1 else "ready;")
            lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in marked(command.mark)]
            assert sum(PASSWORD.encode() in line for line in lines) == 1
