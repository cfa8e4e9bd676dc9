"""What handlers do: blocking the event loop, swallowing what decides about the event."""

from __future__ import annotations

import pytest

from tests.linter._checking import codes_in

BLOCKING = [
    "import time\ntime.sleep(1)",
    "from time import sleep as pause\npause(seconds)",
    "import requests\nrequests.get(url)",
    "import urllib.request\nurllib.request.urlopen(url).read()",
    "import subprocess as sp\nsp.run(['true'])",
    "import sqlite3\nwith sqlite3.connect(file) as db: db.execute('')",
    "import socket\nsocket.create_connection(('a', 1))",
    "import os\nos.system('true')",
    "input()",
    "import time\nif message:\n  for i in range(3):\n    time.sleep(i)",
    "import time\n[time.sleep(n) for n in (1, 2)]",
]

HARMLESS = [
    "import time\ntime.sleep(0)",
    "import time\ntime.monotonic()",
    "import anyio, time\nawait anyio.to_thread.run_sync(time.sleep, 1)",
    "import anyio, requests\nawait anyio.to_thread.run_sync(lambda: requests.get(url))",
    "import time\ndef later(): time.sleep(1)\nreturn later",
    "import time\n[time.sleep(1) for time in clocks]",
    "with open('a') as file: file.read()",
    "import sqlite3\nsqlite3.Row",
    "from elsewhere import sleep\nsleep(1)",
    "input = None\ninput()",
]


def within(body: str, start: str = "async def do(message):") -> str:
    return "\n".join([start, *(f"  {line}" for line in body.splitlines())])


@pytest.mark.parametrize("body", BLOCKING)
def test_a_call_that_blocks_the_event_loop(body: str) -> None:
    actor = "\nActor('a', EVENT, do"
    assert codes_in(within(body) + f"{actor})") == ["WNS031"]
    plain = within(body, "def do(message):")
    assert codes_in(plain + f"{actor})") == ["WNS031"]
    assert codes_in(plain + f"{actor}, execute_in=ExecuteIn.MAIN)") == ["WNS031"]
    for where in ("execute_in=ExecuteIn.THREAD", "execute_in=where", "**options"):
        assert codes_in(plain + f"{actor}, {where})") == []
    assert codes_in(within(body)) == []  # no handler, as far as this file tells


@pytest.mark.parametrize("body", HARMLESS)
def test_a_call_that_does_not_block_it_or_may_not(body: str) -> None:
    assert codes_in(within(body) + "\nActor('a', EVENT, do)") == []


SLEEP = "time.sleep(1)"


