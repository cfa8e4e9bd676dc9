"""Worker processes: what comes back, what does not get through, and what never stays."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.actors._elsewhere import Note
from tests.actors._stage import Stage, running
from tests.actors.run import _handlers as handlers
from tests.support.loops import in_turn
from tests.support.waiting import until
from walnats_anyio import (
    Actor,
    Event,
    ExecuteIn,
    HandlerError,
    Reject,
    Retry,
    WorkerProcessError,
)
from walnats_anyio._actors.run._channel import END_WITHIN
from walnats_anyio._actors.run._processes import ending_of
from walnats_anyio.dead_letters import DeadLetter, DeadLetters
from walnats_anyio.middlewares import ErrorContext, Middleware

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_copies")]


class Failures(Middleware):
    """Notes what went wrong."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def on_failure(self, ctx: ErrorContext, /) -> None:
        self.errors.append(ctx.exception)


def in_process(
    event: Event[int], handler: Callable[[int], Any], *failures: Failures, **options: Any
) -> Actor[int, Any]:
    options.setdefault("retry_delay", (3600,))
    return Actor("a", event, handler, execute_in=ExecuteIn.PROCESS, middlewares=failures, **options)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def letter_of(stage: Stage, actor: Actor[int, Any]) -> DeadLetter:
    """The dead letter of the only event of the actor."""
    await stage.until_done(actor)
    async with DeadLetters.connect(stage.url) as dead:
        async for letter in dead:
            if letter.event == actor.event.name:
                return letter
    raise AssertionError("there is no letter")


# what comes back


async def raised_by(url: str, event: Event[int], handler: Callable[[int], Any]) -> HandlerError:
    failures = Failures()
    actor = in_process(event, handler, failures)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(7)
        await until(lambda: bool(failures.errors))
    (error,) = failures.errors
    assert isinstance(error, HandlerError)
    return error


async def test_a_subclass_of_reject(url: str, event: Event[int]) -> None:
    error = await raised_by(url, event, handlers.reject)
    assert isinstance(error, Reject)
    assert (str(error), error.reason) == ("404: no such order", "404: no such order")
    assert error.type_name == f"{handlers.__name__}.NoSuchOrder"
    assert type(error).__name__ == "NoSuchOrder"


async def test_a_subclass_of_retry(url: str, event: Event[int]) -> None:
    error = await raised_by(url, event, handlers.busy)
    assert isinstance(error, Retry)
    assert (str(error), error.delay) == ("again in 3600 s", 3600)


async def test_a_group_of_rejects_is_one(url: str, event: Event[int]) -> None:
    error = await raised_by(url, event, handlers.reject_in_a_group)
    assert isinstance(error, Reject)
    assert error.reason == "one; 2: two"


async def test_a_group_of_retries_is_one(url: str, event: Event[int]) -> None:
    error = await raised_by(url, event, handlers.busy_in_a_group)
    assert isinstance(error, Retry)
    assert error.delay == 3600


async def test_an_exception_without_words(url: str, event: Event[int]) -> None:
    error = await raised_by(url, event, handlers.unspeakable)
    assert str(error) == "(its message could not be made)"
    assert "in unspeakable" in error.traceback


@in_turn(
    "case",
    [
        (handlers.leave, "SystemExit"),
        (handlers.interrupt, "KeyboardInterrupt"),
        (handlers.cancel, "asyncio.exceptions.CancelledError"),
        (handlers.stop_generation, "GeneratorExit"),
        (handlers.generate, "TypeError"),
    ],
)
async def test_what_is_no_ordinary_failure_is_one(
    url: str, event: Event[int], case: tuple[Callable[[int], Any], str]
) -> None:
    handler, name = case
    error = await raised_by(url, event, handler)
    assert error.type_name == name
    assert not isinstance(error, Reject | Retry)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_exceptions_that_do_not_bear_a_look(url: str, event: Event[int]) -> None:
    """Each is described, by its class at least, and none ends the process."""
    failures = Failures()
    actor = in_process(event, handlers.raise_hostile, failures, max_jobs=1)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(*range(len(handlers.HOSTILE)))
        await until(lambda: len(failures.errors) == len(handlers.HOSTILE))
    names = [error.type_name.rpartition(".")[2] for error in failures.errors]  # type: ignore[attr-defined]  # of a `HandlerError`
    assert names == [type.__dict__["__qualname__"].__get__(cls) for cls in handlers.HOSTILE]
    traceback = failures.errors[2].traceback  # type: ignore[attr-defined]  # as above
    assert "in raise_hostile" in traceback


async def test_log_and_letter_show_the_frames_and_the_cause(
    url: str, event: Event[int], caplog: pytest.LogCaptureFixture
) -> None:
    actor = in_process(event, handlers.fail_for_a_cause, max_attempts=1)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(7)
        letter = await letter_of(stage, actor)
    assert (letter.error_type, letter.error) == ("RuntimeError", "no price")
    for text in (letter.traceback, caplog.text):
        assert "in look_up" in text
        assert "KeyError: 7" in text
        assert "in fail_for_a_cause" in text
        assert "_process_side" not in text


