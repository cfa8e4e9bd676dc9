"""Compressed, encrypted and signed messages arrive as they are; all else is refused."""

from __future__ import annotations

import copy
import gzip
import hashlib
import hmac
import pickle
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio import Event
from walnats_anyio.serializers import (
    BytesSerializer,
    Codec,
    DecodeError,
    EncodeError,
    FernetSerializer,
    GZipSerializer,
    HMACSerializer,
    MsgspecSerializer,
    Serializer,
    json_schema,
)


class Order(msgspec.Struct):
    number: int
    customer: str


KEY = b"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
OLD_KEY = Fernet.generate_key()
SECRET = b"a secret that nobody may see"
OLD_SECRET = b"one that was used before"

Wrap = Callable[[Any, "Codec[Any] | None"], Serializer[Any]]


def gzipped(schema: Any, inner: Codec[Any] | None = None) -> Serializer[Any]:
    return GZipSerializer(schema, inner)


def encrypted(schema: Any, inner: Codec[Any] | None = None) -> Serializer[Any]:
    return FernetSerializer(schema, inner, key=KEY)


def signed(schema: Any, inner: Codec[Any] | None = None) -> Serializer[Any]:
    return HMACSerializer(schema, inner, key=SECRET)


WRAPPERS: list[Wrap] = [gzipped, encrypted, signed]


def stacked(schema: Any, wraps: tuple[Wrap, ...]) -> Serializer[Any]:
    inner: Any = None
    for wrap in wraps:
        inner = wrap(schema, inner)
    return inner  # type: ignore[no-any-return]  # there is at least one


def orders() -> Iterator[tuple[Wrap, ...]]:
    for count in (1, 2, 3):
        yield from permutations(WRAPPERS, count)
    yield (gzipped, gzipped)
    yield (signed, signed, encrypted, encrypted)


ORDERS = list(orders())
MESSAGES = st.builds(Order, number=st.integers(), customer=st.text())


def named(wraps: object) -> str:
    if isinstance(wraps, tuple):
        return "-".join(wrap.__name__ for wrap in wraps)
    return getattr(wraps, "__name__", repr(wraps))


def events(*wraps: Wrap, schema: Any = Order) -> Event[Any]:
    return Event("order-placed", schema, stacked(schema, wraps))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ORDERS), MESSAGES, st.binary(max_size=300))
def test_what_goes_out_comes_back_in_any_order(
    wraps: tuple[Wrap, ...], order: Order, data: bytes
) -> None:
    serializer = stacked(Order, wraps)
    back = serializer.decode(serializer.encode(order))
    assert (type(back), back) == (Order, order)
    raw = stacked(bytes, wraps)
    assert raw.decode(raw.encode(data)) == data


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ORDERS), st.binary(max_size=300))
def test_rubbish_is_a_value_error(wraps: tuple[Wrap, ...], data: bytes) -> None:
    with pytest.raises(ValueError, match=r"it (is not gzip|is gzip of|was not|has more)"):
        stacked(bytes, wraps).decode(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WRAPPERS), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(wrap: Wrap, place: int, change: int) -> None:
    """Gzip has a checksum, but not over its header: there the bytes that matter are few."""
    serializer = wrap(bytes, None)
    data = bytearray(serializer.encode(b"what was emitted, what was emitted"))
    place %= len(data)
    if wrap is gzipped and place < 10:
        return
    data[place] ^= change
    try:
        back = serializer.decode(bytes(data))
    except ValueError:
        return
    # The last byte that is compressed has bits to spare.
    assert wrap is gzipped
    assert back == b"what was emitted, what was emitted"


@pytest.mark.parametrize("wraps", ORDERS, ids=named)
def test_bad_data_names_the_event_and_the_cause(wraps: tuple[Wrap, ...]) -> None:
    cause = "is not gzip" if wraps[-1] is gzipped else "any of the keys, or was changed afterwards"
    with pytest.raises(DecodeError, match=f"event 'order-placed' takes Order.*3 bytes.*{cause}"):
        events(*wraps).decode(b"abc")


@pytest.mark.parametrize("wrap", WRAPPERS, ids=named)
def test_what_is_inside_is_checked_as_ever(wrap: Wrap) -> None:
    event = events(wrap)
    with pytest.raises(EncodeError, match=r"'order-placed'.*Expected `int`, got `str` - at"):
        event.encode(Order("5", "Kim"))  # type: ignore[arg-type]  # a wrong field is tested
    inner = wrap(bytes, None).encode(b'{"number": "5", "customer": "Kim"}')
    with pytest.raises(DecodeError, match=r"'order-placed'.*Expected `int`, got `str` - at"):
        event.decode(inner)


