"""Handlers for worker processes that do what no handler should."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.actors._elsewhere import Note
from walnats_anyio import BatchError, Event, Events, Reject, Retry

logger = logging.getLogger("tests.handlers")


class NoSuchOrder(Reject):
    """Takes other arguments than what it hands on."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")


class Busy(Retry):
    """Calls no `__init__` of ours."""

    def __init__(self, delay: float) -> None:
        Exception.__init__(self, "busy")
        self.delay = delay


class Unspeakable(Exception):
    """Has no words for itself."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def reject(message: Any) -> NoReturn:
    raise NoSuchOrder(404, "no such order")


def reject_in_a_group(message: Any) -> NoReturn:
    raise ExceptionGroup("all", [Reject("one"), ExceptionGroup("more", [NoSuchOrder(2, "two")])])


def busy(message: Any) -> NoReturn:
    raise Busy(3600)


def busy_in_a_group(message: Any) -> NoReturn:
    raise ExceptionGroup("all", [Retry(3600), Retry(None)])


def unspeakable(message: Any) -> NoReturn:
    raise Unspeakable


def _end(_: object) -> NoReturn:
    raise SystemExit("do not ask")


class Unfound(type):
    """A metaclass: its classes do not say where they are from."""


Unfound.__module__ = property(_end)  # type: ignore[assignment]  # that is the point


class OfNoModule(Exception, metaclass=Unfound):
    """Its class cannot be asked where it is from."""


def _hostile(name: str, **attributes: object) -> type[Exception]:
    return type(name, (Exception,), attributes)


OfItsOwnModule = _hostile("OfItsOwnModule", __module__=property(_end))
WithoutTraceback = _hostile("WithoutTraceback", __traceback__=property(_end))
OfNoClass = _hostile("OfNoClass", __class__=property(_end))


class SaysNothing(Exception):
    """Ends whatever looks at it."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise SystemExit(name)


class NoBatch(BatchError):
    """Has no errors."""

    def __init__(self) -> None:
        Exception.__init__(self, "no errors")


class EndsPickle(Exception):
    """Ends the process that copies it."""

    def __reduce__(self) -> NoReturn:
        os._exit(9)


HOSTILE: list[type[Exception]] = [
    OfNoModule, OfItsOwnModule, WithoutTraceback, SaysNothing, OfNoClass, NoBatch, EndsPickle,
]  # fmt: skip


def raise_hostile(message: int) -> NoReturn:
    raise HOSTILE[message]()


def look_up(message: Any) -> Any:
    return {}[message]


def fail_for_a_cause(message: Any) -> NoReturn:
    try:
        look_up(message)
    except KeyError as error:
        raise RuntimeError("no price") from error
    raise AssertionError


def generate(message: Any) -> Any:
    return (each for each in [message])


def leave(message: Any) -> NoReturn:
    sys.exit(0)


def interrupt(message: Any) -> NoReturn:
    raise KeyboardInterrupt


def cancel(message: Any) -> NoReturn:
    from asyncio import CancelledError

    raise CancelledError


def stop_generation(message: Any) -> NoReturn:
    raise GeneratorExit


def die(message: Any) -> NoReturn:
    os._exit(3)


def die_as_if_done(message: Any) -> NoReturn:
    os._exit(0)


def die_before_a_child(message: Any) -> None:
    if os.fork() == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
    os._exit(3)


def crash(message: Any) -> None:
    ctypes.string_at(0)


def print_and_log(message: Any) -> None:
    print("printed", message)
    # Standard error spells out what cannot be encoded, for each job.
    print("to stderr", message, "\udcff", file=sys.stderr)
    subprocess.run(["echo", f"echoed {message}"], check=True)
    os.write(1, b"written\n")
    logger.debug("too low %s", message)
    logger.info("told %s", message)
    logger.warning("logged %s", message, extra={"order": {"number": message}})
    try:
        look_up(message)
    except KeyError:
        logger.exception("failed")


