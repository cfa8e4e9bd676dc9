"""Where the servers are and as whom to connect: the options of every command that connects."""

from __future__ import annotations

import os
import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

import typer

from walnats_anyio._link import Link, Prefixes, open_link
from walnats_anyio.cli._choices import absolute
from walnats_anyio.cli._endings import ExitCode, Problem
from walnats_anyio.cli._groups import variable_of

DEFAULT_SERVER = "nats://localhost:4222"


def _file(option: str, help_text: str) -> Any:
    return typer.Option(
        option,
        envvar=variable_of(option),
        metavar="FILE",
        exists=True,
        dir_okay=False,
        callback=absolute,
        help=help_text,
    )


@dataclass(frozen=True)
class Connection:
    """The options of a connection."""

    server: Annotated[
        list[str] | None,
        typer.Option(
            "--server",
            envvar=variable_of("--server"),
            metavar="URL",
            help="A NATS server, or those of a cluster, with commas in between.",
            show_default=f"$NATS_SERVER, else {DEFAULT_SERVER}",
        ),
    ] = None
    creds: Annotated[Path | None, _file("--creds", "A credentials file: a JWT and its key.")] = None
    nkey: Annotated[Path | None, _file("--nkey", "A file with the seed of an nkey.")] = None
    user: Annotated[
        str | None,
        typer.Option("--user", envvar=variable_of("--user"), metavar="NAME", help="A user name."),
    ] = None
    password: Annotated[
        str | None,
        typer.Option(
            "--password",
            envvar=variable_of("--password"),
            metavar="TEXT",
            help="The password; in the variable it is not shown in the list of processes.",
        ),
    ] = field(default=None, repr=False)
    tls_ca: Annotated[
        Path | None, _file("--tls-ca", "Certificates of those who vouch for the server (PEM).")
    ] = None
    tls_cert: Annotated[
        Path | None, _file("--tls-cert", "A certificate to show to the server (PEM).")
    ] = None
    tls_key: Annotated[
        Path | None,
        _file("--tls-key", "The key of that certificate, where it is in a file of its own (PEM)."),
    ] = None

    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            envvar=variable_of("--domain"),
            metavar="NAME",
            help="The JetStream domain of the streams, such as that of a leafnode.",
            show_default="that of the server",
        ),
    ] = None
    js_prefix: Annotated[
        str | None,
        typer.Option(
            "--js-prefix",
            envvar=variable_of("--js-prefix"),
            metavar="SUBJECT",
            help="What the subjects of JetStream's API begin with, where an account imports them.",
            show_default="$JS.API",
        ),
    ] = None
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            envvar=variable_of("--namespace"),
            metavar="NAME",
            help="What goes before every subject, stream and durable.",
        ),
    ] = None

    def arguments(self, name: str) -> tuple[list[str] | None, dict[str, Any]]:
        """What `connect` takes: `server`, and `options` in which the connection has this name.

        Raises:
            Problem: the options do not fit together, or a file holds something else.
        """
        self.prefixes()  # checked, so that what is wrong is said in the words of the command
        server, options = self._client_arguments(name)
        names = {name: getattr(self, name) for name in ("domain", "js_prefix", "namespace")}
        return server, options | {name: text for name, text in names.items() if text is not None}

    def open_link(self, name: str) -> AbstractAsyncContextManager[Link]:
        """Connect for what no event and no actor does.

        Raises:
            Problem: the options do not fit together, or a file holds something else.
        """
        server, options = self._client_arguments(name)
        return open_link(server, options=options, prefixes=self.prefixes())

    def prefixes(self) -> Prefixes:
        """Where JetStream's API is, and what goes before the names.

        Raises:
            Problem: NATS does not take one of them, or two exclude each other.
        """
        if self.domain is not None and self.js_prefix is not None:
            _refuse(
                "--domain and --js-prefix both say where JetStream's API is",
                f"give one of them; {variable_of('--domain')} and {variable_of('--js-prefix')} "
                "count as well",
            )
        try:
            return Prefixes.of(self.domain, self.js_prefix, self.namespace)
        except ValueError as error:
            _refuse(str(error))

    def _client_arguments(self, name: str) -> tuple[list[str] | None, dict[str, Any]]:
        urls, from_urls = _credentials_of(self._urls())
        options = {"name": name, **from_urls, **self._credentials(from_urls)}
        if context := self._tls_context():
            options["tls"] = context
            # The scheme says that a connection without TLS will not do.
            urls = [_with_tls(url) for url in urls or [DEFAULT_SERVER]]
        return urls or None, options

    def _urls(self) -> list[str]:
        given = self.server
        if given is None:
            given = [os.environ.get("NATS_SERVER", "")]
        urls = [url.strip() for text in given for url in text.split(",") if url.strip()]
        if self.server is not None and not urls:
            _refuse("--server names no server", f"give a URL such as {DEFAULT_SERVER}")
        return urls

    def _credentials(self, from_urls: dict[str, str]) -> dict[str, Any]:
        keys = {"--creds": self.creds, "--nkey": self.nkey, "--user": self.user}
        given = [option for option, value in keys.items() if value is not None]
        if from_urls and given:
            _refuse(f"{given[0]} and a URL of --server both say who connects", "give one of them")
        if len(given) > 1:
            variables = " and ".join(variable_of(option) for option in given)
            _refuse(
                f"{' and '.join(given)} are given, and only one of them can be meant",
                f"give one of them; {variables} count as well",
            )
        if (self.user is None) != (self.password is None):
            missing = "--user" if self.user is None else "--password"
            _refuse(f"{missing} is missing", f"{missing} or {variable_of(missing)} sets it")
        if self.user is not None:
            return {"user": self.user, "password": self.password}
        if self.creds is None and self.nkey is None:
            return {}
        if find_spec("nkeys") is None:
            _refuse(
                f"{given[0]} needs nkeys, which is not installed",
                "pip install 'walnats-anyio[nkeys]'",
            )
        if self.creds is not None:
            return {"user_credentials": str(self.creds)}
        return {"nkeys_seed": str(self.nkey)}

    def _tls_context(self) -> ssl.SSLContext | None:
        if self.tls_key is not None and self.tls_cert is None:
            _refuse("--tls-key is given without --tls-cert", "give the certificate as well")
        if self.tls_ca is None and self.tls_cert is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except OSError as error:
            _refuse(f"--tls-ca {self.tls_ca} holds no certificate in PEM: {error}")
        if self.tls_cert is not None:
            key = self.tls_key or self.tls_cert
            try:
                context.load_cert_chain(self.tls_cert, key, password=lambda: _no_password(key))
            except OSError as error:
                _refuse(f"--tls-cert {self.tls_cert} and the key in {key} are of no use: {error}")
        return context


def _no_password(key: Path) -> NoReturn:
    _refuse(f"the key in {key} is encrypted", "give a key without a password: openssl pkey -in ...")


def _refuse(problem: str, hint: str | None = None) -> NoReturn:
    raise Problem(problem, hint=hint, code=ExitCode.USAGE)


def _split(url: str) -> SplitResult:
    return urlsplit(url if "://" in url else f"nats://{url}")


def _with_tls(url: str) -> str:
    parts = _split(url)
    return parts._replace(scheme="tls").geturl() if parts.scheme == "nats" else url


def _credentials_of(urls: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take user and password, or a token, out of the URLs; there they are percent-encoded.

    URLs that name several users are left as they are: then each one is for its own server.
    """
    try:
        parts = [_split(url) for url in urls]
    except ValueError:  # the connection says what is wrong with it
        return urls, {}
    named = {(each.username, each.password) for each in parts if each.username}
    if len(named) != 1:
        return urls, {}
    [(user, password)] = named
    bare = [each._replace(netloc=each.netloc.rpartition("@")[2]).geturl() for each in parts]
    if password is None:
        return bare, {"token": unquote(user or "")}
    return bare, {"user": unquote(user or ""), "password": unquote(password)}
