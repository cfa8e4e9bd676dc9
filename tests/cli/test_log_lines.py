"""Lines of the log: as JSON, and whole ones from several processes."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.test_app import invoke
from walnats_anyio.cli import _log_lines
from walnats_anyio.cli._log_lines import JsonFormatter, LineHandler, in_one_line, make_lock
from walnats_anyio.cli._screen import fail


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    """A record as the formatter writes it, read back."""
    text = JsonFormatter().format(record)
    assert "\n" not in text
    fields: dict[str, Any] = json.loads(text)
    return fields


def record_of(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("shop").makeRecord(
        "shop", logging.WARNING, "shop.py", 1, message, args, None, extra=extra
    )


def test_standard_error_that_a_handler_has_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be told, and nothing else breaks."""
    with Path(os.devnull).open("w") as closed:
        handler = LineHandler(closed, None)
    monkeypatch.setattr(sys, "stderr", closed)
    handler.handle(record_of("stopping"))
    fail("no server", "start one", ValueError("no server"))


def test_a_record_is_one_line_with_its_fields() -> None:
    fields = line_of(record_of("event %d\nfailed", 7, actor="pack", sequence=7, uid=None))
    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "WARNING",
        "logger": "shop",
        "process": os.getpid(),
        "message": "event 7\nfailed",
        "actor": "pack",
        "sequence": 7,
        "uid": None,
    }


def test_a_traceback_is_a_field() -> None:
    try:
        raise ValueError("no such order")
    except ValueError:
        record = record_of("failed")
        record.exc_info = sys.exc_info()
    assert line_of(record)["exception"].endswith("ValueError: no such order")


class _Unshown:
    def __repr__(self) -> str:
        raise RuntimeError


def test_what_json_has_no_word_for_does_not_cost_the_line() -> None:
    loop: list[object] = []
    loop.append(loop)
    for value in (float("nan"), {1, 2}, loop, {("a", 1): 2}, _Unshown(), object(), b"\xff"):
        assert line_of(record_of("said", value=value))["message"] == "said"


def test_arguments_that_do_not_fit_do_not_cost_the_line() -> None:
    said = line_of(record_of("event %d of %s", "seven"))["message"]
    assert said == "'event %d of %s' % ('seven',) (cannot be formatted: TypeError)"


def test_a_field_with_a_name_of_the_line_is_kept_beside_it() -> None:
    fields = line_of(record_of("said", level="high", logger="mine"))
    assert (fields["level"], fields["level_"], fields["logger_"]) == ("WARNING", "high", "mine")


VALUES = st.recursive(
    st.floats() | st.text() | st.binary() | st.integers() | st.none() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), VALUES, max_size=3))
@settings(max_examples=50)
def test_any_fields_are_one_line(fields: dict[str, object]) -> None:
    assert isinstance(json.loads(in_one_line(fields)), dict)


WRITER = f"""
import logging, runpy, sys
LineHandler = runpy.run_path({_log_lines.__file__!r})["LineHandler"]  # without the whole library
handler = LineHandler(sys.stderr, int(sys.argv[1]))
for number in range(60):
    handler.handle(logging.makeLogRecord(dict(msg=sys.argv[2] * 20_000)))
"""


def test_long_lines_of_several_processes_are_not_mixed() -> None:
    """A pipe takes 4 KiB at once, and what is longer in pieces."""
    lock = make_lock()
    assert lock is not None
    reader, writer = os.pipe()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(lock), letter],
            stderr=writer,
            pass_fds=[lock],
        )
        for letter in "ab"
    ]
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().splitlines()
    assert [process.wait() for process in writers] == [0, 0]
    os.close(lock)
    assert sorted(lines) == [b"a" * 20_000] * 60 + [b"b" * 20_000] * 60


def test_a_process_that_keeps_the_lock_stops_no_other() -> None:
    lock = make_lock()
    assert lock is not None
    code = f"import fcntl, sys; fcntl.lockf({lock}, fcntl.LOCK_EX); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[lock],
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        reader, writer = os.pipe()
        with os.fdopen(reader) as pipe, os.fdopen(writer, "w") as stream:
            LineHandler(stream, lock).handle(record_of("said all the same"))
            assert pipe.readline() == "said all the same\n"
        holder.kill()
    os.close(lock)


def test_threads_share_the_lock_of_their_process() -> None:
    lock = make_lock()
    assert lock is not None
    fcntl.lockf(lock, fcntl.LOCK_EX)
    begun = time.monotonic()
    with open(os.devnull, "w") as stream:  # noqa: PTH123 - a device
        handler = LineHandler(stream, lock)
        thread = threading.Thread(target=handler.handle, args=[record_of("said")])
        thread.start()
        thread.join()
    assert time.monotonic() - begun < 0.2
    os.close(lock)


def test_a_configuration_and_json_contradict_each_other(tmp_path: Any) -> None:
    (tmp_path / "log.toml").write_text("version = 1")
    code, said = invoke(
        "run", "json:loads", "--log-format=json", f"--log-config={tmp_path}/log.toml"
    )
    assert code == 2
    assert "both say what a record looks like" in said
