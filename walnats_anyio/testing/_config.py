"""A configuration, given as a dict or as text, becomes the text of a configuration file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TypeAlias

Config: TypeAlias = Mapping[str, object] | str
"""Configuration in the words of nats-server: a dict of its top-level fields, or text."""

_GIVEN_OTHERWISE = {
    "host": "a test server listens on 127.0.0.1 only",
    "net": "a test server listens on 127.0.0.1 only",
    "listen": "use the argument port=",
    "port": "use the argument port=",
    "http": "use the argument http_port=",
    "http_port": "use the argument http_port=",
    "monitor_port": "use the argument http_port=",
    "server_name": "use the argument server_name=",
    "ports_file_dir": "the server tells its ports as server.port and server.http_port",
    "log_file": "the log is in server.logs",
    "logfile": "the log is in server.logs",
}


def render_config(config: Config | None) -> str:
    """The text of the file.

    Raises ValueError for a field that an argument of the server sets, TypeError for what cannot be
    written to a file.
    """
    if config is None:
        return ""
    if isinstance(config, str):
        return config
    _check_kind(config)
    _check_fields(config)
    return "".join(f"{field}: {_render(field, value)}\n" for field, value in config.items())


def fixed_config(server_name: str) -> str:
    """What goes to the end of the file, whatever the user writes before it.

    These two cannot be flags: with a flag for its name nats-server 2.15 refuses to reload, and one
    that leads the log to standard error does not exist.
    """
    return f"server_name: {json.dumps(server_name, ensure_ascii=False)}\nlog_file: ''\n"


def _check_kind(config: object) -> None:
    if not isinstance(config, Mapping):
        raise TypeError(f"config is {config!r}: give a dict or the text of a configuration file")


def _check_fields(config: Mapping[str, object]) -> None:
    for field, remedy in _GIVEN_OTHERWISE.items():
        if field in config:
            raise ValueError(f"config sets {field!r} to {config[field]!r}: {remedy}")
    jetstream = config.get("jetstream")
    if isinstance(jetstream, Mapping) and "store_dir" in jetstream:
        raise ValueError("config sets 'store_dir' of 'jetstream': use the argument store_dir=")


def _render(field: str, value: object) -> str:
    try:
        # The format of nats-server is a superset of JSON, but for \uXXXX in strings.
        return json.dumps(value, ensure_ascii=False, default=os.fspath)
    except TypeError as error:
        raise TypeError(
            f"config sets {field!r} to {value!r}: give dicts, lists, strings, numbers, booleans"
        ) from error
