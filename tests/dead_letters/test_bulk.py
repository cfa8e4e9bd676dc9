"""Many letters at once: requeued, discarded, in groups."""

from __future__ import annotations

import math
from base64 import b64decode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

import walnats_anyio as walnats
from tests.dead_letters._office import PLACED, START, Office, a_letter, office, register
from tests.support.answering import answering, refusal
from tests.support.sweep import sweep
from tests.support.waiting import until
from walnats_anyio._events._publication import publish
from walnats_anyio._letters import STREAM
from walnats_anyio._link import api
from walnats_anyio.dead_letters import (
    BulkResult,
    DeadLetter,
    LetterOutcome,
    LetterResult,
    UnreadableLetter,
)
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

PACK = walnats.Actor("pack", PLACED, print)
SEND = walnats.Actor("send", PLACED, print)


def result(done: int = 0, *, skipped: int = 0, gone: int = 0) -> BulkResult:
    return BulkResult(done=done, skipped=skipped, gone=gone, failed=0, failures=())


async def emitted(desk: Office) -> list[bytes]:
    """Payloads of what went back, in its order."""
    return [b64decode(each.get("data", "")) for each in await desk.emitted(PLACED)]


async def numbers_left(desk: Office) -> list[int]:
    return [letter.number async for letter in desk.dead.stored()]


async def rubbish(desk: Office, actor: str = "pack") -> None:
    subject = f"walnats.dead.shop-placed.{actor}.1-1"
    await publish(desk.link, STREAM, subject, b"\x1b[2J", b"NATS/1.0\r\nWalnats-Dead: {\r\n\r\n")


# requeue_all


async def test_letters_go_back_in_their_order(nats_url: str) -> None:
    await register(nats_url, PACK, SEND)
    async with office(nats_url) as desk:
        letters = [
            a_letter(payload=b"%d" % number, actor="send" if number % 3 == 0 else "pack")
            for number in range(40)
        ]
        await desk.write(*letters)
        assert await desk.dead.requeue_all() == result(40)
        assert await desk.dead.count() == 0
        back = [int(payload) for payload in await emitted(desk)]
        assert sorted(back) == list(range(40))
        packed = [number for number in back if number % 3]
        assert packed == sorted(packed)
        assert await desk.dead.requeue_all() == result()


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"actor": "send"}, [2]),
    ({"event": PLACED, "reason": "rejected"}, [3]),
    ({"error_type": "ValueError"}, [3, 4]),
    ({"fingerprint": a_letter(error="box 9 is lost").fingerprint}, [5]),
    ({"error_type": "ValueError", "reason": "exhausted"}, [4]),
    ({"since": START + timedelta(days=300), "reason": "exhausted"}, [5]),
    ({"until": START + timedelta(days=300), "numbers": [5, 2, 1, 2]}, [1, 2]),
    ({"actor": "pack", "numbers": range(1, 7)}, [1, 3, 4, 5, 6]),
    ({}, [1, 2, 3, 4, 5, 6]),
]


async def test_filters_and_a_dry_run(nats_url: str) -> None:
    await register(nats_url, PACK, SEND)
    async with office(nats_url) as desk:
        await desk.write(
            a_letter(),
            a_letter(actor="send"),
            a_letter(reason="rejected", error_type="ValueError"),
            a_letter(error_type="ValueError", error="box 1 is lost"),
            a_letter(error="box 17 is lost", died_at=START + timedelta(days=400)),
        )
        await rubbish(desk)
        for filters, meant in FILTERS:
            told: list[LetterResult] = []
            found = await desk.dead.requeue_all(**filters, dry_run=True, progress=told.append)
            assert sorted(one.number for one in told) == meant
            assert (found.done, found.failed) == (len(set(meant) - {6}), len(set(meant) & {6}))
            assert await desk.dead.discard_all(**filters, dry_run=True) == result(len(meant))
            listed = {name: value for name, value in filters.items() if name != "numbers"}
            letters = [letter.number async for letter in desk.dead.letters(**listed)]
            numbers = filters.get("numbers", letters)
            assert sorted(set(letters) & set(numbers)) == sorted(set(meant) - {6})
            assert await desk.dead.count(**listed) >= len(meant)
        assert await numbers_left(desk) == [1, 2, 3, 4, 5, 6]
        assert await desk.emitted(PLACED) == []
        assert await desk.dead.requeue_all(**FILTERS[4][0]) == result(1)
        assert await desk.dead.discard_all(**FILTERS[3][0]) == result(1)
        assert await numbers_left(desk) == [1, 2, 3, 6]


