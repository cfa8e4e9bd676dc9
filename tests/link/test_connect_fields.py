"""The fields of CONNECT that say who we are: from options, files, functions and the URL."""

from __future__ import annotations

import base64
import inspect
import logging
import sys
import traceback
from collections import UserString
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]  # it is not typed
import pytest

import walnats_anyio as walnats
from walnats_anyio._link._credentials import credentials
from walnats_anyio._link._options import ConnectOptions, check_connect, parse_servers

JWT = "eyJ0eXAiOiJKV1QifQ.eyJqdGkiOiJYIn0.c2lnbmF0dXJl-_"
NONCE = "q0k2v1jF2hTnzBo"


def make_seed(first: int) -> str:
    raw = bytes(range(first, first + 32))
    return bytes(nkeys.encode_seed(raw, prefix=nkeys.PREFIX_BYTE_USER)).decode()


SEED = make_seed(1)
OTHER = make_seed(2)


def creds(jwt: str = JWT, seed: str = SEED) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def fields(url: str = "nats://h", nonce: str | None = NONCE, **options: Any) -> dict[str, str]:
    check_connect(url, options)
    (server,) = parse_servers(url)
    return credentials(ConnectOptions.of(options), server, nonce)


def signed_by(seed: str, sig: str) -> bool:
    pair = nkeys.from_seed(bytearray(seed.encode()))
    return bool(pair.verify(NONCE.encode(), base64.b64decode(sig)))


def public(seed: str) -> str:
    return bytes(nkeys.from_seed(bytearray(seed.encode())).public_key).decode()


# Who we are


def test_nothing_said() -> None:
    assert fields() == {}


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("nats://kim:p%40w@h", {"user": "kim", "pass": "p@w"}),
        ("nats://kim:@h", {"user": "kim", "pass": ""}),
        ("nats://:pw@h", {"user": "", "pass": "pw"}),
        ("nats://s3cret@h", {"auth_token": "s3cret"}),
    ],
)
def test_what_the_url_says(url: str, wanted: dict[str, str]) -> None:
    assert fields(url) == fields(url, nonce=None) == wanted


def test_options_come_before_the_url() -> None:
    url = "nats://kim:pw@h"
    assert fields(url, user="ann", password="x") == {"user": "ann", "pass": "x"}
    assert fields(url, token="t") == {"auth_token": "t"}
    assert "user" not in fields(url, nkeys_seed_str=SEED)


def test_texts_may_be_functions_which_are_called_each_time() -> None:
    numbers = iter(range(9))
    (server,) = parse_servers("h")
    options = ConnectOptions.of({"user": lambda: "kim", "password": lambda: f"pw{next(numbers)}"})
    assert credentials(options, server, None) == {"user": "kim", "pass": "pw0"}
    assert credentials(options, server, None) == {"user": "kim", "pass": "pw1"}
    assert fields(token=lambda: " t ") == {"auth_token": " t "}


# Keys


def test_a_seed() -> None:
    for given in (SEED, f"\n {SEED} \n"):
        found = fields(nkeys_seed_str=given)
        assert found.keys() == {"nkey", "sig"}
        assert found["nkey"] == public(SEED)
        assert signed_by(SEED, found["sig"])


def test_a_token_beside_a_key() -> None:
    assert fields(nkeys_seed_str=SEED, token="t").keys() == {"nkey", "sig", "auth_token"}


def test_a_server_that_wants_no_signature(tmp_path: Path) -> None:
    file = tmp_path / "kim.creds"
    file.write_text(creds())
    assert fields(nonce=None, nkeys_seed_str=SEED) == {}
    assert fields(nonce=None, user_credentials=file) == {}
    assert fields("nats://kim:pw@h", nonce=None, nkeys_seed_str=SEED) == {
        "user": "kim",
        "pass": "pw",
    }


