"""Arguments of an actor that do not go together, and scripts that need a guard."""

from __future__ import annotations

import pytest

from tests.linter._checking import codes_in

HANDLER = "def do(message): ...\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("pulse=False", ["WNS034"]),
        ("pulse=False, ack_wait=32", []),
        ("pulse=False, ack_wait=5, job_timeout=6", ["WNS034"]),
        ("pulse=False, ack_wait=5, job_timeout=5", []),
        ("pulse=False, ack_wait=wait", []),
        ("pulse=pulse, ack_wait=5", []),
        ("pulse=True, ack_wait=5", []),
        ("ack_wait=5", []),
        ("pulse=False, **options", []),
        ("pulse=False, ack_wait=5, job_timeout=6, **options", ["WNS034"]),
        ("*options, pulse=False", []),
        (
            "None, 5, None, 100, (), 16, 6, w.ExecuteIn.MAIN, (), False",
            ["WNS034"],
        ),
    ],
)
def test_the_timeout_without_pulse(arguments: str, expected: list[str]) -> None:
    assert codes_in(f"Actor('a', EVENT, do, {arguments})") == expected


@pytest.mark.parametrize(
    ("source", "reported"),
    [
        ("Actor('a', EVENT, do)", True),
        ("Actor('a', EVENT, do, max_attempts=None)", True),
        ("Actor('a', EVENT, do, max_attempts=5)", False),
        ("Actor('a', EVENT, do, max_attempts=attempts)", False),
        ("Actor('a', EVENT, do, **options)", False),
        ("Actor('a', Event('b', int), do)", True),
        ("Actor('a', Event('b', int, limits=Limits()), do)", True),
        ("Actor('a', Event('b', int, limits=Limits(age=5)), do)", False),
        ("Actor('a', Event('b', int, limits=limits), do)", False),
        ("Actor('a', Event('b', int, **options), do)", False),
        ("LIMITS = Limits(age=5)\nActor('a', Event('b', int, None, None, LIMITS), do)", False),
        ("from events import PLACED\nActor('a', PLACED, do)", False),
    ],
)
def test_retries_for_ever_where_they_are_looked_for(source: str, reported: bool) -> None:
    assert codes_in(source, "WNS033") == ["WNS033"] * reported
    assert codes_in(source) == codes_in(source, "WNS03") == []


@pytest.mark.parametrize(
    "source",
    [
        "Actor('a', EVENT, lambda m: 1, execute_in=w.ExecuteIn.PROCESS)",
        "Actor('a', EVENT, lambda m: 1, None, 1, 1, 1, (), 1, 1, ExecuteIn.PROCESS)",
        "do = lambda m: 1\nActor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)",
        "P = ExecuteIn.PROCESS\nActor('a', EVENT, handler=lambda m: 1, execute_in=P)",
        "def f():\n  def do(m): ...\n  Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)",
        (
            "import functools\ndef f():\n  def do(m, n): ...\n"
            "  Actor('a', EVENT, functools.partial(do, n=1), execute_in=ExecuteIn.PROCESS)"
        ),
        (
            "def f():\n  class Mailer:\n    def send(self, m): ...\n"
            "  Actor('a', EVENT, Mailer().send, execute_in=ExecuteIn.PROCESS)"
        ),
        "Actor('a', EVENT, lambda m: 1, execute_in=ExecuteIn.PROCESS, **options)",
    ],
)
def test_a_handler_that_cannot_be_imported(source: str) -> None:
    assert codes_in(source) == ["WNS035"]


@pytest.mark.parametrize(
    "source",
    [
        HANDLER + "Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)",
        (
            "class Mailer:\n  def send(self, m): ...\n"
            "Actor('a', EVENT, Mailer().send, execute_in=ExecuteIn.PROCESS)"
        ),
        "def f(do): Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)",
        "from handlers import do\nActor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)",
        "Actor('a', EVENT, lambda m: 1, execute_in=ExecuteIn.THREAD)",
        "Actor('a', EVENT, lambda m: 1, execute_in=where)",
        "Actor('a', EVENT, lambda m: 1)",
        (
            "def f():\n  @registered\n  def do(m): ...\n"
            "  Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)"
        ),
    ],
)
def test_a_handler_that_can_be_imported_or_may(source: str) -> None:
    assert codes_in(source) == []


ACTORS = HANDLER + "ACTORS = Actors(Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS))\n"

MAIN = """
async def main():
    async with ACTORS.connect() as actors:
        await actors.listen()
"""