async def test_what_cannot_go_back_is_kept_and_told_and_the_others_go_on(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter(actor="nobody"))
        await rubbish(desk)
        await desk.write(a_letter(event="gone.event"), a_letter(event="shop.placed", actor="pack"))
        told: list[LetterResult] = []
        found = await desk.dead.requeue_all(progress=told.append)
        assert (found.done, found.skipped, found.gone, found.failed) == (2, 0, 0, 3)
        problems = {failure.number: failure.problem for failure in found.failures}
        assert "has no actor 'nobody'" in problems[2]
        assert "it cannot be read" in problems[3]
        assert "there is no stream 'gone-event'" in problems[4]
        assert {each.number: each.outcome for each in told} == {
            1: LetterOutcome.DONE,
            2: LetterOutcome.FAILED,
            3: LetterOutcome.FAILED,
            4: LetterOutcome.FAILED,
            5: LetterOutcome.DONE,
        }
        assert {each.number: each.problem for each in told if each.problem} == problems
        assert await numbers_left(desk) == [2, 3, 4]


async def test_what_comes_meanwhile_is_for_the_next_time(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter())

        async def edit(letter: DeadLetter) -> DeadLetter:
            # As an actor that gives it up again.
            await desk.write(replace(letter, seq_number=letter.seq_number + 10_000))
            return letter

        assert await desk.dead.requeue_all(edit=edit) == result(2)
        assert await desk.dead.count() == 2


async def test_letters_edited_on_the_way(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(*(a_letter(payload=b"%d" % number) for number in range(1, 6)))

        def edit(letter: DeadLetter) -> DeadLetter | None:
            match letter.number:
                case 1:
                    return replace(letter, payload=PLACED.encode(17), headers={"Shop": "none"})
                case 2:
                    return None
                case 3:
                    return replace(letter, payload=b"seventeen")
                case 4:
                    return replace(letter, actor="send")
            return letter

        found = await desk.dead.requeue_all(edit=edit, actor=PACK)
        assert (found.done, found.skipped, found.gone, found.failed) == (2, 1, 0, 2)
        problems = [failure.problem for failure in found.failures]
        assert "its edited payload cannot be decoded: event 'shop.placed'" in problems[0]
        assert "edit made it another letter" in problems[1]
        assert await numbers_left(desk) == [2, 3, 4]
        assert await emitted(desk) == [b"17", b"5"]
        # By its name nothing is known of an event.
        found = await desk.dead.requeue_all(edit=edit, event="shop.placed", numbers=[3, 2])
        assert (found.done, found.skipped) == (1, 1)


async def test_an_edit_that_fails_or_gives_something_else_ends_it(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter())

        def edit(letter: DeadLetter) -> DeadLetter:
            if letter.number == 1:
                return letter
            raise LookupError("not this one")

        wrong: Any = lambda letter: letter.payload  # noqa: E731 - short beside its name
        with pytest.raises(TypeError, match="edit must give a DeadLetter"):
            await desk.dead.requeue_all(edit=wrong)
        assert await numbers_left(desk) == [1, 2]
        with pytest.raises(LookupError, match="not this one"):
            await desk.dead.requeue_all(edit=edit)
        assert await numbers_left(desk) == [2]


async def test_somebody_else_is_faster(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(a_letter(), a_letter())

        async def edit(letter: DeadLetter) -> DeadLetter:
            if letter.number == 1:
                await desk.dead.discard(1)
            return letter

        assert await desk.dead.requeue_all(edit=edit) == result(1, gone=1)
        assert len(await desk.emitted(PLACED)) == 1


@pytest.mark.parametrize("verb", ["requeue_all", "discard_all"])
async def test_a_rate(nats_url: str, verb: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await desk.write(*(a_letter() for _ in range(5)))
        begun = anyio.current_time()
        assert await getattr(desk.dead, verb)(rate=50) == result(5)
        assert anyio.current_time() - begun >= 0.08
        await desk.write(*(a_letter() for _ in range(5)))
        assert await getattr(desk.dead, verb)(rate=0.01, dry_run=True) == result(5)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"rate": 0}, ValueError, "rate must be above 0 letters a second, not 0"),
    ({"rate": -1.5}, ValueError, "not -1.5"),
    ({"rate": math.nan}, ValueError, "not nan"),
    ({"rate": math.inf}, ValueError, "not inf"),
    ({"rate": True}, TypeError, "rate must be a number"),
    ({"rate": "5"}, TypeError, "rate must be a number"),
    ({"dry_run": 1}, TypeError, "dry_run must be a bool"),
    ({"edit": 1}, TypeError, "edit must be callable"),
    ({"progress": 1}, TypeError, "progress must be callable"),
    ({"numbers": [1, 0]}, ValueError, "at least 1, not 0"),
    ({"numbers": [True]}, TypeError, "must be an int, not True"),
    ({"error_type": 1}, TypeError, "error_type must be a str"),
    ({"error_type": ""}, ValueError, "error_type is empty"),
    ({"fingerprint": "XYZ"}, ValueError, "12 hexadecimal digits in lower case"),
    ({"fingerprint": b"0" * 12}, TypeError, "fingerprint must be a str"),
]