@pytest.mark.parametrize("text", ["{}", "{}\n", " \r\n{}\r\n", creds(seed="{}")])
def test_a_file_with_a_seed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kim.nk"
    file.write_text(text.replace("{}", SEED))
    found = fields(nkeys_seed=file)
    assert found["nkey"] == public(SEED)
    assert signed_by(SEED, found["sig"])


# Credentials


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_credentials_file(tmp_path: Path, end: str) -> None:
    file = tmp_path / "kim.creds"
    file.write_bytes(creds().replace("\n", end).encode())
    for given in (file, str(file)):
        found = fields(user_credentials=given)
        assert found.keys() == {"jwt", "sig"}
        assert found["jwt"] == JWT
        assert signed_by(SEED, found["sig"])


@pytest.mark.parametrize("given", [UserString(creds()), creds()], ids=["UserString", "str"])
def test_the_text_of_a_credentials_file(given: Any) -> None:
    found = fields(user_credentials=given)
    assert found["jwt"] == JWT
    assert signed_by(SEED, found["sig"])


@pytest.mark.parametrize("decorated", [False, True])
def test_two_files(tmp_path: Path, decorated: bool) -> None:
    jwt, seed = tmp_path / "kim.jwt", tmp_path / "kim.nk"
    jwt.write_text(creds() if decorated else f"{JWT}\n")
    seed.write_text(creds() if decorated else f"{SEED}\n")
    found = fields(user_credentials=(str(jwt), seed))
    assert found["jwt"] == JWT
    assert signed_by(SEED, found["sig"])


def test_files_are_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "kim.creds"
    file.write_text(creds())
    (server,) = parse_servers("h")
    options = ConnectOptions.of({"user_credentials": file})
    assert signed_by(SEED, credentials(options, server, NONCE)["sig"])
    file.write_text(creds(JWT + "new", OTHER))
    renewed = credentials(options, server, NONCE)
    assert renewed["jwt"] == JWT + "new"
    assert signed_by(OTHER, renewed["sig"])
    file.unlink()
    with pytest.raises(walnats.ConnectError, match=r"cannot read the file .*kim\.creds.*No such"):
        credentials(options, server, NONCE)
    file.write_text(creds())
    assert credentials(options, server, NONCE)["jwt"] == JWT


# Functions


def test_functions_that_give_credentials() -> None:
    asked: list[str] = []

    def sign(nonce: str) -> bytes:
        asked.append(nonce)
        return b"c2ln\n"

    found = fields(user_jwt_cb=lambda: bytearray(f"{JWT}\n".encode()), signature_cb=sign)
    assert found == {"jwt": JWT, "sig": "c2ln"}
    assert asked == [NONCE]
    assert fields(user_jwt_cb=lambda: JWT, signature_cb=sign, nonce=None) == {"jwt": JWT}


@pytest.mark.parametrize("nonce", [NONCE, None])
def test_a_bearer_token_needs_no_signature(nonce: str | None) -> None:
    assert fields(user_jwt_cb=JWT.encode, nonce=nonce) == {"jwt": JWT}


@pytest.mark.parametrize("answer", [None, 5, b"\xff", object(), ["x"]])
@pytest.mark.parametrize("name", ["user_jwt_cb", "signature_cb", "token", "password"])
def test_a_function_that_returns_something_else(name: str, answer: Any) -> None:
    functions: dict[str, Any] = {"user_jwt_cb": lambda: JWT, "signature_cb": lambda nonce: b"x"}
    if name == "password":
        functions = {"user": "kim", "password": None}
    elif name == "token":
        functions = {}
    functions[name] = (lambda nonce: answer) if name == "signature_cb" else (lambda: answer)
    with pytest.raises(walnats.ConnectError, match=f"option {name}: the function must return"):
        fields(**functions)


