"""Running tests on a copy of the repository in which something was changed.

pytest and the libraries are imported once; then a child is forked for each trial, which imports the
library and the tests from the copy. That saves most of a second for each.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent.parent

PRELOADED = (
    "pytest", "_pytest.assertion.rewrite", "anyio", "anyio._backends._asyncio", "trio",
    "anyio._backends._trio", "hypothesis", "msgspec", "nats", "ssl",
)  # fmt: skip
"""Imported before children are forked."""

TEST_DEADLINE = 6.0
"""Seconds that a test waits for what takes milliseconds; 30 where nothing is broken on purpose."""

TEST_WITHIN = 25.0
"""Seconds that a whole test has."""

TRIAL_WITHIN = 180.0
"""Seconds that a trial has, and then it counts as one that hangs."""

MAX_CPU = 100
"""Seconds of processor time that a trial may take, and then it counts as one that hangs."""

MAX_MEMORY = 1_500_000
"""Kilobytes that it may take, likewise."""


USAGE_ERROR = 4
"""The exit code of pytest for tests that there are not."""


class Ending(enum.Enum):
    """How a trial ended."""

    SURVIVED = "survived"
    """All tests passed."""

    ASSERTED = "an assertion failed"
    RAISED = "something was raised"
    WAITED = "a test waited in vain"
    HUNG = "it hung"
    """It had to be ended from outside."""

    UNUSABLE = "nothing can be imported"
    """It breaks the library for all: neither noticed by a test nor survived."""

    MISSING = "no test was run"
    """A mistake of ours, and not a result."""


@dataclass(frozen=True)
class Result:
    """What a trial has shown."""

    ending: Ending
    test: str = ""
    """The test that failed."""
    said: str = ""
    """What it said."""
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of processor time."""

    def after(self, before: Result) -> Result:
        """The same, with the time that an earlier trial took."""
        seconds, cpu = before.seconds + self.seconds, before.cpu + self.cpu
        return replace(self, seconds=seconds, cpu=cpu)


class Checkout:
    """A copy of the repository, as it is now with all that is not committed."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        self._time = int(time.time()) - 1_000_000
        self._kept: dict[str, bytes] = {}

    def put(self, path: str, content: bytes) -> None:
        """Write a file, with a time of its own, so that no compiled one is taken for it."""
        self._time += 10
        (self.root / path).write_bytes(content)
        os.utime(self.root / path, (self._time, self._time))

    def read(self, path: str) -> bytes:
        """A file as it was in the repository when the copy was made: it may have changed since."""
        return self._kept.setdefault(path, (self.root / path).read_bytes())

    def restore(self, path: str) -> None:
        """Have a file as `read` gives it."""
        self.put(path, self._kept[path])


def preload() -> None:
    """Import what no change can concern."""
    for name in PRELOADED:
        importlib.import_module(name)


class Trial:
    """Tests that run in a child, in a copy."""

    def __init__(self, checkout: Checkout, tests: list[str]) -> None:
        self._report = checkout.root / ".trial.json"
        self._report.unlink(missing_ok=True)
        self._began = time.monotonic()
        self._looked = 0.0
        self.pid = os.fork()
        if not self.pid:
            _run(checkout.root, tests, self._report)

    def poll(self) -> Result | None:
        """The result, once there is one."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            self._look()
            return None
        self.kill()  # what it has left running
        seconds = time.monotonic() - self._began
        cpu = usage.ru_utime + usage.ru_stime
        if not self._report.exists():
            code = os.waitstatus_to_exitcode(status)
            ending = Ending.HUNG if code < 0 else Ending.UNUSABLE
            if code == USAGE_ERROR:
                ending = Ending.MISSING
            return Result(ending, said=f"ended with {code}", seconds=seconds, cpu=cpu)
        report = json.loads(self._report.read_text())
        ending = Ending[report["ending"]]
        if ending is Ending.SURVIVED and os.waitstatus_to_exitcode(status) != 0:
            ending = Ending.HUNG
        return Result(ending, report["test"], report["said"], seconds, cpu)

    def kill(self) -> None:
        """End the child and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < 0.5:
            return
        self._looked = now
        if now - self._began > TRIAL_WITHIN or _memory_of(self.pid) > MAX_MEMORY:
            self.kill()


def _memory_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(sizes[0]) if sizes else 0


def _run(root: Path, tests: list[str], report: Path) -> NoReturn:
    code = 1
    try:
        code = _run_pytest(root, tests, report)
    except BaseException:  # noqa: BLE001 - the child must not go on as if it were its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run_pytest(root: Path, tests: list[str], report: Path) -> int:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU, MAX_CPU + 5))
    output = os.open(root / ".trial.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, output, output)):
        os.dup2(file, number)
    os.chdir(root)
    # Here and in the programs that tests start, the copy comes before the repository.
    here = str(ROOT)
    sys.path[:] = [str(root), *(path for path in sys.path if path not in ("", here))]
    os.environ["PYTHONPATH"] = str(root)
    os.environ["WALNATS_TEST_DEADLINE"] = str(TEST_DEADLINE)
    for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "walnats_anyio")]:
        del sys.modules[name]

    import pytest

    notes = _Notes(report)
    return pytest.main(
        [
            "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header",
            "-W", "ignore::pytest.PytestAssertRewriteWarning",
            "-c", str(root / "pyproject.toml"), f"--rootdir={root}",
            f"--timeout={TEST_WITHIN:g}", "--timeout-method=signal", *tests,
        ],
        plugins=[notes],
    )  # fmt: skip


class _Notes:
    """Writes down the first failure as soon as there is one; a plugin of pytest."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._passed = 0

    def pytest_exception_interact(self, node: object, call: object) -> None:
        error = call.excinfo.value  # type: ignore[attr-defined]  # pytest's own `CallInfo`
        name = getattr(node, "nodeid", "")
        ending = _ending_of(error) if getattr(call, "when", "") != "collect" else Ending.UNUSABLE
        self._write(ending, name, _words_of(error))

    def pytest_runtest_logreport(self, report: object) -> None:
        self._passed += getattr(report, "when", "") == "call"

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self._report.exists():
            return
        if exitstatus == 0 and self._passed:
            self._write(Ending.SURVIVED, "", "")
        else:
            self._write(Ending.MISSING, "", f"pytest ended with {exitstatus!r}")

    def _write(self, ending: Ending, test: str, said: str) -> None:
        if not self._report.exists():
            found = {"ending": ending.name, "test": test, "said": said}
            self._report.write_text(json.dumps(found))


def _ending_of(error: BaseException) -> Ending:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    words = str(error)
    if type(error).__name__ == "Failed" and words.startswith("Timeout"):
        return Ending.HUNG
    if isinstance(error, TimeoutError):
        return Ending.WAITED
    if isinstance(error, AssertionError) or type(error).__name__ == "Failed":
        return Ending.ASSERTED
    return Ending.RAISED


def _words_of(error: BaseException) -> str:
    lines = f"{type(error).__name__}: {error}".splitlines() or [""]
    return lines[0][:200]
