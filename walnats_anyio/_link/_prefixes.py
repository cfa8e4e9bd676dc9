"""What goes before the names of one connection: where JetStream's API is, and whose names they are.

Everything that names a subject of the API, an event's subject, a stream or a durable consumer asks
the `Prefixes` of its link, so that each of them is spelled here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from walnats_anyio._link._names import check_namespace, check_prefix

DEFAULT_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What goes before the names of one connection."""

    api: str = DEFAULT_API
    """What the subjects of JetStream's API begin with, without a `.` at the end."""

    domain: str | None = None
    """The JetStream domain of the streams. None: it was not said, so that of any stream will do."""

    namespace: str = ""
    """What goes before every subject, and with `-` for `.` before every stream and durable."""

    server_domain: str | None = field(default=None, compare=False)
    """The JetStream domain of the server that the client is connected to, as that says."""

    @classmethod
    def of(cls, domain: object, js_prefix: object, namespace: object) -> Prefixes:
        """Check what `connect` was given.

        Raises:
            TypeError: one of them is neither a text nor None.
            ValueError: one of them is no part of a subject, or both `domain` and `js_prefix` are
                given.
        """
        domain = _text_or_none("domain", domain)
        js_prefix = _text_or_none("js_prefix", js_prefix)
        namespace = _text_or_none("namespace", namespace)
        if domain is not None and js_prefix is not None:
            raise ValueError(
                f"domain={domain!r} and js_prefix={js_prefix!r} both say where JetStream's API is: "
                f"give one of them. A domain is short for js_prefix='$JS.{domain}.API'"
            )
        if domain is not None:
            check_prefix("domain", domain)
        if js_prefix is not None:
            check_prefix("js_prefix", js_prefix)
        if namespace is not None:
            check_namespace(namespace)
        api = js_prefix or (DEFAULT_API if domain is None else f"$JS.{domain}.API")
        return cls(api, domain, namespace or "")

    @property
    def elsewhere(self) -> bool:
        """Whether the API is not where a server of its own has it."""
        return self.api != DEFAULT_API

    @property
    def known_domain(self) -> str | None:
        """The JetStream domain of the streams, as far as it is known."""
        return self.domain or (None if self.elsewhere else self.server_domain)

    def api_subject(self, request: str) -> str:
        """The subject of a request to the API, such as `STREAM.INFO.orders`."""
        return f"{self.api}.{request}"

    def subject(self, name: str) -> str:
        """A subject of this installation."""
        return f"{self.namespace}.{name}" if self.namespace else name

    def stream(self, name: str) -> str:
        """The name of a stream of this installation."""
        return f"{self.namespace.replace('.', '-')}-{name}" if self.namespace else name

    def consumer(self, name: str) -> str:
        """The name of a durable consumer of this installation."""
        return self.stream(name)


NO_PREFIXES = Prefixes()
"""The API where every server has it, and names as they are declared."""


def _text_or_none(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{name} must be a str or None, not {type(value).__name__}: {value!r}")