@pytest.mark.parametrize(
    "source",
    [
        f"Actor('a', EVENT, lambda m: {SLEEP})",
        f"class A:\n  async def do(self, m): {SLEEP}\nActor('a', EVENT, A().do)",
        f"class A:\n  async def do(self, m): {SLEEP}\nBOX = A()\nActor('a', EVENT, BOX.do)",
        f"class A:\n  @staticmethod\n  async def do(m): {SLEEP}\nActor('a', EVENT, A.do)",
        (
            "from functools import partial\n"
            f"async def do(n, m): {SLEEP}\nActor('a', EVENT, partial(partial(do, 1)))"
        ),
        (
            f"from walnats_anyio.decorators import suppress\n"
            f"@suppress(E)\nasync def do(m): {SLEEP}\nActor('a', EVENT, do)"
        ),
        f"class A:\n  async def __call__(self, m): {SLEEP}\nActor('a', EVENT, A())",
        f"async def do(m): one()\ndef one(): two()\ndef two(): {SLEEP}\nActor('a', EVENT, do)",
        f"async def do(m): one(1)\ndef one(i): one(i) or {SLEEP}\nActor('a', EVENT, do)",
        f"async def do(m): await one()\nasync def one(): {SLEEP}\nActor('a', EVENT, do)",
        f"async def do(m): await one()\ndef one(): return {SLEEP}\nActor('a', EVENT, do)",
        (
            f"class A:\n  async def do(self, m): {SLEEP}\n"
            "  def actor(self): return Actor('a', EVENT, self.do)"
        ),
        (
            "class A:\n  async def do(self, m): await self.one()\n"
            f"  async def one(self): self.two()\n  def two(self): {SLEEP}\n"
            "Actor('a', EVENT, A().do)"
        ),
        (f"class A:\n  async def do(self, m): {SLEEP}\nclass B(A): ...\nActor('a', EVENT, B().do)"),
        (
            f"import dataclasses as d\nasync def do(m): {SLEEP}\n"
            "d.replace(Actor('a', EVENT, len, execute_in=where), handler=do)"
        ),
        (
            "from dataclasses import replace\n"
            "A = Actor('a', EVENT, len, execute_in=ExecuteIn.THREAD)\n"
            f"def do(m): {SLEEP}\nreplace(A, handler=do, execute_in=ExecuteIn.MAIN)"
        ),
        (
            f"async def do(m): {SLEEP}\nHANDLERS = {{'a': do}}\n"
            "for n, h in HANDLERS.items(): Actor(n, EVENT, h)"
        ),
        "Actor('a', EVENT, time.sleep)",
        (
            "import requests\nSITE = requests.Session()\n"
            "async def do(m): SITE.get(m)\nActor('a', EVENT, do)"
        ),
        f"async def do(m): {SLEEP}\nActor('a', EVENT, do)\nActor('b', EVENT, do)",
        f"def f():\n  async def do(m): {SLEEP}\n  Actor('a', event=EVENT, handler=do)",
    ],
)
def test_a_handler_is_found_wherever_it_is(source: str) -> None:
    assert codes_in(source) == ["WNS031"]


@pytest.mark.parametrize(
    "source",
    [
        f"@in_thread\nasync def do(m): {SLEEP}\nActor('a', EVENT, do)",
        f"class A:\n  @in_thread\n  async def do(self, m): {SLEEP}\nActor('a', EVENT, A().do)",
        f"@w.anything\nasync def do(m): {SLEEP}\nActor('a', EVENT, do)",
        f"if x:\n  async def do(m): {SLEEP}\nelse:\n  from y import do\nActor('a', EVENT, do)",
        f"@wrapped\nclass A:\n  async def do(self, m): {SLEEP}\nActor('a', EVENT, A().do)",
        f"class A:\n  async def do(self, m): {SLEEP}\ndef f(a): Actor('a', EVENT, a.do)",
        f"async def do(m): {SLEEP}\nActor('a', EVENT, wrap(do))",
        f"async def do(m): later(one)\ndef one(): {SLEEP}\nActor('a', EVENT, do)",
        f"async def do(m): one()\n@in_thread\ndef one(): {SLEEP}\nActor('a', EVENT, do)",
        f"async def do(m): send(one())\ndef one():\n  yield {SLEEP}\nActor('a', EVENT, do)",
        f"async def do(m): send(one())\nasync def one(): {SLEEP}\nActor('a', EVENT, do)",
        (
            "class A:\n  def __init__(self):\n    self.do = elsewhere(self.do)\n"
            f"    Actor('a', EVENT, self.do)\n  async def do(self, m): {SLEEP}"
        ),
        (
            f"class A:\n  async def do(self, m): {SLEEP}\n  @staticmethod\n"
            "  def make(other): Actor('a', EVENT, other.do)"
        ),
        (
            f"class A:\n  async def do(self, m): {SLEEP}\nclass B(A, Other): ...\n"
            "Actor('a', EVENT, B().do)"
        ),
        (
            "from dataclasses import replace\n"
            "A = Actor('a', EVENT, len, execute_in=ExecuteIn.THREAD)\n"
            f"def do(m): {SLEEP}\nreplace(A, handler=do)"
        ),
        "Actor('a', EVENT, time.sleep, execute_in=ExecuteIn.THREAD)",
        "import requests\nasync def do(m): requests.Session()\nActor('a', EVENT, do)",
    ],
)
def test_a_handler_that_may_be_another_one_is_left_alone(source: str) -> None:
    assert codes_in(source) == []