async def test_what_is_of_no_use(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk:
        for wrong, kind, told in WRONG:
            with pytest.raises(kind, match=told):
                await desk.dead.requeue_all(**wrong)
            if "edit" not in wrong:
                with pytest.raises(kind, match=told):
                    await desk.dead.discard_all(**wrong)


async def test_cancelled_anywhere_no_event_is_lost_or_put_back_twice(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        letters: list[DeadLetter] = []

        async def more() -> None:
            fresh = [a_letter(), a_letter()]
            letters.extend(fresh)
            await desk.write(*fresh)

        await more()

        async def scenario() -> None:
            await desk.dead.requeue_all()

        async def check() -> None:
            # What has gone back has no letter, and what has a letter has not gone back.
            assert len(await desk.emitted(PLACED)) + await desk.dead.count() == len(letters)
            assert (await desk.dead.requeue_all()).failed == 0
            assert len(await desk.emitted(PLACED)) == len(letters)
            assert await desk.dead.count() == 0
            assert desk.dead._link._pending._open == {}
            await more()

        assert await sweep(scenario, check, bounded_by=12.0, most=12) >= 6


ACKNOWLEDGED = b'{"stream":"shop-placed","seq":1}'


async def answer_by_hand(desk: Office) -> None:
    """Have the stream store events and say nothing: the test answers in its place."""
    config = PLACED.stream_config() | {"no_ack": True}
    await api(desk.link, "STREAM.UPDATE.shop-placed", config)


async def test_what_is_being_sent_when_it_is_cancelled_is_finished(nats_url: str) -> None:
    await register(nats_url, PACK)
    async with office(nats_url) as desk:
        await answer_by_hand(desk)
        await desk.write(a_letter(), a_letter())
        scope = anyio.CancelScope()

        def answer(_count: int) -> bytes:
            scope.cancel()
            return ACKNOWLEDGED

        async with answering(nats_url, "shop.placed", answer) as came:
            with scope:
                await desk.dead.requeue_all()
        assert scope.cancelled_caught
        assert len(came) == 1
        assert await numbers_left(desk) == [2]


async def test_a_letter_that_is_refused_for_now_is_not_overtaken(nats_url: str) -> None:
    await register(nats_url, PACK, SEND)
    async with office(nats_url) as desk:
        await answer_by_hand(desk)
        await desk.write(*(a_letter(payload=b"%d" % number) for number in range(4)))
        answer = lambda count: refusal(10008) if count == 2 else ACKNOWLEDGED  # noqa: E731 - short beside its name
        async with answering(nats_url, "shop.placed", answer) as came:
            assert await desk.dead.requeue_all() == result(4)
        assert [message.data for message in came] == [b"0", b"1", b"1", b"2", b"3"]


async def test_the_server_dies_in_the_middle(nats_server: NatsServer) -> None:
    await register(nats_server.url, PACK)
    async with office(nats_server.url) as desk:
        await desk.write(*(a_letter(payload=b"%d" % number) for number in range(40)))
        told: list[LetterResult] = []

        def progress(one: LetterResult) -> None:
            told.append(one)
            if len(told) == 20:
                nats_server.kill()

        async def revive() -> None:
            await until(lambda: len(told) >= 20)
            await nats_server.restart()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(revive)
            assert await desk.dead.requeue_all(progress=progress) == result(40)
        assert await desk.dead.count() == 0
        assert sorted(map(int, await emitted(desk))) == list(range(40))


async def test_without_the_right_to_delete_one_goes_back_and_it_ends() -> None:
    rights = ["walnats.dead.>", "shop.placed", "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>"]
    rights += [f"$JS.API.STREAM.{verb}.walnats-dead-letters" for verb in ("INFO", "MSG.GET")]
    permissions = {"publish": {"allow": rights}, "subscribe": {"allow": ["_INBOX.>"]}}
    users = [
        {"user": "boss", "password": "p"},
        {"user": "kim", "password": "p", "permissions": permissions},
    ]
    with NatsServer(config={"authorization": {"users": users}}) as server:
        boss, kim = (server.url.replace("//", f"//{name}:p@") for name in ("boss", "kim"))
        await register(boss, PACK)
        async with office(boss) as desk, office(kim, stream=False) as limited:
            await desk.write(*(a_letter() for _ in range(10)))
            with pytest.raises(walnats.ServerError, match=r"STREAM\.PURGE"):
                await limited.dead.requeue_all()
            assert len(await desk.emitted(PLACED)) == 1
            assert await desk.dead.count() == 10
            assert await desk.dead.requeue_all() == result(10)
            assert len(await desk.emitted(PLACED)) == 10


# discard_all


async def test_all_are_discarded_also_what_cannot_be_read(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.write(*(a_letter() for _ in range(50)), a_letter(actor="send"))
        await rubbish(desk)
        told: list[LetterResult] = []
        assert await desk.dead.discard_all(actor="pack", progress=told.append) == result(51)
        assert await numbers_left(desk) == [51]
        assert any(isinstance(each.letter, UnreadableLetter) for each in told)
        assert await desk.dead.discard_all(error_type="none.Such") == result()
        assert await desk.dead.discard_all(numbers=[51, 7, 51, 99]) == result(1, gone=2)
        assert await desk.dead.discard_all() == result()


# groups


async def test_groups(nats_url: str) -> None:
    async with office(nats_url) as desk:
        await desk.write(
            *(a_letter(error=f"box {number} is lost") for number in range(20)),
            *(a_letter(actor="send", error=f"box {number} is lost") for number in range(3)),
            a_letter(reason="died", error_type=None, error="", traceback=""),
        )
        await rubbish(desk)
        most, some, one = await desk.dead.groups()
        assert [(each.count, each.actor) for each in (most, some, one)] == [
            (20, "pack"), (3, "send"), (1, "pack"),
        ]  # fmt: skip
        assert most.fingerprint == some.fingerprint
        assert (one.reason, one.error_type, one.error) == ("died", None, "")
        letters = [letter async for letter in desk.dead.letters(fingerprint=most.fingerprint)]
        assert len(letters) == 23
        assert (most.first_at, most.last_at) == (letters[0].died_at, letters[19].died_at)
        sample = await desk.dead.get(most.sample)
        assert (sample.error, sample.died_at) == ("box 19 is lost", most.last_at)
        assert most.error == sample.error
        assert await desk.dead.groups(actor="send", error_type="shop.SoldOutError") == [some]
        assert await desk.dead.groups(event="none") == []


async def test_groups_without_a_stream(nats_url: str) -> None:
    async with office(nats_url, stream=False) as desk:
        assert await desk.dead.groups() == []
        assert await desk.dead.requeue_all() == result()
        assert await desk.dead.discard_all() == result()
