"""What a letter says about an exception, whatever the exception does when it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import walnats_anyio as walnats
from walnats_anyio._letters import describe


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback of its own."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - that is what it is for
        return caught


def deeper(depth: int) -> None:
    if depth == 0:
        raise LookupError("at the bottom")
    deeper(depth - 1)


def test_nothing() -> None:
    assert describe(None) == (None, "", "")


def test_an_ordinary_one() -> None:
    name, message, traceback = describe(raised(LookupError("no box")))
    assert (name, message) == ("LookupError", "no box")
    assert "in raised" in traceback
    assert traceback.endswith("LookupError: no box\n")


class Own(Exception):
    """One of a user's."""


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Own(), f"{__name__}.Own"),
        (walnats.Retry(delay=1), "walnats_anyio.Retry"),
        (walnats.Reject("no"), "walnats_anyio.Reject"),
        (walnats.ServerError("no"), "walnats_anyio.ServerError"),
        (walnats.serializers.DecodeError("no"), "walnats_anyio.serializers.DecodeError"),
        (KeyError("no"), "KeyError"),
        (type("Tooth", (Own,), {"__module__": "mouth._inner"})(), "mouth._inner.Tooth"),
    ],
)
def test_the_class_has_the_name_that_users_import(error: BaseException, name: str) -> None:
    assert describe(error)[0] == name


def test_a_long_message_keeps_its_start() -> None:
    _, message, traceback = describe(raised(LookupError("start" + "x" * 100_000)))
    assert message.startswith("startxxx")
    assert message.endswith("x[...]")
    assert len(message) == 2_000
    # And does not push the lines of code out of the traceback.
    assert "in raised" in traceback
    assert len(traceback) < 8_000


def test_a_message_that_just_fits_is_whole() -> None:
    assert describe(LookupError("x" * 2_000))[1] == "x" * 2_000


def test_a_long_traceback_keeps_its_end() -> None:
    error = LookupError("y" * 900 + "\n" + "z" * 900)
    error.__cause__ = LookupError("\n".join(["x"] * 9_000))
    _, _, traceback = describe(raised(error))
    assert traceback.startswith("[...]\n")
    assert traceback.endswith("z" * 900 + "\n")
    assert "in raised" in traceback
    assert len(traceback) == 8_000


def test_deep_recursion() -> None:
    with pytest.raises(LookupError) as caught:
        deeper(500)
    _, message, traceback = describe(caught.value)
    assert message == "at the bottom"
    assert "more times" in traceback


# What raises when it is asked


def fail(*_: object, **__: object) -> Any:
    raise SystemExit("asked")


class Evil(type):
    """A class that does not tell its name."""

    __getattribute__ = fail
    __repr__ = fail


class EvilText(str):
    """A text that does not let itself be read."""

    __slots__ = ()
    __len__ = __getitem__ = __str__ = __repr__ = __format__ = fail
    encode = replace = split = fail


def evil(**members: Any) -> Callable[[], BaseException]:
    def make() -> BaseException:
        error: BaseException = type("EvilError", (Exception,), members)("hello")
        return error

    return make


def nameless() -> BaseException:
    # Made here, as pytest looks at all classes of a module.
    error: Any = Evil("NamelessError", (Exception,), {})
    return cast("BaseException", error("hello"))


EVIL: dict[str, Callable[[], BaseException]] = {
    "str": evil(__str__=fail),
    "str gives no text": evil(__str__=lambda _: 3),
    "str gives a text that raises": evil(__str__=lambda _: EvilText("hello")),
    "str never ends": evil(__str__=lambda self: f"{self}"),
    "repr": evil(__repr__=fail),
    "both": evil(__str__=fail, __repr__=fail),
    "notes": evil(__notes__=property(fail)),
    "notes of a strange type": evil(__notes__=3),
    "notes that raise": evil(__notes__=[EvilText("hello")]),
    "traceback": evil(__traceback__=property(fail)),
    "traceback of a strange type": evil(__traceback__="above"),
    "cause": evil(__cause__=property(fail)),
    "context": evil(__context__="the war"),
    "getattribute": evil(__getattribute__=fail),
    "module": evil(__module__=3),
    "module that raises": evil(__module__=EvilText("hello")),
    "hash": evil(__hash__=None, __eq__=fail),
    "metaclass": nameless,
    "syntax error": lambda: SyntaxError("hello", (3, "x", {}, b"")),  # type: ignore[arg-type]  # any may come
    "surrogates": lambda: Exception("\ud800 hello"),
    "unicode error": lambda: UnicodeDecodeError("utf8", b"\xff", 10, 20, "hello"),
}


def group(make: Callable[[], BaseException]) -> Callable[[], BaseException]:
    return lambda: BaseExceptionGroup("some", [raised(make()), ValueError("beside")])


def cause(make: Callable[[], BaseException]) -> Callable[[], BaseException]:
    def caused() -> BaseException:
        error = ValueError("beside")
        error.__cause__ = raised(make())
        return error

    return caused


@pytest.mark.parametrize(
    "wrap", [lambda make: make, group, cause], ids=["itself", "group", "cause"]
)
@pytest.mark.parametrize("make", EVIL.values(), ids=EVIL)
def test_an_exception_that_does_not_want_to_be_described(
    make: Callable[[], BaseException],
    wrap: Callable[[Callable[[], BaseException]], Callable[[], BaseException]],
) -> None:
    texts = describe(raised(wrap(make)()))
    assert all(type(text) is str for text in texts)
    assert len(texts[0] or "") <= 200
    for text in texts:
        assert text
        text.encode()
    # What can be known is known.
    assert "in raised" in texts[2]


def test_a_class_with_a_long_name() -> None:
    name, message, traceback = describe(raised(type("E" * 100_000, (Exception,), {})("hello")))
    assert name is not None
    assert (len(name), message, len(traceback)) == (200, "hello", 8_000)


def test_what_cannot_be_made_says_so() -> None:
    name, message, traceback = describe(raised(evil(__str__=fail)()))
    assert name == f"{__name__}.EvilError"
    assert message == "(its message could not be made)"
    assert "in raised" in traceback


def test_ctrl_c_meanwhile_is_not_swallowed() -> None:
    def interrupted(_: object) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe(evil(__str__=interrupted)())


@given(st.lists(st.text(st.characters(codec=None)), max_size=5))
def test_any_text(texts: list[str]) -> None:
    error = Exception(*texts)
    for text in texts:
        error.add_note(text)
    for described in describe(error):
        assert described is not None
        described.encode()