@in_turn(
    "case",
    [
        (handlers.die, "ended with exit code 3"),
        (handlers.die_as_if_done, "ended with exit code 0"),
        (handlers.crash, "killed by SIGSEGV"),
    ],
)
async def test_a_process_that_dies_fails_its_job_only(
    url: str, event: Event[int], case: tuple[Callable[[int], Any], str]
) -> None:
    handler, words = case
    failures = Failures()
    actor = in_process(event, handler, failures)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1, 2)
        await until(lambda: len(failures.errors) == 2)
        await stage.until_left(actor, 2)
    for error in failures.errors:
        assert isinstance(error, WorkerProcessError)
        assert words in str(error)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "ended with exit code 3"),
        (-9, "was killed by SIGKILL"),
        (-40, "was killed by signal 40"),
        (None, "closed its pipes"),
    ],
)
def test_how_a_process_ended(code: int | None, words: str) -> None:
    assert ending_of(code) == words


async def test_a_death_is_noticed_although_a_child_lives_on(url: str, event: Event[int]) -> None:
    failures = Failures()
    actor = in_process(event, handlers.die_before_a_child, failures)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1)
        await until(lambda: bool(failures.errors), within=15)
    assert isinstance(failures.errors[0], WorkerProcessError)


# what comes out


async def test_output_is_where_the_workers_is(
    url: str,
    event: Event[int],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = Failures()
    actor = in_process(event, handlers.print_and_log, failures)
    caplog.set_level(logging.INFO)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1, 2)
        await stage.until_done(actor)
    assert failures.errors == []
    out, err = capfd.readouterr()
    assert sorted(out.split("\n")) == sorted(
        ["", *(f"{what} {n}" for n in (1, 2) for what in ("printed", "echoed")), *["written"] * 2]
    )
    assert "to stderr 1 \\udcff\n" in err
    records = [record for record in caplog.records if record.name == "tests.handlers"]
    assert [r.getMessage() for r in records] == [
        what for n in (1, 2) for what in (f"told {n}", f"logged {n}", "failed")
    ]
    assert {(r.__dict__["actor"], r.__dict__["event"]) for r in records} == {("a", event.name)}
    assert records[1].__dict__["order"] == "{'number': 1}"
    assert "in look_up" in (records[2].exc_text or "")
    assert records[0].process != os.getpid()


async def test_megabytes_of_output(
    url: str,
    event: Event[int],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    actor = in_process(event, handlers.print_megabytes)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1)
        await stage.until_done(actor)
    assert len(capfd.readouterr().out) == 64 * 65_536
    assert len([r for r in caplog.records if r.name == "tests.handlers"]) == 200


# what one job does to the next