# They are values


@pytest.mark.parametrize("wraps", ORDERS, ids=named)
def test_they_are_values(wraps: tuple[Wrap, ...]) -> None:
    serializer = stacked(Order, wraps)
    assert serializer == stacked(Order, wraps)
    assert hash(serializer) == hash(stacked(Order, wraps))
    assert serializer != stacked(int, wraps)
    again = pickle.loads(pickle.dumps(serializer))
    assert again == serializer == copy.deepcopy(serializer)
    assert again.decode(serializer.encode(Order(1, "Kim"))) == Order(1, "Kim")
    event = Event("x", Order, serializer)
    assert pickle.loads(pickle.dumps(event)) == event
    assert json_schema(serializer) == json_schema(MsgspecSerializer(Order))


def test_equality_looks_at_every_field() -> None:
    assert GZipSerializer(Order) == GZipSerializer(Order, MsgspecSerializer(Order))
    assert GZipSerializer(Order) != GZipSerializer(Order, MsgspecSerializer(Order, check=False))
    assert GZipSerializer(Order) != GZipSerializer(Order, level=1)
    assert GZipSerializer(Order) != GZipSerializer(Order, max_size=1)
    assert FernetSerializer(Order, key=KEY) == FernetSerializer(Order, key=[KEY.decode()])
    assert FernetSerializer(Order, key=KEY) != FernetSerializer(Order, key=OLD_KEY)
    assert HMACSerializer(Order, key=SECRET) == HMACSerializer(Order, key=(SECRET,))
    assert HMACSerializer(Order, key=SECRET) != HMACSerializer(Order, key=OLD_SECRET)
    assert HMACSerializer(Order, key=SECRET) != HMACSerializer(
        Order, key=SECRET, hash_algorithm="sha256"
    )


def test_no_schema_asks_for_a_wrapper() -> None:
    for kind in (GZipSerializer, FernetSerializer, HMACSerializer):
        assert kind.new(Order) is None


class Reversed:
    """Anything with encode and decode can be wrapped."""

    def encode(self, message: bytes) -> bytes:
        return message[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


def test_any_codec_can_be_wrapped() -> None:
    serializer = HMACSerializer(bytes, Reversed(), key=SECRET)
    assert serializer.encode(b"abc").endswith(b"cba")
    assert serializer.decode(serializer.encode(b"abc")) == b"abc"
    assert json_schema(serializer) is None


@pytest.mark.parametrize("wrong", [5, MsgspecSerializer, object(), "json"])
def test_what_cannot_be_wrapped(wrong: Any) -> None:
    with pytest.raises(TypeError, match="GZipSerializer: serializer must be an object with"):
        GZipSerializer(Order, wrong)


def test_a_schema_without_a_serializer() -> None:
    with pytest.raises(LookupError, match="complex"):
        GZipSerializer(complex)


# Secrets


def every_text_of(thing: Any) -> Iterator[str]:
    yield from (repr(thing), str(thing), f"{thing}")


@pytest.mark.parametrize("wraps", [wraps for wraps in ORDERS if wraps != (gzipped,)], ids=named)
def test_no_secret_is_shown(wraps: tuple[Wrap, ...]) -> None:
    event = events(*wraps)
    shown = [*every_text_of(event), *every_text_of(event.serializer)]
    for call in (lambda: event.encode(5), lambda: event.decode(b"abc")):
        with pytest.raises(ValueError, match="order-placed") as caught:
            call()
        error: BaseException | None = caught.value
        while error is not None:
            shown += [str(error), repr(error.args)]
            error = error.__cause__ or error.__context__
    everything = "\n".join(shown)
    assert KEY.decode() not in everything
    assert SECRET.decode() not in everything
    assert "Serializer" in everything


WRONG_KEYS: list[tuple[Any, Any, type[Exception], str]] = [
    (FernetSerializer, (), ValueError, "key must not be empty"),
    (FernetSerializer, "", ValueError, "key must not be empty"),
    (FernetSerializer, [KEY, ""], ValueError, "key must not be empty"),
    (FernetSerializer, None, TypeError, "must be str or bytes, or a list of them, not NoneType"),
    (FernetSerializer, bytearray(KEY), TypeError, "or a list of them, not bytearray"),
    (FernetSerializer, [KEY, 5], TypeError, "or a list of them, not int"),
    (FernetSerializer, SECRET, ValueError, "32 bytes as url-safe base64"),
    (FernetSerializer, [KEY, KEY[:-2]], ValueError, "32 bytes as url-safe base64"),
    (FernetSerializer, "ä" * 44, ValueError, "32 bytes as url-safe base64"),
    (FernetSerializer, "\ud800" * 44, ValueError, "32 bytes as url-safe base64"),
    (HMACSerializer, (), ValueError, "key must not be empty"),
    (HMACSerializer, b"", ValueError, "key must not be empty"),
    (HMACSerializer, [SECRET, b""], ValueError, "key must not be empty"),
    (HMACSerializer, SECRET.decode(), TypeError, "must be bytes, or a list of them, not str"),
    (HMACSerializer, None, TypeError, "must be bytes, or a list of them, not NoneType"),
    (HMACSerializer, [SECRET, bytearray(SECRET)], TypeError, "not bytearray"),
]


@pytest.mark.parametrize(("kind", "key", "error", "told"), WRONG_KEYS)
def test_wrong_keys_are_refused_and_not_shown(
    kind: Any, key: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=f"^{kind.__name__}: .*{told}.*: make one with ") as caught:
        kind(Order, key=key)
    assert KEY.decode()[:-2] not in str(caught.value)
    assert SECRET.decode() not in str(caught.value)


def test_a_key_is_required() -> None:
    for kind in (FernetSerializer, HMACSerializer):
        with pytest.raises(ValueError, match="key must not be empty"):
            kind(Order)


# Keys change over time


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [(FernetSerializer, OLD_KEY, KEY), (HMACSerializer, OLD_SECRET, SECRET)],
    ids=["Fernet", "HMAC"],
)
def test_a_key_is_changed_without_losing_an_event(kind: Any, old: bytes, new: bytes) -> None:
    """First everybody learns to read the new key, then it is used, then the old one goes."""
    before, learns, uses, after = (
        kind(Order, key=key) for key in (old, [old, new], [new, old], new)
    )
    order = Order(1, "Kim")
    for writer, readers in [
        (before, [before, learns, uses]),
        (learns, [before, learns, uses]),
        (uses, [learns, uses, after]),
        (after, [learns, uses, after]),
    ]:
        data = writer.encode(order)
        assert [reader.decode(data) for reader in readers] == [order] * 3
    with pytest.raises(ValueError, match="with any of the keys"):
        before.decode(after.encode(order))
    with pytest.raises(ValueError, match="with any of the keys"):
        after.decode(before.encode(order))