def test_a_function_that_hands_a_coroutine_on() -> None:
    """It is refused like anything else, and nothing warns that nobody awaits it."""

    async def ask() -> str:
        pytest.fail("it runs")

    coroutine = ask()
    with pytest.raises(walnats.ConnectError, match="not what it returned, a coroutine"):
        fields(token=lambda: coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_function_that_fails() -> None:
    def fail() -> str:
        raise OSError("the vault is sealed")

    with pytest.raises(walnats.ConnectError, match=r"user_jwt_cb: .*the vault is sealed") as caught:
        fields(user_jwt_cb=fail)
    assert isinstance(caught.value.__cause__, OSError)

    def leave() -> str:
        raise SystemExit

    with pytest.raises(SystemExit):
        fields(user_jwt_cb=leave)


# Faults, and what they show


def shown(error: BaseException) -> str:
    """Whatever a log could show of it, frames and causes included."""
    return "".join(traceback.format_exception(error)) + repr(error)


BROKEN = SEED[:20] + ("A" if SEED[20] != "A" else "B") + SEED[21:]
"""A seed of which one letter is wrong: nkeys itself would not notice."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no section NATS USER JWT"),
        ("rubbish", "no section NATS USER JWT"),
        (creds().partition("-----BEGIN USER")[0], "no section USER NKEY SEED"),
        (creds().partition("------END USER")[0], "no section USER NKEY SEED"),
        (creds(jwt=""), "no section NATS USER JWT"),
        (creds(seed=""), "no section USER NKEY SEED"),
        (creds(seed=BROKEN), "no valid seed"),
        (creds(seed=SEED[:-1]), "no valid seed"),
        (creds(seed=SEED.lower()), "no valid seed"),
        (creds(seed=public(SEED)), "no valid seed"),
        (creds(seed="ü" + SEED), "no valid seed"),
    ],
)
def test_a_malformed_credentials_file(
    tmp_path: Path, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "kim.creds"
    file.write_text(text, encoding="utf-8")
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(walnats.ConnectError, match=rf"kim\.creds.*{said}") as caught,
    ):
        fields(user_credentials=file)
    for secret in (SEED, BROKEN, SEED[:-1], SEED.lower()):
        assert secret not in shown(caught.value) + caplog.text


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x" * 2_000_000], ids=["binary", "large"])
def test_a_file_that_is_no_text(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "kim.creds"
    file.write_bytes(data)
    either: list[dict[str, Any]] = [{"user_credentials": file}, {"nkeys_seed": file}]
    for options in either:
        with pytest.raises(walnats.ConnectError, match=r"kim\.creds.*it is no text"):
            fields(**options)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "kim.creds"
    file.write_text(creds())
    (server,) = parse_servers("h")
    for path in (tmp_path, file / "x", "a\x00b"):
        options = ConnectOptions.of({"user_credentials": path})
        with pytest.raises(walnats.ConnectError, match="cannot read the file"):
            credentials(options, server, NONCE)


def test_two_files_in_the_wrong_order(tmp_path: Path) -> None:
    jwt, seed = tmp_path / "kim.jwt", tmp_path / "kim.nk"
    jwt.write_text(JWT)
    seed.write_text(SEED)
    with pytest.raises(walnats.ConnectError, match=r"kim\.nk.* has no JWT in it") as caught:
        fields(user_credentials=(seed, jwt))
    assert SEED not in shown(caught.value)


def test_a_seed_that_was_copied_wrongly() -> None:
    with pytest.raises(walnats.ConnectError, match="nkeys_seed_str is or holds no valid") as caught:
        fields(nkeys_seed_str=BROKEN)
    assert BROKEN not in shown(caught.value)


def test_a_function_that_tells_a_seed() -> None:
    def fail() -> str:
        raise ValueError(f"cannot use {SEED}")

    with pytest.raises(walnats.ConnectError, match=r"cannot use S\*\*\*") as caught:
        fields(user_jwt_cb=fail)
    assert SEED not in shown(caught.value)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    with pytest.raises(walnats.ConnectError, match=r"pip install 'walnats-anyio\[nkeys\]'"):
        fields(nkeys_seed_str=SEED)
    assert fields(nkeys_seed_str=SEED, nonce=None) == {}
    assert fields(user_jwt_cb=lambda: JWT, signature_cb=lambda nonce: b"x")
