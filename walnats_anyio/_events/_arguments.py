"""Wrong arguments: refused at the call that gave them, with what would be right."""

from __future__ import annotations

MAX_INT64 = 2**63 - 1
MAX_SECONDS = MAX_INT64 // 10**9
"""The longest duration, 292 years: the server counts nanoseconds in 64 bits."""


def check_seconds(what: str, value: object, least: float = 0.001) -> None:
    """Refuse what is no duration from `least` seconds to 292 years.

    Raises:
        TypeError: `value` is not a number (`bool` is not one here).
        ValueError: it is out of range, or not a number at all.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{what} must be a number of seconds, not {type(value).__name__}: {value!r}"
        )
    if not least <= value <= MAX_SECONDS:
        raise ValueError(f"{what} must be {least:g} to {MAX_SECONDS} seconds, not {value!r}")


def check_number(what: str, value: object) -> None:
    """Refuse what is neither a number of seconds nor None.

    Raises:
        TypeError: it is neither.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(
            f"{what} must be None or a number of seconds, not {type(value).__name__}: {value!r}"
        )


def check_uid_of(uid: object) -> None:
    """Refuse what does not give the `uid` of each of many messages.

    Raises:
        TypeError: it does not.
    """
    if uid is not None and not callable(uid):
        raise TypeError(
            "uid of many messages must be a function that gives the one of each message, such as "
            f"uid=lambda order: order.id, not {uid!r}"
        )


def check_count(
    what: str, value: object, most: int | None = None, *, optional: bool = False
) -> None:
    """Refuse what is no number of things from 1 to `most`.

    Raises:
        TypeError: `value` is not an int (a `bool` is none), nor None where that is `optional`.
        ValueError: it is out of range.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        right = "an int or None" if optional else "an int"
        raise TypeError(f"{what} must be {right}, not {type(value).__name__}: {value!r}")
    if value < 1 or (most is not None and value > most):
        right = "at least 1" if most is None else f"1 to {most}"
        right += ", or None for no limit" if optional else ""
        raise ValueError(f"{what} must be {right}, not {value!r}")


def check_share(what: str, value: object) -> None:
    """Refuse what is no part of a whole: above 0, at most 1.

    Raises:
        TypeError: `value` is not a number.
        ValueError: it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, not {type(value).__name__}: {value!r}")
    if not 0 < value <= 1:
        raise ValueError(f"{what} must be above 0 and at most 1, not {value!r}: 0.5 is half")


def check_type(what: str, value: object, right: type | tuple[type, ...]) -> None:
    """Refuse what is not of a type, or of one of several.

    Raises:
        TypeError: it is not.
    """
    if isinstance(value, right):
        return
    names = [kind.__name__ for kind in (right if isinstance(right, tuple) else (right,))]
    raise TypeError(f"{what} must be of {' or '.join(names)}, not {value!r}")


def size_of_text(this: str, text: str) -> int:
    """The bytes of a text for people, as NATS takes it.

    Raises:
        ValueError: it has lone surrogates.
    """
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{this} has {text[error.start]!r} at {error.start}, half of a character, which UTF-8 "
            "cannot carry: leave it out"
        ) from None
