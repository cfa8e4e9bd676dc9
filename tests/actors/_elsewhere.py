"""Handlers for worker processes, which import them from here."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from walnats_anyio import Reject, Retry


def note(message: Any, path: str) -> None:
    """Leave a line that says who ran."""
    with Path(path).open("a") as file:
        file.write(f"{message} {os.getpid()} {threading.get_ident()}\n")


@dataclass(frozen=True)
class Note:
    """A callable object that leaves a line for each message."""

    path: str

    def __call__(self, message: Any) -> None:
        note(message, self.path)

    def as_method(self, message: Any) -> None:
        note(message, self.path)

    def lines(self) -> list[list[str]]:
        """What was left so far, in words."""
        path = Path(self.path)
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def messages(self) -> list[int]:
        return sorted(int(line[0]) for line in self.lines())


@dataclass(frozen=True)
class NoteAndFail(Note):
    """Leaves a line, then raises."""

    error: Exception

    def __call__(self, message: Any) -> None:
        super().__call__(message)
        raise self.error


@dataclass(frozen=True)
class NoteAndSpin(Note):
    """Leaves a line, then computes for an hour at the first message."""

    def __call__(self, message: Any) -> None:
        super().__call__(message)
        end = time.monotonic() + 3600
        while message == 1 and time.monotonic() < end:
            pass


@dataclass(frozen=True)
class NoteAndDie(Note):
    """Leaves a line; its process does not survive the first one."""

    def __call__(self, message: Any) -> None:
        died_before = bool(self.lines())
        super().__call__(message)
        if not died_before:
            os.kill(os.getpid(), signal.SIGKILL)


class UnpicklableError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
        self.two = two


def raise_unpicklable(message: Any) -> NoReturn:
    raise UnpicklableError("one", "two")


def reject(message: Any) -> NoReturn:
    raise Reject(f"no {message}")


def retry_in_an_hour(message: Any) -> NoReturn:
    raise Retry(delay=3600)


def return_something_unpicklable(message: Any) -> object:
    return lambda: message


def place_elsewhere(message: int) -> str:
    return f"{message} {os.getpid()}"


def wrong_elsewhere(message: int) -> str:
    return message  # type: ignore[return-value] # what is tested


def sleep_long(message: int) -> None:
    time.sleep(600)
