"""What a name stands for: aliases and constants are followed, and nothing is guessed."""

from __future__ import annotations

import pytest

import walnats_anyio
from tests.linter._checking import codes_in
from walnats_anyio._link import _names
from walnats_anyio.linter._declarations import OWN_STREAM_PREFIX, OWN_STREAMS, OWN_SUBJECTS
from walnats_anyio.linter._values import CHECKED

FOUND = {
    "the module": "import walnats_anyio\nwalnats_anyio.Event('', int)",
    "an alias of the module": "import walnats_anyio as w\nw.Event('', int)",
    "the class": "from walnats_anyio import Event\nEvent('', int)",
    "an alias of the class": "from walnats_anyio import Event as E\nE('', int)",
    "a module in the module": "import walnats_anyio.decorators\nwalnats_anyio.Event('', int)",
    "a private module": "from walnats_anyio._events._event import Event\nEvent('', int)",
    "type arguments": "import walnats_anyio as w\nw.Event[int]('', int)",
    "a name for the class": "import walnats_anyio as w\nE = w.Event\nE('', int)",
    "an import in a function": "def f():\n  import walnats_anyio as w\n  w.Event('', int)",
    "under a condition": "if x:\n  import walnats_anyio as w\nw.Event('', int)",
    "the same in both branches": (
        "if x:\n  from walnats_anyio import Event\n"
        "else:\n  from walnats_anyio import Event\nEvent('', int)"
    ),
    "deep inside": (
        "import walnats_anyio as w\nclass A:\n def f(self):\n  return [w.Event('', i) for i in s]"
    ),
    "in a lambda": "import walnats_anyio as w\nf = lambda a=w.Event('', int): 1",
    "in a default": "import walnats_anyio as w\ndef f(a=w.Event('', int)): ...",
    "in a decorator": "import walnats_anyio as w\n@d(w.Event('', int))\nclass A: ...",
    "in one of a function": "import walnats_anyio as w\n@d(w.Event('', int))\ndef f(): ...",
    "a constant": "import walnats_anyio as w\nNAME = ''\nw.Event(NAME, int)",
    "an annotated constant": "import walnats_anyio as w\nNAME: str = ''\nw.Event(NAME, int)",
    "constants put together": "import walnats_anyio as w\nA = ''\nB = A + ''\nw.Event(B, int)",
    "a constant of the function": (
        "import walnats_anyio as w\nNAME = 'a'\ndef f():\n  NAME = ''\n  w.Event(NAME, int)"
    ),
    "before the star": "import walnats_anyio as w\nw.Event('', *rest)",
    "beside two stars": "import walnats_anyio as w\nw.Event(name='', **rest)",
    "in a class": "import walnats_anyio as w\nclass A:\n  NAME = ''\n  e = w.Event(NAME, int)",
    "the star of the library": "from walnats_anyio import *\nEvent('', int)",
    "an f-string of constants": "import walnats_anyio as w\nA = ''\nw.Event(f'{A}', int)",
    "a constant of a class": (
        "import walnats_anyio as w\nclass A:\n  N: str = ''\nw.Event(A.N, int)"
    ),
    "a member of an enum of texts": (
        "import enum\nimport walnats_anyio as w\nclass A(enum.StrEnum):\n  N = ''\n"
        "w.Event(A.N, int)"
    ),
    "the value of a member of an enum": (
        "from enum import Enum\nimport walnats_anyio as w\nclass A(Enum):\n  N = ''\n"
        "w.Event(A.N.value, int)"
    ),
    "a member of an enum that is a text": (
        "from enum import Enum\nimport walnats_anyio as w\nclass A(str, Enum):\n  N = ''\n"
        "w.Event(A.N, int)"
    ),
    "a loop": "import walnats_anyio as w\nfor n in ('a', ''):\n  w.Event(n, int)",
    "a loop over a constant": (
        "import walnats_anyio as w\nNAMES = ['a', '']\nfor n in NAMES: w.Event(n, int)"
    ),
    "a loop over pairs": (
        "import walnats_anyio as w\nfor n, kind in [('a', int), ('', str)]:\n  w.Event(n, kind)"
    ),
    "a loop over a dict": (
        "import walnats_anyio as w\nKINDS = {'': int}\nfor n, t in KINDS.items(): w.Event(n, t)"
    ),
    "a comprehension": "import walnats_anyio as w\nA = [w.Event(n, int) for n in ('', 'a')]",
    "a partial": (
        "import functools\nimport walnats_anyio as w\nE = functools.partial(w.Event, schema=int)\n"
        "E('')"
    ),
    "a partial with the name": (
        "from functools import partial\nimport walnats_anyio as w\nE = partial(w.Event, '')\n"
        "def f(): E(int)"
    ),
    "a copy with another name": (
        "import dataclasses\nimport walnats_anyio as w\nA = w.Event('a', int)\n"
        "B = dataclasses.replace(A, name='')"
    ),
    "assigned on the way": "import walnats_anyio as w\nw.Event(n := '', int)",
    "an assignment expression": "import walnats_anyio as w\nif (N := ''):\n  pass\nw.Event(N, int)",
}

