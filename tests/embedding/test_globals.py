"""What belongs to the whole process is the application's: the library changes none of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.docs._blocks import ROOT
from walnats_anyio.testing import NatsServer

PROGRAM = """
import asyncio, gc, json, locale, logging, multiprocessing, os, re, signal, sys, threading, warnings

def shown(*things):
    return [re.sub(" at 0x[0-9a-f]+", "", repr(thing))[:60] for thing in things]

def snapshot():
    loggers = [logging.getLogger(), logging.getLogger("walnats_anyio")]
    loggers += [each for name, each in logging.Logger.manager.loggerDict.items()
                if name.startswith("walnats_anyio") and isinstance(each, logging.Logger)]
    mask = os.umask(0)
    os.umask(mask)
    return {
        "policy": shown(asyncio.events._event_loop_policy),
        "signals": shown(*map(signal.getsignal, sorted(signal.valid_signals()))),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "handlers": [shown(*each.handlers) for each in loggers if each.handlers],
        "levels": [(each.name, each.level) for each in loggers if each.level],
        "propagate": [each.name for each in loggers if not each.propagate or each.disabled],
        "logging": shown(logging.getLoggerClass(), logging.root.manager.disable,
                         logging.getLogRecordFactory(), logging.raiseExceptions),
        "hooks": shown(sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook,
                       sys.gettrace(), sys.getprofile(), sys.breakpointhook,
                       sys.stdout, sys.stderr, sys.stdin),
        "asyncgens": shown(*sys.get_asyncgen_hooks()),
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(),
                   gc.isenabled(), mask, os.getcwd(), locale.setlocale(locale.LC_ALL)],
        "method": multiprocessing.get_start_method(allow_none=True),
        "warnings": len(warnings.filters),
        "environment": dict(os.environ),
    }

import anyio

async def look():
    return snapshot()

inside = anyio.run(look, backend=sys.argv[2])  # what the event loop itself sets while it runs
outside = snapshot()

import walnats_anyio as walnats
from walnats_anyio.dead_letters import DeadLetters

places = {"imported": snapshot()}
URL = sys.argv[1]
EVENT = walnats.Event("globals", int, storage="memory")
EVENTS = walnats.Events(EVENT)

def note(where):
    places[where] = snapshot()

async def main(_):
    note("handler")
    raise walnats.Reject("a dead letter")

def thread(_):
    note("thread")

ACTORS = walnats.Actors(
    walnats.Actor("main", EVENT, main),
    walnats.Actor("thread", EVENT, thread, execute_in=walnats.ExecuteIn.THREAD),
    walnats.Actor("process", EVENT, abs, execute_in=walnats.ExecuteIn.PROCESS, max_attempts=1),
)

async def embed():
    async with EVENTS.connect(URL) as events, ACTORS.connect(URL) as actors:
        await events.register()
        await actors.register()
        await events.emit(EVENT, 1)
        await actors.listen(burst=True)
        note("connected")
    async with DeadLetters.connect(URL) as dead:
        assert await dead.count() >= 1

anyio.run(embed, backend=sys.argv[2])
note("left")
with EVENTS.connect_sync(URL, backend=sys.argv[2]) as conn:
    conn.emit(EVENT, 2, sync=True)
    note("sync")
note("closed")
for where, then in places.items():
    usual = inside if where in ("handler", "thread", "connected") else outside
    for what, value in then.items():
        if value != usual[what] and (where, what) != ("thread", "asyncgens"):
            print(where, what, usual[what], value)
print(json.dumps(sorted(places)))
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nothing_of_the_process_is_changed(one_server: NatsServer, backend: str) -> None:
    """Neither by importing it, nor while it is used, nor afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, one_server.url, backend],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *changed, places = done.stdout.splitlines()
    assert changed == []
    assert json.loads(places) == sorted(
        ["imported", "handler", "thread", "connected", "left", "sync", "closed"]
    )