@in_turn(
    "how",
    ["closed_streams", "moved", "forked", "forked_daemon", "logging_in_a_fork", "threads", "alarm"],
)
async def test_a_spoilt_process_is_as_before(
    url: str, event: Event[int], tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    failures = Failures()
    notes = handlers.Spoil(str(tmp_path / "notes"), how)
    actor = in_process(event, notes, failures, max_jobs=1, retry_delay=())
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(0)
        await until(lambda: bool(failures.errors or notes.lines()))
        await stage.emit(1)
        await until(lambda: any(line[0] == "1" for line in notes.lines()))
    mask = os.umask(0)
    os.umask(mask)
    assert not any(isinstance(error, WorkerProcessError) for error in failures.errors)
    lines = [line[:3] for line in notes.lines()]
    assert ["1", str(Path.cwd()), str(mask)] in lines
    assert "still 1\n" in capfd.readouterr().out


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_settings_of_a_process_are_as_before(
    url: str, event: Event[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures = Failures()
    notes = handlers.Unsettled(str(tmp_path / "notes"))
    actor = in_process(event, notes, failures, max_jobs=1)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(0, 1)
        await until(lambda: bool(failures.errors) or len(notes.lines()) == 2)
    assert failures.errors == []
    assert notes.lines()[0][1] == notes.lines()[1][1], "another process has taken its place"
    assert "heard" in caplog.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_process_that_cannot_be_as_before_is_replaced(
    url: str, event: Event[int], tmp_path: Path
) -> None:
    failures = Failures()
    notes = handlers.Detached(str(tmp_path / "notes"))
    actor = in_process(event, notes, failures, max_jobs=1)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(0, 1)
        await stage.until_done(actor)
    assert failures.errors == []
    assert notes.lines()[0][1] != notes.lines()[1][1]


async def test_a_process_that_closes_everything_fails_its_job_only(
    url: str, event: Event[int], tmp_path: Path
) -> None:
    failures = Failures()
    notes = handlers.Spoil(str(tmp_path / "notes"), "all_closed")
    actor = in_process(event, notes, failures)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(0)
        await until(lambda: bool(failures.errors))
        await stage.emit(1)
        await stage.until_left(actor, 1)
    assert isinstance(failures.errors[0], WorkerProcessError)


# signals, deaths and what is left


async def test_signals_in_the_middle_of_a_job(url: str, event: Event[int], tmp_path: Path) -> None:
    """The job goes on; programs and children that the handler starts have the usual settings."""
    failures = Failures()
    notes = handlers.SignalItself(str(tmp_path / "notes"))
    actor = in_process(event, notes, failures)
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1)
        await until(lambda: bool(notes.lines() or failures.errors))
        await stage.until_done(actor)
    assert failures.errors == []


async def test_an_idle_process_that_died_costs_no_attempt(
    url: str, event: Event[int], tmp_path: Path
) -> None:
    failures = Failures()
    notes = Note(str(tmp_path / "notes"))
    actor = in_process(event, notes, failures, max_attempts=1)
    async with running(url, actor, max_processes=1) as stage:
        for message in range(3):
            await stage.emit(message)
            await stage.until_done(actor)
            os.kill(int(notes.lines()[-1][1]), signal.SIGKILL)
    assert notes.messages() == [0, 1, 2]
    assert len({line[1] for line in notes.lines()}) == 3
    assert failures.errors == []


async def test_an_idle_process_is_kept(url: str, event: Event[int], tmp_path: Path) -> None:
    """For the next job, however long that takes to come; it ends with its parent only."""
    failures = Failures()
    notes = Note(str(tmp_path / "notes"))
    actor = in_process(event, notes, failures)
    async with running(url, actor, max_processes=1) as stage:
        for message in (1, 2):
            await stage.emit(message)
            await stage.until_done(actor)
            # Longer than a process goes on whose parent has died.
            await anyio.sleep(2 * END_WITHIN)
    assert len({line[1] for line in notes.lines()}) == 1


async def test_what_a_killed_job_started_is_killed(
    url: str, event: Event[int], tmp_path: Path
) -> None:
    failures = Failures()
    notes = handlers.StartAndWait(str(tmp_path / "notes"))
    actor = in_process(event, notes, failures, job_timeout=0.5)
    before = _pipes()
    async with running(url, actor, max_processes=1) as stage:
        await stage.emit(1)
        await until(lambda: bool(failures.errors))
        pids = [int(word) for word in notes.lines()[0][1:]]
        await until(lambda: not any(map(is_alive, pids)), within=2)
    assert isinstance(failures.errors[0], TimeoutError)
    assert _pipes() <= before


def _pipes() -> set[str]:
    """The pipes that this process has open."""
    found: set[str] = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # of the folder itself, which is read
            found.add(str(file.readlink()))
    return {name for name in found if name.startswith("pipe:")}


async def test_a_handler_may_connect(url: str, event: Event[int], tmp_path: Path) -> None:
    """It is the program itself that may not, where it runs a second time."""
    failures = Failures()
    notes = handlers.Connect(str(tmp_path / "notes"), url)
    async with running(url, in_process(event, notes, failures), max_processes=1) as stage:
        await stage.emit(1)
        await until(lambda: bool(notes.lines() or failures.errors))
    assert failures.errors == []


async def test_no_process_outlives_listen(url: str, event: Event[int], tmp_path: Path) -> None:
    notes = handlers.Spoil(str(tmp_path / "notes"), "threads")
    actor = in_process(event, notes)
    async with running(url, actor, max_processes=2) as stage:
        await stage.emit(0, 1)
        await stage.until_done(actor)
    pids = {int(line[3]) for line in notes.lines()}
    assert pids
    assert not any(map(is_alive, pids))


async def test_cancelled_at_every_moment(
    url: str, event: Event[int], tmp_path: Path, anyio_backend_name: str
) -> None:
    """Nothing is lost, no process is left, whenever it comes: the event loops take turns."""
    notes = handlers.Sleep(str(tmp_path / "notes"), 0.05)
    actor = in_process(event, notes, max_attempts=1)
    async with running(url, actor) as stage:
        await stage.emit(*range(30))
    for step in range(anyio_backend_name == "trio", 12, 2):
        async with stage_again(url, actor) as conn:
            with anyio.move_on_after(0.04 * step):
                await conn.listen(max_processes=2)
        assert not _children(), f"cancelled after {0.04 * step:.2f} s"
    async with running(url, actor) as stage:
        await stage.until_done(actor)
    assert set(notes.messages()) == set(range(30))


def _children() -> list[int]:
    """Worker processes of this process that run, or are not collected."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(words[1]) == os.getpid() and (b"_process_side" in command or words[0] == "Z"):
            found.append(int(stat.parent.name))
    return found


def stage_again(url: str, actor: Actor[int, Any]) -> Any:
    import walnats_anyio as walnats

    return walnats.Actors(actor).connect(url)
