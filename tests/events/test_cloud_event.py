"""CloudEvents: what an attribute may be, and how it is written and read back."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as OfficialEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from walnats_anyio import CloudEvent, Event
from walnats_anyio._events._structured import STRUCTURED, cloud_event_of, data_of, structured
from walnats_anyio.serializers import GZipSerializer

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

some = settings(max_examples=25)
"""Fewer examples than usual: the suite has to be quick."""

FULL = CloudEvent(
    "1 é",
    "/shop?of=kim%20co",
    "com.shop.ordered",
    datacontenttype="application/json; charset=utf-8",
    dataschema="https://shop.example/order.json",
    subject='the "first" 100%',
    time=AT,
    dataref="../1",
    partitionkey="kim",
    sampledrate=3,
    sequence="0001",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate="a=b",
    extensions={"flag": True, "number": -7, "raw": b"\x00\xff", "at": AT, "text": "€ 😀"},
)

HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "1%20%C3%A9",
    "ce-source": "/shop?of=kim%2520co",
    "ce-type": "com.shop.ordered",
    "ce-datacontenttype": "application/json;%20charset=utf-8",
    "ce-dataschema": "https://shop.example/order.json",
    "ce-subject": "the%20%22first%22%20100%25",
    "ce-time": "2026-01-02T03:04:05.678000Z",
    "ce-dataref": "../1",
    "ce-partitionkey": "kim",
    "ce-sampledrate": "3",
    "ce-sequence": "0001",
    "ce-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "ce-tracestate": "a=b",
    "ce-flag": "true",
    "ce-number": "-7",
    "ce-raw": "AP8=",
    "ce-at": "2026-01-02T03:04:05.678000Z",
    "ce-text": "%E2%82%AC%20%F0%9F%98%80",
}

LEAST = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "t"}


def a_cloud_event(**changes: Any) -> CloudEvent:
    attributes: dict[str, Any] = {"id": "1", "source": "/shop", "type": "ordered", **changes}
    return CloudEvent(**attributes)


# A value


def test_all_attributes_as_headers() -> None:
    assert FULL.as_headers() == HEADERS


def test_all_attributes_as_a_dict() -> None:
    made = FULL.as_dict()
    assert json.loads(json.dumps(made)) == made
    assert list(made)[:4] == ["specversion", "id", "source", "type"]
    assert (made["sampledrate"], made["flag"], made["number"], made["raw"]) == (3, True, -7, "AP8=")
    assert made["time"] == made["at"] == "2026-01-02T03:04:05.678000Z"


def test_what_is_not_set_is_not_written() -> None:
    assert a_cloud_event(id="é").as_dict() == {
        "specversion": "1.0",
        "id": "é",
        "source": "/shop",
        "type": "ordered",
    }
    assert repr(a_cloud_event()) == "CloudEvent(id='1', source='/shop', type='ordered')"


def test_it_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    assert len({FULL, replace(FULL), replace(FULL, mode="structured")}) == 1
    assert replace(FULL, extensions={}) != FULL


def test_what_is_read_of_headers_is_what_was_written() -> None:
    texts = {"flag": "true", "number": "-7", "raw": "AP8=", "at": HEADERS["ce-at"]}
    assert CloudEvent.from_headers(HEADERS) == replace(
        FULL, extensions={**FULL.extensions, **texts}
    )


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"id": ""}, ValueError, "id must not be empty"),
        ({"id": 1}, TypeError, "id must be a str, not int: 1"),
        ({"id": None}, TypeError, "id must be a str"),
        ({"id": "a\nb"}, ValueError, "no control characters"),
        ({"id": "\ufffe"}, ValueError, "noncharacters"),
        ({"id": "\U0003ffff"}, ValueError, "noncharacters"),
        ({"id": "\udead"}, ValueError, "lone surrogates"),
        ({"source": "a b"}, ValueError, "percent-encode"),
        ({"source": "/é"}, ValueError, "percent-encode"),
        ({"source": "/100%"}, ValueError, "relative reference"),
        ({"source": ""}, ValueError, "source must not be empty"),
        ({"type": ""}, ValueError, "type must not be empty"),
        ({"specversion": "0.3"}, ValueError, "must be '1.0', not '0.3'"),
        ({"specversion": None}, ValueError, "must be '1.0'"),
        ({"datacontenttype": "json"}, ValueError, "media type, such as 'application/json'"),
        ({"dataschema": "/order.json"}, ValueError, "absolute URI"),
        ({"subject": ""}, ValueError, "subject must not be empty"),
        ({"time": AT.replace(tzinfo=None)}, ValueError, "needs a time zone"),
        ({"time": "2026-01-01T00:00:00Z"}, TypeError, "time must be a datetime"),
        ({"time": AT.astimezone(timezone(timedelta(seconds=1)))}, ValueError, "minutes from UTC"),
        ({"sampledrate": 0}, ValueError, "at least 1"),
        ({"sampledrate": "1"}, TypeError, "sampledrate must be an int"),
        ({"sampledrate": True}, TypeError, "sampledrate must be an int"),
        ({"sampledrate": 2**31}, ValueError, "32 bits"),
        ({"traceparent": ""}, ValueError, "traceparent must not be empty"),
        ({"extensions": []}, TypeError, "extensions must be of Mapping"),
        ({"extensions": {1: "a"}}, TypeError, "name of an extension must be a str"),
        ({"extensions": {"a-b": "a"}}, ValueError, "a to z and 0 to 9 only, not 'a-b'"),
        ({"extensions": {"": "a"}}, ValueError, "a to z and 0 to 9 only"),
        ({"extensions": {"data": "a"}}, ValueError, "stands for the data"),
        ({"extensions": {"time": AT}}, ValueError, "time is an argument of its own"),
        ({"extensions": {"a": 2**31}}, ValueError, "extension a must be an integer of 32 bits"),
        ({"extensions": {"a": -(2**31) - 1}}, ValueError, "32 bits"),
        ({"extensions": {"a": 1.5}}, TypeError, "extension a must be a bool, int, str"),
        ({"extensions": {"a": None}}, TypeError, "not NoneType"),
        ({"mode": "both"}, ValueError, "'binary' or 'structured', not 'both'"),
    ],
)  # fmt: skip
def test_what_an_attribute_cannot_be(
    changes: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=r"^(CloudEvent|the name|an extension)") as raised:
        a_cloud_event(**changes)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"},
        {"source": "1-555-123-4567"},
        {"source": "http://[::1]:80/?a=b#c"},
        {"datacontenttype": 'Text/Plain; charset="utf-8"; a=b'},
        {"datacontenttype": "application/vnd.shop+json"},
        {"sampledrate": 2**31 - 1},
        {"extensions": {"a": -(2**31)}},
        {"extensions": {"a": ""}},
        {"extensions": {"averylongnameofanextension": "a"}},
        {"id": "é 😀"},
    ],
)
def test_what_an_attribute_can_be(changes: dict[str, Any]) -> None:
    made = a_cloud_event(**changes)
    texts = {name: str(value) for name, value in made.extensions.items()}
    assert CloudEvent.from_headers(made.as_headers()) == replace(made, extensions=texts)


# Headers of others


@pytest.mark.parametrize("headers", [{}, {"Key": "value"}, {"Content-Type": "text/plain"}])
def test_headers_without_any_attribute(headers: dict[str, str]) -> None:
    assert CloudEvent.from_headers(headers) is None


@pytest.mark.parametrize(
    ("header", "value", "attribute", "read"),
    [
        ("CE-Subject", "a", "subject", "a"),
        ("ce-subject", '"a \\"b\\" %41"', "subject", 'a "b" A'),  # older versions of the binding
        ("ce-subject", "%c3%a9", "subject", "é"),
        ("ce-subject", "é a", "subject", "é a"),  # as walnats sends it
        ("ce-subject", "100% %zz %4", "subject", "100% %zz %4"),
        ("ce-subject", "%2525", "subject", "%25"),  # one round only
        ("ce-time", "2026-01-01T00:00:00z", "time", datetime(2026, 1, 1, tzinfo=UTC)),
        ("ce-time", "2026-01-01t01:00:00.5+01:00", "time",
         datetime(2026, 1, 1, 0, 0, 0, 500_000, UTC)),
        ("ce-time", "2026-01-01T00:00:00.123456789Z", "time",
         datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC)),
        ("ce-time", "2016-12-31T23:59:60Z", "time",
         datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("Content-Type", "text/xml", "datacontenttype", "text/xml"),
    ],
)  # fmt: skip
def test_what_others_send(header: str, value: str, attribute: str, read: object) -> None:
    found = CloudEvent.from_headers({**LEAST, header: value})
    assert getattr(found, attribute) == read


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"ce-id": "1"}, "specversion and source and type must be there"),
        ({**LEAST, "ce-specversion": "2.0"}, "no other version"),
        ({**LEAST, "CE-ID": "2"}, "ce-id is there more than once"),
        ({**LEAST, "ce-id": "%C0%A0"}, "no UTF-8"),
        ({**LEAST, "ce-id": "%0A"}, "control characters"),
        ({**LEAST, "ce-time": "2026-01-01"}, "time of RFC 3339"),
        ({**LEAST, "ce-time": "2026-01-01T00:00:00+00:00Z"}, "time of RFC 3339"),
        ({**LEAST, "ce-time": "2026-02-30T00:00:00Z"}, "no such time"),
        ({**LEAST, "ce-time": "٢٠٢٦-01-01T00:00:00Z"}, "time of RFC 3339"),
        ({**LEAST, "ce-sampledrate": "1.0"}, "integer of 32 bits"),
        ({**LEAST, "ce-sampledrate": "9" * 5000}, "integer of 32 bits"),
        ({**LEAST, "ce-source": "a b"}, "relative reference"),
        ({**LEAST, "ce-a-b": "1"}, "a to z and 0 to 9"),
        ({**LEAST, "ce-": "1"}, "a to z and 0 to 9"),
    ],
)
def test_what_others_should_not_send(headers: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CloudEvent.from_headers(headers)


# Structured mode

ORDERED = Event("ordered", dict[str, int])
WHEN = Event("when", datetime)
ZIPPED = Event("zipped", dict[str, int], GZipSerializer(dict[str, int]))

HEADER = f"NATS/1.0\r\nContent-Type: {STRUCTURED}\r\n\r\n".encode()


def envelope(**members: Any) -> bytes:
    own = {"specversion": "1.0", "id": "1", "source": "/", "type": "t"}
    return json.dumps(own | members).encode()


def test_json_is_a_part_of_the_object() -> None:
    made = json.loads(structured(ORDERED, b'{"a": 1}', a_cloud_event(subject="é")))
    assert made == {**a_cloud_event(subject="é").as_dict(), "data": {"a": 1}}


@pytest.mark.parametrize("event", [WHEN, ZIPPED])
def test_what_is_no_json_is_base64(event: Event[Any]) -> None:
    made = json.loads(structured(event, b"\x00\xff", a_cloud_event()))
    assert made["data_base64"] == "AP8="
    assert "data" not in made


def test_the_declared_media_type_decides() -> None:
    assert "data_base64" in json.loads(
        structured(ORDERED, b"{}", a_cloud_event(datacontenttype="text/xml"))
    )
    with pytest.raises(ValueError, match=r"'zipped'.*is not JSON"):
        structured(ZIPPED, b"\x1f", a_cloud_event(datacontenttype="application/json"))


@pytest.mark.parametrize(
    "content_type",
    [STRUCTURED, "application/cloudevents", "Application/CloudEvents+JSON; charset=UTF-8"],
)
def test_the_header_says_that_it_is_structured(content_type: str) -> None:
    block = f"NATS/1.0\r\nCONTENT-type: {content_type}\r\n\r\n".encode()
    assert data_of(block, envelope(data={"a": 1})) == b'{"a": 1}'


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/cloudevents+avro", "application/cloudevents-batch+json"],
)
def test_any_other_payload_is_left_alone(content_type: str) -> None:
    block = f"NATS/1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    assert data_of(block, b"\x00") == b"\x00"


@pytest.mark.parametrize(
    ("members", "data"),
    [
        ({"data": [1, "a"]}, b'[1, "a"]'),
        ({"data": None}, b"null"),
        ({}, b""),
        ({"data": "<a/>", "datacontenttype": "text/xml"}, b"<a/>"),
        ({"data": "a", "datacontenttype": "Application/X+JSON"}, b'"a"'),
        ({"data_base64": "AP8="}, b"\x00\xff"),
        ({"data_base64": "e30=", "datacontenttype": "application/json"}, b"{}"),
        ({"data": 1, "subject": None, "other": None}, b"1"),
        ({"data": 1, "data_base64": None}, b"1"),
    ],
)
def test_the_data_of_what_others_send(members: dict[str, Any], data: bytes) -> None:
    assert data_of(HEADER, envelope(**members)) == data


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        envelope(id=1, data=1),
        envelope(source=None, data=1),
        envelope(data=1, data_base64=""),
        envelope(data=1, datacontenttype="text/xml"),
        envelope(data_base64="%"),
        envelope(data_base64=1),
        envelope(data=1, other=[1]),
        envelope(data=1, other=1.5),
        envelope(data=1, other=2**31),
        envelope(data=1, Other="a"),
        envelope(data=1, time=1),
        envelope(data=1, datacontenttype=7),
    ],
)
def test_what_is_not_well_formed(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        data_of(HEADER, payload)
    with pytest.raises(ValueError, match=r"."):
        cloud_event_of({"content-type": STRUCTURED}, payload)


def test_it_tells_how_it_was_sent() -> None:
    found = cloud_event_of({"Content-Type": STRUCTURED}, envelope(data=1, a=True, b=7))
    assert found == CloudEvent("1", "/", "t", extensions={"a": True, "b": 7})
    assert found is not None
    assert found.mode == "structured"


# Whatever the values are


texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]).filter(
        lambda char: not 0xFDD0 <= ord(char) <= 0xFDEF and ord(char) & 0xFFFE != 0xFFFE
    ),
    min_size=1,
)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20).filter(
    lambda name: name not in FULL.as_dict() and name not in ("data", "subject")
)
values = st.one_of(
    st.booleans(), st.integers(-(2**31), 2**31 - 1), texts, st.binary(),
    st.datetimes(timezones=st.just(UTC)),
)  # fmt: skip
cloud_events = st.builds(
    CloudEvent,
    texts,
    st.text("abc/:?#[]@!$&'()*+,;=-._~", min_size=1),
    texts,
    subject=st.none() | texts,
    time=st.none() | st.datetimes(timezones=st.just(UTC)),
    extensions=st.dictionaries(names, values, max_size=3),
)


def as_text(event: CloudEvent) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in event.as_dict().items()
    }


@some
@given(cloud_events)
def test_headers_bring_everything_back(event: CloudEvent) -> None:
    headers = event.as_headers()
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert not any(char in value for value in headers.values() for char in ' "')
    back = CloudEvent.from_headers(headers)
    assert back is not None
    assert as_text(back) == as_text(event)


@some
@given(cloud_events, st.dictionaries(st.text("ab"), st.integers(0, 9)))
def test_structured_mode_brings_everything_back(event: CloudEvent, message: dict[str, int]) -> None:
    made = structured(ORDERED, ORDERED.encode(message), event)
    back = cloud_event_of({"Content-Type": STRUCTURED}, made)
    assert back is not None
    assert back.as_dict() == event.as_dict()
    assert ORDERED.decode(data_of(HEADER, made)) == message


@some
@given(st.binary() | st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps))
def test_anything_may_come_as_structured(payload: bytes | str) -> None:
    data = payload if isinstance(payload, bytes) else payload.encode()
    try:
        data_of(HEADER, data)
    except ValueError:
        return


@some
@given(st.dictionaries(st.sampled_from(list(HEADERS)) | st.text(), st.text()))
def test_anything_may_come_as_headers(headers: dict[str, str]) -> None:
    try:
        CloudEvent.from_headers(headers)
    except ValueError:
        return


# The CloudEvents project's own library on the other side


timed = st.builds(
    replace,
    cloud_events,
    time=st.datetimes(timezones=st.just(UTC)),  # without one it takes the current time
    extensions=st.just({"flag": True, "number": 7}),
)


def official(event: CloudEvent, data: Any) -> OfficialEvent:
    return OfficialEvent({**event.as_dict(), "time": event.time}, data)


@some
@given(timed)
def test_its_headers_and_ours(event: CloudEvent) -> None:
    event = replace(event, extensions={})
    theirs = http.to_binary(official(event, None), JSONFormat()).headers
    assert theirs == event.as_headers()
    found = http.from_binary(http.HTTPMessage(event.as_headers(), b"{}"), JSONFormat())
    assert (found.get_id(), found.get_source()) == (event.id, event.source)
    assert (found.get_subject(), found.get_time()) == (event.subject, event.time)
    assert CloudEvent.from_headers(theirs) == event


@some
@given(timed)
def test_its_structured_mode_and_ours(event: CloudEvent) -> None:
    for of, data, written in ((ORDERED, {"a": 1}, b'{"a": 1}'), (ZIPPED, b"\x00\xff", b"\x00\xff")):
        theirs = JSONFormat().write(official(event, data))
        assert cloud_event_of({"Content-Type": STRUCTURED}, theirs) == event
        assert data_of(HEADER, theirs) == written
        found = JSONFormat().read(None, structured(of, written, event))
        assert found.get_data() == data
        assert (found.get_id(), found.get_time()) == (event.id, event.time)
        assert (found.get_extension("flag"), found.get_extension("number")) == (True, 7)