# Encrypting


def test_what_is_encrypted_is_hidden_and_new_each_time() -> None:
    serializer = FernetSerializer(Order, key=KEY)
    one, other = serializer.encode(Order(1, "Kim")), serializer.encode(Order(1, "Kim"))
    assert one != other
    assert b"Kim" not in one
    assert Fernet(KEY).decrypt(one) == b'{"number":1,"customer":"Kim"}'


# Signing


def test_what_is_added_to_what_is_encrypted_is_noticed() -> None:
    """base64 ends at its padding, and passes over what is none of its characters."""
    serializer = FernetSerializer(str, key=KEY)
    token = next(t for n in range(48) if (t := serializer.encode("x" * n)).endswith(b"="))
    for changed in (token + token, token + b"!", token + b"=", token[:9] + b"\n" + token[9:]):
        with pytest.raises(ValueError, match="or was changed afterwards"):
            serializer.decode(changed)


def test_the_signature_stands_before_the_bytes() -> None:
    data = HMACSerializer(bytes, key=SECRET, hash_algorithm="sha256").encode(b"abc")
    assert data == hmac.digest(SECRET, b"abc", hashlib.sha256) + b"abc"


@pytest.mark.parametrize("algorithm", ["sha256", "SHA512", "sha3_256", "blake2b", "md5"])
def test_hashes(algorithm: str) -> None:
    serializer = HMACSerializer(bytes, key=SECRET, hash_algorithm=algorithm)
    assert serializer.decode(serializer.encode(b"abc")) == b"abc"


@pytest.mark.parametrize("algorithm", ["", "sha7", "shake_128"])
def test_what_is_no_hash(algorithm: str) -> None:
    with pytest.raises(ValueError, match=f"hash_algorithm cannot be '{algorithm}'.*'sha512'"):
        HMACSerializer(bytes, key=SECRET, hash_algorithm=algorithm)
    with pytest.raises(TypeError, match="hash_algorithm must be a str, not 5"):
        HMACSerializer(bytes, key=SECRET, hash_algorithm=5)  # type: ignore[arg-type]  # tested


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time cannot be measured well enough in a test: whoever compares is looked at instead."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    serializer = HMACSerializer(bytes, key=[SECRET, OLD_SECRET])
    data = serializer.encode(b"abc")
    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(ValueError, match="with any of the keys"):
        serializer.decode(data)
    assert [one for one, _ in compared] == [data[:64]] * 2


