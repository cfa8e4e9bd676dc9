"""Subjects and headers that a server takes from anybody, and passes on."""

from __future__ import annotations

import anyio
import pytest

from tests.support.waiting import until
from walnats_anyio._link import HeaderError, Message, open_link
from walnats_anyio.testing import NatsServer

pytestmark = pytest.mark.anyio

PUBLISHED = [
    (b"shop.\x0b2", b"", b"", b"a"),
    (b"shop.\x0c2", b"re\x0bply", b"", b"b"),
    (b"shop.\x1c\xff\x85\0", b"\xff", b"", b"\r\n"),
    (b"shop.\x0bx", b"re\x0bp\x0cly", b"NATS/1.0\r\nA: 1\r\n\r\n", b"c"),
    (b"shop.x", b"", b"NATS/1.0", b""),
    (b"shop.x", b"", b"NATS/1.0", b"NATS/1.0"),
    (b"shop.x", b"", b"NATS/1.0 503 \xff\r\n\r\n", b""),
    (b"shop.last", b"", b"", b"d"),
]
MALFORMED = [number for number, (_, _, block, _) in enumerate(PUBLISHED) if block and number > 3]


async def test_none_of_them_costs_the_connection(nats_server: NatsServer) -> None:
    received: list[Message] = []
    others: list[Message] = []
    lost: list[bool] = []
    options = {"disconnected_cb": lambda: lost.append(True)}
    async with open_link(nats_server.url, options=options) as link:
        # The number of the second subscription is in the subjects above.
        first = link.subscribe_to("shop.>", received.append)
        link.subscribe_to("else", others.append)
        await link.flush()
        async with await anyio.connect_tcp("127.0.0.1", nats_server.port) as stranger:
            await stranger.send(b'CONNECT {"verbose":false,"headers":true}\r\n')
            for subject, reply, block, payload in PUBLISHED:
                names = b" ".join([subject] + [reply] * bool(reply))
                sizes = b"%d %d" % (len(block), len(block) + len(payload))
                word, sizes = (b"HPUB", sizes) if block else (b"PUB", b"%d" % len(payload))
                await stranger.send(b"%b %b %b\r\n%b%b\r\n" % (word, names, sizes, block, payload))
            await until(lambda: len(received) == len(PUBLISHED))
        assert {message.sid for message in received} == {first.sid}
        assert [(m.subject, m.reply, m.header, m.data) for m in received] == PUBLISHED
        for number in MALFORMED:
            with pytest.raises(HeaderError):
                _ = received[number].headers
        assert others == []
        assert lost == []
