"""`module:NAME`: what is found, and what is said when nothing is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import SHOP, Shop
from walnats_anyio import Actors
from walnats_anyio.cli._endings import ExitCode
from walnats_anyio.cli._target import TargetProblem, in_words, load_actors

LINE_OF_FAIL = SHOP.splitlines().index("def fail():") + 2


@pytest.fixture(autouse=True)
def in_the_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is in a directory of its own, with a module `shop` of its own."""
    monkeypatch.chdir(shop.directory)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["ACTORS", "ACTOR", "Nested.ACTORS", "make"])
def test_actors_are_found(name: str) -> None:
    actors = load_actors(f"shop:{name}")
    assert isinstance(actors, Actors)
    assert in_words(actors) == "pack (shop.placed)"


def test_actors_in_a_package(shop: Shop) -> None:
    package = shop.directory / "company" / "mail"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from shop import ACTORS")
    assert len(load_actors("company.mail:ACTORS")) == 1


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("shop", "does not say where the actors are", "MODULE:NAME"),
        (":ACTORS", "does not say where the actors are", "MODULE:NAME"),
        ("shop.py:ACTORS", "'shop.py' is a file", "shop:ACTORS"),
        ("./shop.py:ACTORS", "is a file", "shop:ACTORS"),
        ("src/shop.py:ACTORS", "is a file", "src.shop:ACTORS"),
        ("nowhere:ACTORS", "there is no module 'nowhere'", "was looked for in"),
        ("shop.nowhere:ACTORS", "there is no module 'shop.nowhere'", "was looked for in"),
        ("shop:NONE", "there is no 'NONE' in 'shop'", "shop:ACTOR, shop:ACTORS"),
        ("shop:Nested.NONE", "there is no 'Nested.NONE' in 'shop'", "shop:ACTORS"),
        ("sh op:ACTORS", "is no MODULE:NAME", "names of Python"),
        ("shop:ACTORS.", "is no MODULE:NAME", "names of Python"),
        ("json:NONE", "there is no 'NONE' in 'json'", "has no actors"),
        ("shop:PLACED", "shop:PLACED holds no actors", "name an Actors"),
        ("shop:Nested", "shop:Nested holds no actors", "name an Actors"),
        ("os:getcwd", "os:getcwd() holds no actors", "name an Actors"),
        ("shop:make_async", "is a coroutine function", None),
        ("shop:fail", f"shop.py:{LINE_OF_FAIL}: RuntimeError: no configuration", None),
    ],
)
def test_what_is_said_when_there_are_none(target: str, message: str, hint: str | None) -> None:
    with pytest.raises(TargetProblem) as raised:
        load_actors(target)
    assert message in str(raised.value)
    assert raised.value.code is ExitCode.USAGE
    assert hint is None or hint in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_library", "wrong.py:1: ModuleNotFoundError"),
        ("x = (", "wrong.py:1: "),
        ("\n\n1 / 0", "wrong.py:3: ZeroDivisionError"),
        ("raise SystemExit(3)", "wrong.py:1: SystemExit: 3"),
        (
            "import shop, walnats_anyio\nwalnats_anyio.Actor('a b', shop.PLACED, shop.pack)",
            "wrong.py:2: ValueError",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_says_where(shop: Shop, source: str, message: str) -> None:
    (shop.directory / "wrong.py").write_text(source)
    with pytest.raises(TargetProblem, match=r"module 'wrong'") as raised:
        load_actors("wrong:ACTORS")
    assert message in str(raised.value)


def test_many_actors_are_not_all_named(tmp_path: Path) -> None:
    source = (
        "import shop, walnats_anyio as w\n"
        "ACTORS = w.Actors(*(w.Actor(f'a{n}', shop.PLACED, shop.pack) for n in range(12)))"
    )
    (tmp_path / "many.py").write_text(source)
    assert in_words(load_actors("many:ACTORS")).endswith("a9 (shop.placed), 2 more")