def test_a_signature_of_another_length_is_none() -> None:
    serializer = HMACSerializer(bytes, key=SECRET)
    data = serializer.encode(b"")
    assert len(data) == 64
    assert serializer.decode(data) == b""
    with pytest.raises(ValueError, match="with any of the keys"):
        serializer.decode(data[:-1])


# Compressing


def test_it_is_gzip_and_equal_messages_give_equal_bytes() -> None:
    serializer = GZipSerializer(Order)
    data = serializer.encode(Order(1, "Kim"))
    assert gzip.decompress(data) == b'{"number":1,"customer":"Kim"}'
    assert data[4:8] == bytes(4)  # the time at which it was made would differ
    assert GZipSerializer.content_type == "application/gzip"


def test_the_level() -> None:
    text = b"".join(b"%d" % number**3 for number in range(2000))
    written = {level: GZipSerializer(bytes, level=level).encode(text) for level in (0, 1, 6, 9)}
    for level, data in written.items():
        assert data == zlib.compress(text, level, 16 + zlib.MAX_WBITS)
    assert len(set(written.values())) == 4
    assert GZipSerializer(bytes).level == 6


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"level": 10}, ValueError, "level must be 0 to 9, not 10"),
        ({"level": -1}, ValueError, "level must be 0 to 9, not -1"),
        ({"level": True}, TypeError, "level must be an int, not bool"),
        ({"level": "9"}, TypeError, "level must be an int, not str"),
        ({"max_size": 0}, ValueError, "max_size must be 1 to 9223372036854775806, not 0"),
        ({"max_size": 2**63}, ValueError, "max_size must be 1 to "),
        ({"max_size": 1.5}, TypeError, "max_size must be an int, not float"),
    ],
)
def test_wrong_arguments(arguments: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=f"^GZipSerializer: {told}"):
        GZipSerializer(Order, **arguments)


def gzip_of(data: bytes) -> bytes:
    return zlib.compress(data, 9, 16 + zlib.MAX_WBITS)


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_the_largest_message_and_one_byte_more(size: int) -> None:
    event: Event[bytes] = Event("pictures", bytes, GZipSerializer(bytes, max_size=size))
    largest = bytes(size)
    assert event.decode(event.encode(largest)) == largest
    assert event.decode(gzip_of(largest)) == largest
    with pytest.raises(EncodeError, match=f"'pictures'.*{size + 1} bytes.*max_size is {size}:"):
        event.encode(largest + b"x")
    for pieces in ([largest + b"x"], [largest, b"x"], [bytes(size // 2)] * 3 + [b"xx"]):
        with pytest.raises(DecodeError, match=f"'pictures'.*more than {size} bytes"):
            event.decode(b"".join(map(gzip_of, pieces)))


def test_64_mib_are_taken_by_default() -> None:
    assert GZipSerializer(bytes).max_size == 64 * 1024 * 1024


def test_a_bomb_takes_no_more_memory_than_the_largest_message() -> None:
    size = 1024 * 1024
    bomb = gzip_of(bytes(32 * size))
    serializer = GZipSerializer(bytes, max_size=size)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"more than {size} bytes"):
            serializer.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * size


def test_a_bomb_inside_a_bomb() -> None:
    inner = GZipSerializer(bytes, max_size=1000)
    serializer = GZipSerializer(bytes, inner, max_size=100_000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        serializer.decode(gzip_of(gzip_of(bytes(90_000))))


def test_gzip_of_several_members() -> None:
    """As some tools write it, and others read it."""
    serializer = GZipSerializer(bytes)
    large = bytes(range(256)) * 1000
    assert serializer.decode(gzip_of(b"ab") + gzip_of(b"") + gzip_of(b"cd")) == b"abcd"
    assert serializer.decode(gzip_of(large) * 3) == large * 3


def test_many_empty_members_are_refused() -> None:
    serializer = GZipSerializer(bytes)
    assert serializer.decode(gzip_of(b"") * 10_000) == b""
    with pytest.raises(ValueError, match="gzip of more than 10000 members"):
        serializer.decode(gzip_of(b"") * 10_001)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_missing_end_and_something_after_the_end(text: bytes, data: st.DataObject) -> None:
    serializer = GZipSerializer(bytes)
    whole = serializer.encode(text)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="end is missing"):
        serializer.decode(whole[:cut])
    with pytest.raises(ValueError, match="is not gzip"):
        serializer.decode(whole + b"\0")


def test_the_inner_serializer_may_be_named() -> None:
    assert GZipSerializer(bytes, BytesSerializer()).encode(b"a") == GZipSerializer(bytes).encode(
        b"a"
    )