NOT_FOUND = {
    "an Event of somebody else": "import anyio, walnats_anyio\nanyio.Event('')",
    "a class of the file": "import walnats_anyio\nclass Event: ...\nEvent('')",
    "a class that hides it": "from walnats_anyio import Event\nclass Event: ...\nEvent('')",
    "another import": "from walnats_anyio import Event\nfrom anyio import Event\nEvent('')",
    "with a fallback": (
        "try:\n  from walnats_anyio import Event\nexcept ImportError:\n  Event = None\nEvent('')"
    ),
    "the value of something else": (
        "import walnats_anyio as w\nclass A:\n  N = ''\nw.Event(A.N.value, int)"
    ),
    "a loop that skips some": (
        "import walnats_anyio as w\nfor n in ('a', ''):\n  if n: w.Event(n, int)"
    ),
    "a comprehension that skips some": (
        "import walnats_anyio as w\n[w.Event(n, int) for n in ('a', '') if n]"
    ),
    "behind a loop": "import walnats_anyio as w\nfor n in ('', 'a'): ...\nw.Event(n, int)",
    "a function in a loop": (
        "import walnats_anyio as w\nfor n in ('', 'a'):\n  def f(): w.Event(n, int)"
    ),
    "a loop over what is not listed": (
        "import walnats_anyio as w\nfor n, t in [('', int), *more]: w.Event(n, t)\n"
        "for n in names: w.Event(n, int)"
    ),
    "two loops": (
        "import walnats_anyio as w\nfor n in ('',): ...\nfor n in ('a',): w.Event(n, int)"
    ),
    "a variable that changes in the loop": (
        "import walnats_anyio as w\nfor n in ('',):\n  n += 'a'\n  w.Event(n, int)"
    ),
    "a name that a partial has and the call changes": (
        "from functools import partial\nimport walnats_anyio as w\n"
        "E = partial(w.Event, name='')\nE(name='a', schema=int)"
    ),
    "a partial of something else": (
        "from functools import partial\nimport walnats_anyio as w\nE = partial(f, w.Event)\nE('')"
    ),
    "a copy of something else": (
        "import dataclasses\nimport walnats_anyio as w\nB = dataclasses.replace(x, name='')"
    ),
    "a parameter that hides it": "from walnats_anyio import Event\ndef f(Event): Event('')",
    "a loop variable": "from walnats_anyio import Event\nfor Event in x: Event('')",
    "a variable in a comprehension": "from walnats_anyio import Event\n[Event('') for Event in x]",
    "a name in an except": "import walnats_anyio as w\ntry: 1\nexcept E as w: w.Event('')",
    "a name in a match": "import walnats_anyio as w\nmatch x:\n  case [w, *_]: w.Event('')",
    "a name in a with": "import walnats_anyio as w\nwith x as w: w.Event('')",
    "a relative import": "# walnats_anyio\nfrom .walnats_anyio import Event\nEvent('')",
    "the star of the library and another one": (
        "from walnats_anyio import *\nfrom elsewhere import *\nEvent('', int)"
    ),
    "what hides the star": "from walnats_anyio import *\nEvent = f\nEvent('', int)",
    "a member of another enum": (
        "import enum\nimport walnats_anyio as w\nclass A(enum.Enum):\n  N = ''\nw.Event(A.N, int)"
    ),
    "a constant of a class with two values": (
        "import walnats_anyio as w\nclass A:\n  N = ''\n  N = 'a'\nw.Event(A.N, int)"
    ),
    "a constant of a decorated class": (
        "import walnats_anyio as w\n@d\nclass A:\n  N = ''\nw.Event(A.N, int)"
    ),
    "a constant that the class puts together": (
        "import walnats_anyio as w\nM = ''\nclass A:\n  M = 'a'\n  N = M\nw.Event(A.N, int)"
    ),
    "an f-string with a format": "import walnats_anyio as w\nw.Event(f'{1: }', int)",
    "a star import": "# walnats_anyio\nfrom elsewhere import *\nEvent('')",
    "changed by global": (
        "import walnats_anyio as w\nNAME = ''\ndef f():\n  global NAME\n  NAME = 'a'\n"
        "w.Event(NAME, int)"
    ),
    "changed by nonlocal": (
        "import walnats_anyio as w\ndef f():\n  n = ''\n  def g():\n    nonlocal n\n    n = 'a'\n"
        "  w.Event(n, int)"
    ),
    "a name with two values": "import walnats_anyio as w\nN = ''\nN = 'a'\nw.Event(N, int)",
    "a name that grows": "import walnats_anyio as w\nN = ''\nN += 'a'\nw.Event(N, int)",
    "a name that is deleted": "import walnats_anyio as w\nN = ''\ndel N\nw.Event(N, int)",
    "a name from elsewhere": "import walnats_anyio as w\nfrom x import N\nw.Event(N, int)",
    "a name of a class": (
        "import walnats_anyio as w\nclass A:\n  N = ''\n  def f(self): w.Event(N, int)"
    ),
    "a name that stands for itself": "import walnats_anyio as w\nN = N\nw.Event(N, int)",
    "a circle of names": "import walnats_anyio as w\nA = B\nB = A\nw.Event(A, int)\nA('')",
    "a module that stands for itself": "import walnats_anyio\nw = w\nw.Event('', int)",
    "after the star": "import walnats_anyio as w\nw.Event(*rest, '')",
    "an f-string": "import walnats_anyio as w\nw.Event(f'{x}', int)",
    "too much text": "import walnats_anyio as w\nw.Event('a' * 10**12, int)",
    "too high a power": "import walnats_anyio as w\nw.Limits(10 ** 10 ** 10)",
    "a division by zero": "import walnats_anyio as w\nw.Limits(1 / 0)",
    "a sum of unlike things": "import walnats_anyio as w\nw.Event('' + 1, int)",
    "a number as a name": "import walnats_anyio as w\nw.Event(0, int)",
    "the original library": "# walnats_anyio\nimport walnats\nwalnats.Event('', int)",
    "a name that begins likewise": "import walnats_anyio_x as w\nw.Event('', int)",
}


