"""The requests of JetStream's API, one method each."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from walnats_anyio.testing._memory._answers import (
    ApiError,
    bad_request,
    no_consumer,
    no_message,
    no_stream,
    read_time,
    show_time,
)
from walnats_anyio.testing._memory._commands import Publish, status, with_headers
from walnats_anyio.testing._memory._configs import (
    API_LEVEL,
    convert,
    invalid_json,
    parse,
    with_version,
)
from walnats_anyio.testing._memory._consumer import Consumer
from walnats_anyio.testing._memory._consumer_config import ConsumerConfig
from walnats_anyio.testing._memory._consumer_config import check_update as check_consumer_update
from walnats_anyio.testing._memory._consumer_config import checked as checked_consumer
from walnats_anyio.testing._memory._store import Stored, is_match
from walnats_anyio.testing._memory._stream import Stream
from walnats_anyio.testing._memory._stream_config import StreamConfig
from walnats_anyio.testing._memory._stream_config import check_update as check_stream_update
from walnats_anyio.testing._memory._stream_config import checked as checked_stream
from walnats_anyio.testing._memory._subjects import overlap

if TYPE_CHECKING:
    from walnats_anyio.testing._memory._jetstream import JetStream

Body: TypeAlias = dict[str, Any]
Method: TypeAlias = Callable[[list[str], Publish], Body]

NAMES_AT_ONCE = 1024
DETAILS_AT_ONCE = 256
SUBJECTS_AT_ONCE = 100_000


class Lookup(msgspec.Struct):
    """The body of a request for one message."""

    seq: int = 0
    last_by_subj: str = ""
    next_by_subj: str = ""
    start_time: str = ""
    no_hdr: bool = False
    batch: int = 0
    max_bytes: int = 0
    multi_last: list[str] = []


class CreateConsumer(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request that creates or updates a consumer."""

    stream_name: str = ""
    config: ConsumerConfig = msgspec.field(default_factory=ConsumerConfig)
    action: str = ""
    pedantic: bool = False


