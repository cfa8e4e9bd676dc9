"""What letters of the same error have in common, and what sets others apart."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dead_letters._office import a_letter
from walnats_anyio._letters import describe, fingerprint
from walnats_anyio._letters._fingerprint import innermost, normalised


def of(error: BaseException) -> str:
    return fingerprint(*describe(error))


def caught(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - that is what it is for
        return error
    raise AssertionError("nothing was raised")


# The message

values = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.integers(0, 10**12).map(lambda number: f"{number:,}"),
    st.uuids().map(str),
    st.uuids(version=4).map(lambda one: f"ord_{one.hex}"),
    st.integers(2**20, 2**64).map(hex),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.ip_addresses(v=4).map(str),
    st.lists(st.integers(), min_size=1, max_size=5).map(lambda many: ", ".join(map(str, many))),
)
quoted = st.text(max_size=30).map(repr)
paths = st.lists(st.from_regex(r"[\w.-]{1,8}", fullmatch=True), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@pytest.mark.parametrize("kind", [values, quoted, paths], ids=["values", "quoted", "paths"])
def test_what_changes_does_not_count(kind: st.SearchStrategy[str]) -> None:
    @settings(max_examples=30, deadline=None)
    @given(kind, kind, kind, kind)
    def check(one: str, two: str, other: str, another: str) -> None:
        first = f"order {one} was refused (box={two}): try later"
        assert normalised(first) == normalised(
            f"order {other} was refused (box={another}): try later"
        )

    check()


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_any_text_has_a_fingerprint_which_is_short_hex(kind: str, error: str, trace: str) -> None:
    found = fingerprint(kind, error, trace)
    assert len(found) == 12
    assert set(found) <= set("0123456789abcdef")
    assert found == fingerprint(kind, error, trace)


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("no box for order 17", "no box for order <n>"),
        ("took 1.5 s of 1e-05", "took <n> s of <n>"),
        ("balance -3, limit +4", "balance <n>, limit <n>"),
        ("<Box object at 0x7f3a5c0d2e10>", "<Box object at <n>>"),
        ("user u-17 is not ord_8Gh2k", "user u-<n> is not <n>"),
        ("it's not the customer's", "it's not the customer's"),
        ("cannot read 'a \\' b' or \"c\"", "cannot read <text> or <text>"),
        ("payload b'\\x00'", "payload <text>"),
        ("value 'abcdef[...]", "value <text>"),
        ("one of ['a', 'b', 'c'] or [1, 2]", "one of [<text>] or [<n>]"),
        ("Expected `int`, got `str` - at `$.id`", "Expected `int`, got `str` - at `$.id`"),
        ("GET https://shop.example/orders/17?x=y failed", "GET <url> failed"),
        ("no mail to kim.b+x@shop.example", "no mail to <email>"),
        ("[Errno 2] No such file: /srv/app/box.txt", "[Errno <n>] No such file: <path>"),
        (r"no C:\Users\kim\box.txt", "no <path>"),
        ("src/app/box failed, read/write", "<path> failed, read/write"),
        ("N/A, I/O error, and/or", "N/A, I/O error, and/or"),
        ("commit deadbeefcafe", "commit <n>"),
        ("two\n\n  lines\t", "two lines"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_left_of_a_message(message: str, left: str) -> None:
    assert normalised(message) == left


def test_the_end_of_a_long_message_does_not_count() -> None:
    words = "no box left " * 30
    assert normalised(f"{words}end") == normalised(f"{words}other")


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(
        ["'", '"', "'\"", "'a", "a", "1", "a1", "1.", "a.", "/", "/a", "a/", "a@", "@", "-", "+1",
         "a-", "\\", "\\'", "<n>", "<n> ", "f", "://", "a://", "0x", "_", ",1", "::", "é1"]
    ),
    st.sampled_from(["", "'", "[...]", "!", "\n", "@"]),
)  # fmt: skip
def test_nobody_can_make_it_slow(piece: str, end: str) -> None:
    begun = time.thread_time()
    normalised(piece * 100_000 + end)
    fingerprint("X", end, f'  File "{piece * 50_000}')
    fingerprint("ExceptionGroup", end, "  | " * 20_000 + piece * 50_000)
    assert time.thread_time() - begun < 0.5


# The traceback


def fail(depth: int = 0) -> None:
    if depth:
        fail(depth - 1)
    raise LookupError(f"no box at {depth}")


def fail_elsewhere() -> None:
    raise LookupError("no box at 0")


def fail_because() -> None:
    try:
        fail_elsewhere()
    except LookupError as error:
        raise RuntimeError("no order") from error


def test_where_it_was_raised_counts() -> None:
    def fail() -> None:
        raise LookupError("no box at 1")  # another line

    from_here, from_there = of(caught(fail)), of(caught(globals()["fail"]))
    assert from_here == from_there, "lines do not count"
    assert of(caught(fail_elsewhere)) != from_here
    assert of(LookupError("no box at 0")) != from_here, "never raised"


def test_the_depth_of_a_recursion_does_not_count() -> None:
    assert of(caught(lambda: fail(1))) == of(caught(lambda: fail(30)))


def test_the_frames_are_those_of_the_error_and_not_of_its_cause() -> None:
    *_, traceback = describe(caught(fail_because))
    assert innermost(traceback) == [
        "test_fingerprint.py fail_because",
        "test_fingerprint.py caught",
    ]


def test_folders_and_source_lines_do_not_count() -> None:
    here = 'Traceback (most recent call last):\n  File "/srv/a/shop.py", line 3, in pack\n    x()\n'
    there = (
        'Traceback (most recent call last):\n  File "C:\\b\\shop.py", line 90, in pack\n    y()\n'
    )
    assert innermost(here) == innermost(there) == ["shop.py pack"]
    cut = f"[...]\n{here.partition(':')[2]}"
    assert innermost(cut) == ["shop.py pack"]


def test_type_and_message_count() -> None:
    prints = {
        fingerprint("ValueError", "no box", ""),
        fingerprint("LookupError", "no box", ""),
        fingerprint("ValueError", "no order", ""),
        fingerprint(None, "", ""),
    }
    assert len(prints) == 4


@pytest.mark.anyio
async def test_what_is_in_a_group_counts() -> None:
    async def in_a_group(*errors: Exception) -> str:
        async def fail(error: Exception) -> None:
            raise error

        try:
            async with anyio.create_task_group() as tasks:
                for error in errors:
                    tasks.start_soon(fail, error)
        except ExceptionGroup as group:
            return of(group)
        raise AssertionError("nothing was raised")

    one = await in_a_group(ValueError("no box"))
    assert one == await in_a_group(ValueError("no box"))
    assert one != await in_a_group(LookupError("no box"))
    twice = await in_a_group(ValueError("no box"), ValueError("no box"))
    assert one == twice, "how many there are does not count"


# Stable


def test_it_stays_as_it_is() -> None:
    """People filter by it: one that changes is a change to tell of."""
    trace = 'Traceback (most recent call last):\n  File "/srv/shop.py", line 3, in pack\n    x()\n'
    assert (
        fingerprint("shop.SoldOutError", "order 17: nothing left of 'box'", trace) == "0130fd70ff02"
    )
    letter = a_letter(error_type="shop.SoldOutError", error="order 3: nothing left of 'bag'")
    assert letter.fingerprint == fingerprint(letter.error_type, letter.error, letter.traceback)
