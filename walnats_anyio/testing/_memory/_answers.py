"""What JetStream answers: types, error codes, times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

TYPES = "io.nats.jetstream.api.v1."


class ApiError(Exception):
    """A request that is refused."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.err_code = err_code
        self.description = description

    def as_dict(self) -> dict[str, Any]:
        """As it stands in an answer."""
        return {"code": self.code, "err_code": self.err_code, "description": self.description}


def bad_stream(description: str) -> ApiError:
    """A configuration of a stream that is refused."""
    return ApiError(500, 10052, description)


def bad_consumer(description: str) -> ApiError:
    """A change of a consumer that is refused."""
    return ApiError(500, 10012, description)


def bad_request() -> ApiError:
    """A request that makes no sense."""
    return ApiError(400, 10003, "bad request")


def no_stream() -> ApiError:
    """There is no such stream."""
    return ApiError(404, 10059, "stream not found")


def no_consumer() -> ApiError:
    """There is no such consumer."""
    return ApiError(404, 10014, "consumer not found")


def no_message() -> ApiError:
    """There is no such message."""
    return ApiError(404, 10037, "no message found")


def show_time(nanoseconds: int) -> str:
    """A time as Go writes it: without zeros at the end of the fraction."""
    if nanoseconds <= 0:
        return "0001-01-01T00:00:00Z"
    seconds, rest = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


def read_time(text: object) -> int:
    """The nanoseconds of a time in a request.

    Raises:
        ValueError: it is no time.
    """
    if not isinstance(text, str):
        raise ValueError(  # noqa: TRY004 - it is what a client sent, not what a caller gave
            f"{text!r} is no time"
        )
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    whole = int(moment.replace(microsecond=0).timestamp())
    fraction = text.partition(".")[2]
    digits = "".join(char for char in fraction.split("Z")[0].split("+")[0].split("-")[0])
    return whole * 10**9 + int(digits.ljust(9, "0")[:9] or 0) if digits.isdigit() else whole * 10**9