@pytest.mark.parametrize("source", FOUND.values(), ids=FOUND.keys())
def test_it_is_found(source: str) -> None:
    assert codes_in(source, prelude="") == ["WNS001"]


@pytest.mark.parametrize("source", NOT_FOUND.values(), ids=NOT_FOUND.keys())
def test_nothing_is_guessed(source: str) -> None:
    assert codes_in(source, prelude="") == []


def test_work_that_doubles_with_each_line_is_given_up() -> None:
    lines = ["import walnats_anyio as w", "A0 = ''"]
    lines += [f"A{n + 1} = A{n} + A{n}" for n in range(200)]
    assert codes_in("\n".join([*lines, "w.Event(A200, int)"]), prelude="") == []


def test_what_the_library_keeps_for_itself_is_what_it_refuses() -> None:
    assert {each.removesuffix(".") for each in OWN_SUBJECTS} == set(_names._OWN_SUBJECTS)
    assert set(_names._OWN_STREAMS) == OWN_STREAMS
    assert OWN_STREAM_PREFIX == _names._OWN_STREAM_PREFIX
    for name in ("walnats.clocks.a.b", "walnats-schedules", "walnats.limit.a"):
        assert codes_in(f"Event({name!r}, int)") == ["WNS003"]
        with pytest.raises(ValueError, match="keeps for itself"):
            walnats_anyio.Event(name, int)


def test_what_is_checked_is_public() -> None:
    assert set(walnats_anyio.__all__) >= CHECKED
