"""No server outlives the process that started it, however hard that process dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

# Reads pids until the pipe ends, which it does when the process that holds the other end is no
# more, SIGKILL included. The second rm is for a file that the dying server still made during the
# first.
_SCRIPT = """
last=
while read -r pid; do last=$pid; done
[ -n "$last" ] && kill -KILL "$last"
rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
"""


class Watchdog:
    """A tiny shell that waits for the death of this process, then kills the server and cleans up.

    The ways the operating system offers do not fit: PR_SET_PDEATHSIG is of Linux only, has to be
    set between fork and exec, where Python code can deadlock in a program with threads, and fires
    when the starting *thread* ends. The end of a pipe is seen everywhere. It is seen late in one
    case: a child forked without exec (multiprocessing's `fork`) keeps the pipe open until it ends,
    too.
    """

    def __init__(self, directory: Path) -> None:
        reading, self._pipe = os.pipe()
        try:
            # Its own process group: Ctrl-C is for the program, and must not end what outlives it.
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "walnats-watchdog", str(directory)],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(reading)

    def guard(self, pid: int | None) -> None:
        """From now on this is the process to kill; None once it has ended and was reaped."""
        # A watchdog that somebody killed is no reason to fail: it only matters if we die.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, b"%d\n" % pid if pid is not None else b"\n")

    def dismiss(self) -> None:
        """Clean-up is done: nothing is left to watch."""
        self._shell.kill()
        self._shell.wait()
        os.close(self._pipe)