@pytest.mark.parametrize(
    "source",
    [
        ACTORS + "ACTORS.run()",
        ACTORS + "summary = ACTORS.run()",
        ACTORS + "with quiet():\n  ACTORS.run()",
        ACTORS + "try:\n  ACTORS.run()\nfinally:\n  print('end')",
        ACTORS + "import anyio" + MAIN + "anyio.run(main)",
        ACTORS + "from trio import run" + MAIN + "run(main)",
        ACTORS + "import asyncio" + MAIN + "asyncio.run(main())",
        ACTORS + "def main(): ACTORS.run()\nmain()",
        ACTORS + "import anyio" + MAIN + "def start():\n  anyio.run(main)\nstart()",
        ACTORS + "import anyio" + MAIN + "async def start():\n  await main()\nanyio.run(start)",
        HANDLER
        + "LIST = [Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)]\nActors(*LIST).run()",
        HANDLER + "ONE = Actor('a', EVENT, do, execute_in=ExecuteIn.PROCESS)\nActors(ONE).run()",
    ],
)
def test_a_script_without_a_guard(source: str) -> None:
    assert codes_in(source) == ["WNS036"]


@pytest.mark.parametrize(
    "source",
    [
        ACTORS + "if __name__ == '__main__':\n  ACTORS.run()",
        ACTORS + "if wanted:\n  ACTORS.run()",
        ACTORS + "import sys\nif __name__ == '__mp_main__':\n  sys.exit()\nACTORS.run()",
        ACTORS + "import anyio" + MAIN + "if '__main__' == __name__:\n  anyio.run(main)",
        ACTORS + "def main(): ACTORS.run()",
        ACTORS + MAIN + "register(main)",
        ACTORS + "def main():\n  if wanted: ACTORS.run()\nmain()",
        ACTORS + "def main(): main()\nmain()",
        ACTORS + "import anyio" + MAIN.replace("ACTORS", "OTHERS") + "anyio.run(main)",
        ACTORS + "import anyio" + MAIN.replace("listen", "register") + "anyio.run(main)",
        ACTORS + "import anyio\nasync def main(): await anyio.sleep(1)\nanyio.run(main)",
        ACTORS.replace("PROCESS", "THREAD") + "ACTORS.run()",
        ACTORS + "Actors(Actor('b', EVENT, do)).run()",
        "from handlers import do\n" + ACTORS.removeprefix(HANDLER) + "ACTORS.run()",
        "from shop import ACTORS\nACTORS.run()",
        ACTORS + "import anyio\nfrom shop import main\nanyio.run(main)",
        ACTORS + "import anyio" + MAIN + "async def start():\n  register(main())\nanyio.run(start)",
        ACTORS + "import anyio\nasync def main(): await main()\nanyio.run(main)",
    ],
)
def test_a_script_that_needs_no_guard_or_may_have_one(source: str) -> None:
    assert codes_in(source) == []


BATCH = "batch=w.Batch(10, 0.5)"
ROW = "class Row: ...\nROWS = Event('row', Row)\n"


@pytest.mark.parametrize(
    "source",
    [
        f"async def do(n: int): ...\nActor('a', EVENT, do, {BATCH})",
        "def do(n: int, /): ...\nMANY = w.Batch(2, 0)\nActor('a', EVENT, do, batch=MANY)",
        f"async def do(n: dict[str, int]): ...\nActor('a', EVENT, do, {BATCH})",
        f"import datetime as d\nasync def do(n: d.date): ...\nActor('a', EVENT, do, {BATCH})",
        f"{ROW}async def do(row: Row): ...\nActor('a', ROWS, do, {BATCH})",
        f"class A:\n  async def do(self, n: int): ...\nActor('a', EVENT, A().do, {BATCH})",
        f"class A:\n  @staticmethod\n  def do(n: int): ...\nActor('a', EVENT, A.do, {BATCH})",
    ],
)
def test_a_handler_of_batches_that_takes_one_message(source: str) -> None:
    assert codes_in(source) == ["WNS037"]
    assert codes_in(source.replace(f", {BATCH}", "").replace(", batch=MANY", "")) == []


@pytest.mark.parametrize(
    "source",
    [
        f"async def do(ns: list[int]): ...\nActor('a', EVENT, do, {BATCH})",
        f"async def do(ns): ...\nActor('a', EVENT, do, {BATCH})",
        f"async def do(ns: 'int'): ...\nActor('a', EVENT, do, {BATCH})",
        f"async def do(ns: Numbers): ...\nActor('a', EVENT, do, {BATCH})",
        "async def do(n: int): ...\nActor('a', EVENT, do, batch=None)",
        "async def do(n: int): ...\nActor('a', EVENT, do, batch=chosen)",
        f"{ROW}class Rows: ...\nasync def do(rows: Rows): ...\nActor('a', ROWS, do, {BATCH})",
        f"class A:\n  async def do(self: int, ns): ...\nActor('a', EVENT, A().do, {BATCH})",
        (
            "from functools import partial\nasync def do(n: int, ns: list[int]): ...\n"
            f"Actor('a', EVENT, partial(do, 1), {BATCH})"
        ),
        f"@wrapped\nasync def do(n: int): ...\nActor('a', EVENT, do, {BATCH})",
        f"Actor('a', EVENT, lambda ns: None, {BATCH})",
        f"async def do(*ns: int): ...\nActor('a', EVENT, do, {BATCH})",
    ],
)
def test_a_handler_of_batches_that_takes_a_list_or_may(source: str) -> None:
    assert codes_in(source) == []