class PurgeStream(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request that purges a stream."""

    seq: int = 0
    keep: int = 0
    filter: str = ""


class Api:
    """Who asks what of JetStream."""

    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._streams = jetstream.streams
        one, two = 1, 2
        self._methods: dict[str, tuple[int, str, Method]] = {
            "INFO": (0, "account_info", self._account_info),
            "STREAM.CREATE": (one, "stream_create", self._create_stream),
            "STREAM.UPDATE": (one, "stream_update", self._update_stream),
            "STREAM.INFO": (one, "stream_info", self._stream_info),
            "STREAM.DELETE": (one, "stream_delete", self._delete_stream),
            "STREAM.PURGE": (one, "stream_purge", self._purge_stream),
            "STREAM.NAMES": (0, "stream_names", self._stream_names),
            "STREAM.LIST": (0, "stream_list", self._stream_list),
            "STREAM.MSG.GET": (one, "stream_msg_get", self._get_message),
            "STREAM.MSG.DELETE": (one, "stream_msg_delete", self._delete_message),
            "CONSUMER.DURABLE.CREATE": (two, "consumer_create", self._create_durable),
            "CONSUMER.INFO": (two, "consumer_info", self._consumer_info),
            "CONSUMER.DELETE": (two, "consumer_delete", self._delete_consumer),
            "CONSUMER.PAUSE": (two, "consumer_pause", self._pause_consumer),
            "CONSUMER.NAMES": (one, "consumer_names", self._consumer_names),
            "CONSUMER.LIST": (one, "consumer_list", self._consumer_list),
        }

    def ask(self, tokens: list[str], publish: Publish) -> bool:
        """Answer a request; False where nobody listens, as nats-server has it."""
        if tokens[:2] == ["DIRECT", "GET"] and len(tokens) > 2:
            return self._direct_get(tokens[2:], publish)
        if tokens[:2] == ["CONSUMER", "CREATE"] and len(tokens) > 2:
            self._reply(publish, "consumer_create", self._create_consumer, tokens[2:])
            return True
        for length in (3, 2, 1):
            known = self._methods.get(".".join(tokens[:length]))
            if known is not None and len(tokens) == length + known[0]:
                self._reply(publish, known[1], known[2], tokens[length:])
                return True
        error = ApiError(501, 10003, f"MemoryServer does not know {publish.subject}")
        self._jetstream.answer(publish.reply, "error_response", {"error": error.as_dict()})
        return True

    def _reply(self, publish: Publish, kind: str, method: Method, names: list[str]) -> None:
        try:
            body = method(names, publish)
        except ApiError as error:
            body = {"error": error.as_dict()}
            body |= _EMPTY.get(kind, {})
        self._jetstream.answer(publish.reply, f"{kind}_response", body)

    # streams

    def _stream(self, name: str) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            raise no_stream()
        return stream

    def _account_info(self, _: list[str], __: Publish) -> Body:
        stored = {"memory": 0, "file": 0}
        reserved = dict(stored)
        for stream in self._streams.values():
            stored[stream.config.storage] += stream.store.bytes
            reserved[stream.config.storage] += max(0, stream.config.max_bytes)
        limits = ("max_memory", "max_storage", "max_streams", "max_consumers", "max_ack_pending",
                  "memory_max_stream_bytes", "storage_max_stream_bytes")  # fmt: skip
        return {
            "memory": stored["memory"],
            "storage": stored["file"],
            "reserved_memory": reserved["memory"],
            "reserved_storage": reserved["file"],
            "streams": len(self._streams),
            "consumers": sum(len(stream.consumers) for stream in self._streams.values()),
            "limits": dict.fromkeys(limits, -1) | {"max_bytes_required": False},
            "api": {"level": API_LEVEL, "total": 0, "errors": 0},
        }

    def _read_stream_config(self, name: str, publish: Publish) -> StreamConfig:
        body = parse(publish.payload)
        pedantic = body.pop("pedantic", False)
        if pedantic:
            raise ApiError(501, 10003, "MemoryServer does not know 'pedantic' requests")
        config = convert(body, StreamConfig)
        if config.name != name:
            raise ApiError(400, 10056, "stream name in subject does not match request")
        return config

    def _create_stream(self, names: list[str], publish: Publish) -> Body:
        config = checked_stream(self._read_stream_config(names[0], publish))
        there = self._streams.get(config.name)
        if there is not None:
            if there.config != config:
                text = "stream name already in use with a different configuration"
                raise ApiError(400, 10058, text)
            return self._shown(there) | {"did_create": True}
        if config.num_replicas > 1:
            raise ApiError(500, 10074, "replicas > 1 not supported in non-clustered mode")
        self._check_overlap(config)
        if config.sealed:
            raise ApiError(500, 10052, "stream configuration for create can not be sealed")
        stream = Stream(self._jetstream, config)
        self._streams[config.name] = stream
        self._jetstream.advise_stream(stream, "create")
        return self._shown(stream) | {"did_create": True}

    def _check_overlap(self, config: StreamConfig) -> None:
        for other in self._streams.values():
            if other.name != config.name and any(
                overlap(ours, theirs)
                for ours in config.subjects
                for theirs in other.config.subjects
            ):
                raise ApiError(400, 10065, "subjects overlap with an existing stream")

    def _update_stream(self, names: list[str], publish: Publish) -> Body:
        given = self._read_stream_config(names[0], publish)
        stream = self._stream(given.name)
        config = checked_stream(given)
        check_stream_update(stream.config, config)
        self._check_overlap(config)
        stream.update(config)
        self._jetstream.advise_stream(stream, "modify")
        return self._shown(stream)

    def _shown(self, stream: Stream, *, version: bool = True) -> Body:
        config = stream.config.as_dict()
        return {
            "config": with_version(config, self._jetstream.version) if version else config,
            "created": show_time(stream.created),
            "state": stream.state(),
            "ts": show_time(self._jetstream.timers.now),
        }

    def _stream_info(self, names: list[str], publish: Publish) -> Body:
        try:
            body: Any = json.loads(publish.payload or b"{}")
        except (ValueError, RecursionError):
            body = {}
        asked = cast("Body", body) if isinstance(body, dict) else {}
        stream = self._stream(names[0])
        shown: Body = {"total": 0, "offset": 0, "limit": 0} | self._shown(stream)
        wanted = asked.get("subjects_filter")
        if isinstance(wanted, str) and wanted:
            counts = sorted(stream.store.subjects.items())
            found = [each for each in counts if is_match([wanted], each[0])]
            offset = _whole(asked.get("offset"))
            page = dict(found[offset : offset + SUBJECTS_AT_ONCE])
            if found:
                shown |= {"total": len(found), "offset": offset, "limit": SUBJECTS_AT_ONCE}
            if page:
                shown["state"]["subjects"] = page
        if asked.get("deleted_details") is True and (deleted := stream.deleted()):
            shown["state"]["deleted"] = deleted
        return shown | {"cluster": {"leader": self._jetstream.server_name}}

    def _delete_stream(self, names: list[str], _: Publish) -> Body:
        self._jetstream.delete_stream(self._stream(names[0]))
        return {"success": True}

    def _purge_stream(self, names: list[str], publish: Publish) -> Body:
        given = convert(parse(publish.payload), PurgeStream) if publish.payload else PurgeStream()
        if given.seq and given.keep:
            raise bad_request()
        stream = self._stream(names[0])
        if stream.config.sealed:
            raise ApiError(400, 10109, "invalid operation on sealed stream")
        if stream.config.deny_purge:
            raise ApiError(500, 10110, "stream purge not permitted")
        purged = stream.purge([given.filter] if given.filter else [], given.seq, given.keep)
        return {"success": True, "purged": purged}

    def _stream_names(self, _: list[str], publish: Publish) -> Body:
        found, offset = self._chosen(publish)
        page = [stream.name for stream in found[offset : offset + NAMES_AT_ONCE]]
        paged = {"total": len(found), "offset": offset, "limit": NAMES_AT_ONCE}
        return paged | {"streams": page or None}

    def _stream_list(self, _: list[str], publish: Publish) -> Body:
        found, offset = self._chosen(publish)
        page = [
            self._shown(stream, version=False)
            for stream in found[offset : offset + DETAILS_AT_ONCE]
        ]
        paged = {"total": len(found), "offset": offset, "limit": DETAILS_AT_ONCE}
        return paged | {"streams": page}

    def _chosen(self, publish: Publish) -> tuple[list[Stream], int]:
        body = parse(publish.payload) if publish.payload else {}
        subject = body.get("subject")
        found = [
            stream
            for _, stream in sorted(self._streams.items())
            if not isinstance(subject, str)
            or not subject
            or any(overlap(subject, each) for each in stream.config.subjects)
        ]
        return found, _whole(body.get("offset"))

    # messages

    def _find(self, stream: Stream, asked: Lookup) -> Stored | None:
        seq = asked.seq
        if asked.start_time:
            try:
                seq = stream.store.since(read_time(asked.start_time))
            except ValueError as error:
                raise invalid_json(error) from error
        if asked.next_by_subj:
            return stream.store.next([asked.next_by_subj], seq)
        if seq:
            return stream.store.get(seq)
        return stream.store.newest(asked.last_by_subj)

    def _get_message(self, names: list[str], publish: Publish) -> Body:
        asked = convert(parse(publish.payload), Lookup)
        if asked.batch or asked.max_bytes or not _makes_sense(asked):
            raise bad_request()
        stored = self._find(self._stream(names[0]), asked)
        if stored is None:
            raise no_message()
        message: Body = {"subject": stored.subject, "seq": stored.seq}
        if stored.header and not asked.no_hdr:
            message["hdrs"] = b64encode(stored.header).decode()
        if stored.payload:
            message["data"] = b64encode(stored.payload).decode()
        return {"message": message | {"time": show_time(stored.time)}}

    def _delete_message(self, names: list[str], publish: Publish) -> Body:
        asked = parse(publish.payload)
        stream = self._stream(names[0])
        if stream.config.sealed:
            raise ApiError(400, 10109, "invalid operation on sealed stream")
        if stream.config.deny_delete:
            raise ApiError(500, 10057, "message delete not permitted")
        seq = _whole(asked.get("seq"))
        if not stream.remove(seq):
            # nats-server has several codes for that, by storage and by what else is gone.
            if stream.config.storage == "memory":
                raise ApiError(400, 10043, f"sequence {seq} not found")
            raise ApiError(500, 10057, "no message found")
        return {"success": True}

    def _direct_get(self, names: list[str], publish: Publish) -> bool:
        stream = self._streams.get(names[0])
        if stream is None or not stream.config.allow_direct:
            return False
        reply, payload = publish.reply, publish.payload
        if len(names) > 1:
            asked = Lookup(last_by_subj=".".join(names[1:]))
        elif not payload:
            return self._say(reply, status(408, "Empty Request"))
        else:
            try:
                asked = convert(parse(payload), Lookup)
            except ApiError:
                return self._say(reply, status(408, "Malformed Request"))
        if asked.batch or asked.multi_last:
            return self._say(reply, status(408, "MemoryServer does not know batches"))
        if not (asked.seq or asked.last_by_subj or asked.next_by_subj or asked.start_time):
            return self._say(reply, status(408, "Empty Request"))
        if not _makes_sense(asked):
            return self._say(reply, status(408, "Bad Request"))
        return self._send_stored(stream, self._find(stream, asked), reply, asked.no_hdr)

    def _send_stored(
        self, stream: Stream, stored: Stored | None, reply: str, no_header: bool
    ) -> bool:
        if stored is None:
            return self._say(reply, status(404, "Message Not Found"))
        headers: dict[str, object] = {
            "Nats-Stream": stream.name,
            "Nats-Subject": stored.subject,
            "Nats-Sequence": stored.seq,
            "Nats-Time-Stamp": show_time(stored.time),
        }
        header = b"" if no_header else with_headers(stored.header, headers)
        return self._say(reply, header, stored.payload)

    def _say(self, reply: str, header: bytes, payload: bytes = b"") -> bool:
        if reply:
            self._jetstream.publish(Publish(reply, header=header, payload=payload))
        return True

    # consumers

    def _consumer(self, names: list[str]) -> Consumer:
        consumer = self._stream(names[0]).consumers.get(names[1])
        if consumer is None:
            raise no_consumer()
        return consumer

    def _create_durable(self, names: list[str], publish: Publish) -> Body:
        request = convert(parse(publish.payload), CreateConsumer)
        if request.stream_name != names[0]:
            raise ApiError(400, 10056, "stream name in subject does not match request")
        if not request.config.durable_name:
            text = "consumer expected to be durable but a durable name was not set"
            raise ApiError(400, 10018, text)
        if request.config.durable_name != names[1]:
            text = "consumer name in subject does not match durable name in request"
            raise ApiError(400, 10017, text)
        request.config.name = names[1]
        return self._put_consumer(request)

    def _create_consumer(self, names: list[str], publish: Publish) -> Body:
        request = convert(parse(publish.payload), CreateConsumer)
        config, filters = request.config, ".".join(names[2:])
        if request.stream_name != names[0]:
            raise ApiError(400, 10056, "stream name in subject does not match request")
        if len(names) == 1 and config.durable_name:
            text = "consumer expected to be ephemeral but a durable name was set in request"
            raise ApiError(400, 10020, text)
        if len(names) > 1:
            if "/" in names[1] or "\\" in names[1]:
                raise ApiError(400, 10127, "Consumer name can not contain path separators")
            if config.durable_name not in ("", names[1]):
                text = "consumer name in subject does not match durable name in request"
                raise ApiError(400, 10017, text)
            config.name = names[1]
        if filters and config.filter_subjects:
            text = "consumer with multiple subject filters cannot use subject based API"
            raise ApiError(400, 10137, text)
        if filters and config.filter_subject != filters:
            text = "Consumer create request did not match filtered subject from create subject"
            raise ApiError(400, 10131, text)
        return self._put_consumer(request)

    def _put_consumer(self, request: CreateConsumer) -> Body:
        if request.pedantic or request.action not in ("", "create", "update"):
            text = f"MemoryServer does not know pedantic requests, nor action {request.action!r}"
            raise ApiError(501, 10003, text)
        given = request.config
        if given.num_replicas > 1:
            raise ApiError(500, 10074, "replicas > 1 not supported in non-clustered mode")
        stream = self._stream(request.stream_name)
        there = stream.consumers.get(given.durable_name or given.name)
        if there is not None:
            given.pause_until = there.config.pause_until
        config = checked_consumer(given, stream.config)
        if there is None:
            there = self._new_consumer(stream, config, request.action)
        elif request.action == "create" and config != there.config:
            raise ApiError(400, 10148, "consumer already exists")
        else:
            bound = self._jetstream.has_interest(there.config.deliver_subject)
            check_consumer_update(there.config, config, bound=bound)
            self._check_queue(stream, config)
            there.update(config)
        return self._shown_consumer(there)

    def _new_consumer(self, stream: Stream, config: ConsumerConfig, action: str) -> Consumer:
        if action == "update":
            raise ApiError(400, 10149, "consumer does not exist")
        if 0 < stream.config.max_consumers <= len(stream.consumers):
            raise ApiError(400, 10026, "maximum consumers limit reached")
        if stream.config.retention == "workqueue":
            if config.ack_policy != "explicit":
                raise ApiError(400, 10098, "workqueue stream requires explicit ack")
            if config.deliver_policy != "all":
                raise ApiError(400, 10101, "consumer must be deliver all on workqueue stream")
        self._check_queue(stream, config)
        if not config.name and not config.durable_name:
            config.name = self._jetstream.unique(8)
        consumer = Consumer(self._jetstream, stream, config)
        stream.consumers[consumer.name] = consumer
        names = {"stream": stream.name, "consumer": consumer.name, "action": "create"}
        subject = f"CONSUMER.CREATED.{stream.name}.{consumer.name}"
        self._jetstream.advise("consumer_action", subject, names)
        consumer.wake()
        return consumer

    def _check_queue(self, stream: Stream, config: ConsumerConfig) -> None:
        """On a work queue every message is for one consumer only."""
        name = config.durable_name or config.name
        others = [each for each in stream.consumers.values() if each.name != name]
        if stream.config.retention != "workqueue" or not others:
            return
        if not config.filters and name not in stream.consumers:
            text = "multiple non-filtered consumers not allowed on workqueue stream"
            raise ApiError(400, 10099, text)
        for other in others:
            for theirs in other.config.filters or [">"]:
                if any(overlap(theirs, ours) for ours in config.filters):
                    raise ApiError(400, 10100, "filtered consumer not unique on workqueue stream")

    def _shown_consumer(self, consumer: Consumer, *, version: bool = True) -> Body:
        info = consumer.info()
        if version:
            info["config"] = with_version(info["config"], self._jetstream.version)
        return info

    def _consumer_info(self, names: list[str], _: Publish) -> Body:
        return self._shown_consumer(self._consumer(names))

    def _delete_consumer(self, names: list[str], _: Publish) -> Body:
        self._jetstream.delete_consumer(self._consumer(names))
        return {"success": True}

    def _pause_consumer(self, names: list[str], publish: Publish) -> Body:
        body = parse(publish.payload) if publish.payload else {}
        consumer = self._consumer(names)
        try:
            until = read_time(body["pause_until"]) if body.get("pause_until") else 0
        except ValueError as error:
            raise invalid_json(error) from error
        shown = show_time(until)
        config = msgspec.structs.replace(consumer.config, pause_until=shown if until > 0 else "")
        consumer.update(checked_consumer(config, consumer.stream.config))
        now = self._jetstream.timers.now
        left = {"pause_remaining": until - now} if until > now else {}
        return {"paused": until > now, "pause_until": shown} | left

    def _consumer_names(self, names: list[str], publish: Publish) -> Body:
        found, offset = self._all_of(names, publish)
        page = [consumer.name for consumer in found[offset : offset + NAMES_AT_ONCE]]
        paged = {"total": len(found), "offset": offset, "limit": NAMES_AT_ONCE}
        return paged | {"consumers": page}

    def _consumer_list(self, names: list[str], publish: Publish) -> Body:
        found, offset = self._all_of(names, publish)
        page = [
            self._shown_consumer(consumer, version=False)
            for consumer in found[offset : offset + DETAILS_AT_ONCE]
        ]
        paged = {"total": len(found), "offset": offset, "limit": DETAILS_AT_ONCE}
        return paged | {"consumers": page}

    def _all_of(self, names: list[str], publish: Publish) -> tuple[list[Consumer], int]:
        body = parse(publish.payload) if publish.payload else {}
        stream = self._stream(names[0])
        return [each for _, each in sorted(stream.consumers.items())], _whole(body.get("offset"))


_NO_PAGE: Body = {"total": 0, "offset": 0, "limit": 0}
_EMPTY: dict[str, Body] = {
    "stream_info": _NO_PAGE,
    "stream_names": _NO_PAGE,
    "stream_list": _NO_PAGE,
    "stream_purge": {"purged": 0},
    "consumer_names": _NO_PAGE | {"consumers": []},
    "consumer_list": _NO_PAGE | {"consumers": []},
    "consumer_pause": {"paused": False},
}
"""What nats-server puts into an answer beside an error."""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _makes_sense(asked: Lookup) -> bool:
    """Whether a request for a message says one thing, and not two."""
    ways = [bool(asked.seq), bool(asked.last_by_subj), bool(asked.start_time)]
    if asked.last_by_subj and asked.next_by_subj:
        return False
    return sum(ways) == 1 or (not any(ways) and bool(asked.next_by_subj))