SWALLOWING = [
    "try:\n  await send()\nexcept Exception:\n  pass",
    "'''Send it.'''\ntry:\n  await send()\nexcept:\n  ...",
    "try:\n  await send()\nexcept* Exception:\n  pass",
    "count()\ntry:\n  raise Retry\nexcept* Exception as e:\n  log.error(e)",
    "try:\n  send()\nexcept (ValueError, BaseException):\n  return",
    "import contextlib\nwith contextlib.suppress(Exception):\n  await send()",
    "count()\ntry:\n  if full():\n    raise Retry(5)\nexcept Exception as e:\n  log.error(e)",
    "count()\ntry:\n  if full():\n    raise Snooze(5)\nexcept Exception as e:\n  log.error(e)",
    "count()\ntry:\n  raise w.BatchError(errors)\nexcept Exception as e:\n  log.error(e)",
    "for i in x:\n  try:\n    raise w.Reject('')\n  except Exception:\n    print()\n    continue",
    "from contextlib import suppress\ncount()\nwith suppress(Exception):\n  raise Retry",
    (
        "try:\n  try:\n    f()\n  finally:\n    raise Retry\nexcept ValueError:\n  a()\n"
        "except Exception:\n  log.info('')"
    ),
]

LETTING_OUT = [
    "try:\n  await send()\nexcept (Retry, Reject):\n  raise\nexcept Exception:\n  pass",
    "try:\n  await send()\nexcept w.BatchError:\n  raise\nexcept Exception:\n  pass",
    (
        "errors = {}\nfor at, one in enumerate(message):\n  try:\n    await send(one)\n"
        "  except Exception as e:\n    errors[at] = e\nif errors:\n  raise w.BatchError(errors)"
    ),
    "try:\n  await send()\nexcept Snooze:\n  raise\nexcept Exception:\n  pass",
    "try:\n  await send()\nexcept ValueError:\n  pass",
    "try:\n  await send()\nexcept Exception:\n  log.exception('failed')",
    "try:\n  await send()\nexcept Exception:\n  raise Retry from None",
    "count()\ntry:\n  await send()\nexcept Exception:\n  pass",
    "try:\n  x = 1\nexcept Exception:\n  pass",
    "try:\n  raise Retry\nexcept Exception as e:\n  decide(e)",
    "try:\n  raise Retry\nexcept Exception as e:\n  log.error(e)\n  raise",
    "try:\n  raise Retry\nexcept:\n  raise",
    "try:\n  raise ValueError\nexcept Exception:\n  log.error('a')",
    "try:\n  def f(): raise Retry\nexcept Exception:\n  log.error('a')",
    "try:\n  try:\n    raise Retry\n  except Retry:\n    a()\nexcept Exception:\n  log.error('a')",
    "try:\n  await send()\nexcept errors:\n  pass",
    "with suppress(Exception):\n  await send()",
    "import contextlib\nwith contextlib.suppress(ValueError):\n  raise Retry",
    "try:\n  await send()\nfinally:\n  pass",
    "try:\n  return await send()\nexcept Exception:\n  return 0",
    "for i in x:\n  try:\n    raise Retry\n  except Exception:\n    continue\nraise Retry",
    "try:\n  await send()\nexcept Exception:\n  pass\nfinally:\n  raise Reject('')",
    "import contextlib as c\nwith c.suppress(Exception):\n  raise Retry\nraise Reject('late')",
]


@pytest.mark.parametrize("body", SWALLOWING)
def test_what_swallows_the_verdict(body: str) -> None:
    assert codes_in(within(body) + "\nActor('a', EVENT, do)") == ["WNS032"]
    plain = within(body.replace("await ", ""), "def do(message):")
    assert codes_in(plain + "\nActor('a', EVENT, do, execute_in=ExecuteIn.THREAD)") == ["WNS032"]
    assert codes_in(within(body)) == []


@pytest.mark.parametrize("body", LETTING_OUT)
def test_what_lets_the_verdict_out_or_may(body: str) -> None:
    assert codes_in(within(body) + "\nActor('a', EVENT, do)") == []