def print_megabytes(message: Any) -> None:
    for _ in range(64):
        print("x" * 65_535)
    for _ in range(200):
        logger.warning("y" * 10_000)


@dataclass(frozen=True)
class Spoil(Note):
    """Spoils its process in some way, at the first message; then leaves a note."""

    how: str

    def __call__(self, message: Any) -> None:
        if message == 0:
            getattr(self, self.how)()
        elif self.how == "alarm":
            time.sleep(0.3)
        super().__call__(f"{message} {Path.cwd()} {_mask()}")
        print("still", message, flush=True)

    def closed_streams(self) -> None:
        print("before", flush=True)
        sys.stdout.close()
        for number in range(3):
            try:
                os.close(number)
            except OSError:
                continue

    def all_closed(self) -> None:
        os.closerange(0, 1024)

    def moved(self) -> None:
        os.chdir("/")
        os.umask(0o777)

    def alarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)  # which is `signal.alarm` with fractions

    def forked(self) -> None:
        if os.fork() == 0:
            sys.stdout = None  # so the child leaves no note of it
            raise SystemExit(0)  # comes back out of the handler, in the child

    def forked_daemon(self) -> None:
        if os.fork() == 0:
            os.setsid()
            time.sleep(3)
            os._exit(0)

    def logging_in_a_fork(self) -> None:
        child = os.fork()
        if child == 0:
            for _ in range(1000):
                logger.warning("in the child %s", "x" * 5000)
            os._exit(0)
        os.waitpid(child, 0)

    def threads(self) -> None:
        import threading

        threading.Thread(target=time.sleep, args=(60,)).start()


@dataclass(frozen=True)
class Unsettled(Note):
    """Changes what its process has set, at message 0; another message would end by it."""

    def __call__(self, message: int) -> None:
        if message:
            self._use_all()
        super().__call__(f"{message} {os.getpid()}")
        if not message:
            self._change_all()
            sys.settrace(_stop)

    def _change_all(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        sys.setrecursionlimit(60)
        gc.disable()
        logging.disable(logging.CRITICAL)
        logging.root.setLevel(logging.CRITICAL)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

    def _use_all(self) -> None:
        _deeply(200)
        logger.warning("heard")
        assert subprocess.run(["false"], check=False).returncode == 1
        assert gc.isenabled()
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
        time.sleep(0.3)


def _stop(*_: object) -> NoReturn:
    raise RuntimeError("traced")


def _deeply(calls: int) -> None:
    if calls:
        _deeply(calls - 1)


@dataclass(frozen=True)
class Detached(Note):
    """Has a standard output that cannot be given back, after message 0."""

    def __call__(self, message: int) -> None:
        super().__call__(f"{message} {os.getpid()}")
        if message == 0:
            sys.stdout.detach()  # type: ignore[union-attr]  # it is a real one there


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@dataclass(frozen=True)
class SignalItself(Note):
    """Sends itself the signals that stop a service, in the middle of its job."""

    def __call__(self, message: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        program = subprocess.Popen(["sleep", "60"])
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == -signal.SIGINT
        child = os.fork()
        if child == 0:
            time.sleep(60)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        super().__call__(message)


@dataclass(frozen=True)
class Connect(Note):
    """Connects to a server, to emit for instance; then leaves a note."""

    url: str

    def __call__(self, message: Any) -> None:
        with Events(Event("numbers", int)).connect_sync(self.url):
            super().__call__(message)


@dataclass(frozen=True)
class StartAndWait(Note):
    """Starts a program that leaves its number, and waits for it."""

    def __call__(self, message: Any) -> None:
        child = subprocess.Popen(["sleep", "60"])
        Path(self.path).write_text(f"{message} {child.pid} {os.getpid()}\n")
        child.wait()


@dataclass(frozen=True)
class Sleep(Note):
    """Takes a while."""

    seconds: float

    def __call__(self, message: Any) -> None:
        time.sleep(self.seconds)
        super().__call__(message)
