"""Wrong arguments are refused where they are given."""

from __future__ import annotations


def check_port(argument: str, port: object) -> None:
    """Refuse what is neither a port nor 0."""
    _check_whole(argument, port, 0, 65535, "a port from 1 to 65535, or 0 for any free one")


def check_size(argument: str, size: object) -> None:
    """Refuse what is no size of a cluster."""
    _check_whole(argument, size, 2, 64, "2 to 64 servers; NatsServer is a single one")


def check_name(argument: str, name: object) -> None:
    """Refuse what nats-server would not take for a name."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} is {name!r}: give a word")
    if not name or " " in name or not name.isprintable():
        raise ValueError(f"{argument} is {name!r}: give a word without spaces")


def check_flag(argument: str, flag: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(flag, bool):
        raise TypeError(f"{argument} is {flag!r}: give True or False")


def _check_whole(argument: str, number: object, low: int, high: int, right: str) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{argument} is {number!r}: give {right}")
    if not low <= number <= high:
        raise ValueError(f"{argument} is {number}: give {right}")
