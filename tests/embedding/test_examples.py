"""The examples of docs/guides/embedding.md, started as a reader would start them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from tests.embedding._program import Program, Web, started, web_server
from tests.support.jetstream import ask
from walnats_anyio.testing import NatsServer


class Start(Protocol):
    def __call__(
        self, *command: str, text: bytes | None = None, **env: str
    ) -> AbstractContextManager[Program]: ...


@pytest.fixture
def start(server: NatsServer, tmp_path: Path) -> Start:
    return partial(started, "embedding", tmp_path / "output", server.url)


@pytest.fixture
def web() -> Web:
    return web_server()


def last_sequence(server: NatsServer) -> int:
    """How many events the stream has got so far."""
    answer = anyio.run(ask, server, "$JS.API.STREAM.INFO.shop-placed")
    return int(answer.get("state", {}).get("last_seq", 0))


def delete_consumer(server: NatsServer, actor: str = "send-receipt") -> None:
    """What ends `listen` for good."""
    answer = anyio.run(ask, server, f"$JS.API.CONSUMER.DELETE.shop-placed.{actor}")
    assert answer["success"], answer


def order(number: int) -> str:
    return f'{{"id": {number}, "email": "ada@example.com"}}'


# trio and asyncio


def test_a_trio_application_ends_at_its_deadline(start: Start) -> None:
    with start("trio_app.py", "3") as program:
        assert program.ends() == 0
        assert program.output.splitlines() == [
            "open", "receipt for order 1 sent to ada@example.com", "closed",
        ]  # fmt: skip


def test_a_trio_application_ends_with_the_error_of_listen(start: Start, server: NatsServer) -> None:
    with start("trio_app.py", "300") as program:
        program.says("receipt for order 1")
        delete_consumer(server)
        assert program.ends() == 1
        assert "ConsumerConfigError" in program.output


def test_the_tests_of_the_trio_application(start: Start) -> None:
    arguments = ("-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "-q")
    with start("pytest", *arguments, "test_trio_app.py") as program:
        assert program.ends() == 0, program.output
        assert "3 passed" in program.output


def test_an_asyncio_application_is_stopped(start: Start) -> None:
    with start("asyncio_app.py") as program:
        program.says("receipt for order 3")
        assert program.ends(signal.SIGTERM) == 0
        assert "closed: 3 handled" in program.output


def test_an_asyncio_application_ends_with_the_error_of_listen(
    start: Start, server: NatsServer
) -> None:
    with start("asyncio_app.py") as program:
        program.says("receipt for order 3")
        delete_consumer(server)
        assert program.ends() == 1
        assert "ConsumerConfigError" in program.output


# Web servers with an event loop

SERVERS = {
    "uvicorn": ("uvicorn", "fastapi_app:app", "--port", "PORT"),
    "hypercorn": (
        "hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:PORT", "starlette_app:app",
    ),
}  # fmt: skip


@pytest.fixture(params=SERVERS)
def serving(request: pytest.FixtureRequest, start: Start, web: Web) -> Iterator[Program]:
    command = [part.replace("PORT", str(web.port)) for part in SERVERS[request.param]]
    with start(*command) as program:
        web.answers("/ready", 200, program)
        yield program


def test_a_web_server_goes_on_and_is_not_ready(
    serving: Program, web: Web, server: NatsServer
) -> None:
    assert web.ask("POST", "/orders", order(1)) == 202
    serving.says("receipt for order 1 sent")
    delete_consumer(server)
    web.answers("/ready", 503, serving)
    serving.says("no events are handled any more", "ConsumerConfigError")
    assert web.ask("POST", "/orders", order(2)) == 202
    assert last_sequence(server) == 2
    serving.ends(signal.SIGTERM)
    assert "receipt for order 2" not in serving.output


@pytest.mark.parametrize("file", ["fastapi_app.py", "starlette_app.py"])
def test_a_web_server_ends_when_listening_does(
    start: Start, web: Web, server: NatsServer, file: str
) -> None:
    with start(file, PORT=str(web.port)) as program:
        web.answers("/ready", 200, program)
        delete_consumer(server)
        assert program.ends() == 1
        assert "no events are handled any more" in program.output


# Web servers without one

PUBLISHERS = {
    "django": ("django_app.py", "runserver", "--noreload", "PORT"),
    "flask": ("flask", "--app", "flask_app", "run", "--port", "PORT"),
}


@pytest.mark.parametrize("framework", PUBLISHERS)
def test_a_publisher(start: Start, web: Web, server: NatsServer, framework: str) -> None:
    with start(*[part.replace("PORT", str(web.port)) for part in PUBLISHERS[framework]]) as program:
        web.answers("/", 404, program)
        for number in range(3):
            assert web.ask("POST", "/orders", order(number)) == 202, program.output
        assert last_sequence(server) == 3
        assert web.ask("POST", "/orders", '{"id": "no number"}') == 500
        program.ends(signal.SIGINT)


# A script

LINES = "".join(order(number) + "\n" for number in range(1000)).encode()


def test_a_script_stores_everything_once(start: Start, server: NatsServer) -> None:
    """It says what was wrong, and can be run again when that is put right."""
    with start("import_orders.py", text=LINES + b'{"id": "x"}\n') as program:
        assert program.ends() == 1
        assert program.output.startswith("import_orders: Expected `int`, got `str`")
    with start("import_orders.py", text=LINES) as program:
        assert program.ends() == 0, program.output
        assert program.output == "all orders are stored\n"
    assert last_sequence(server) == 1000


# Modules and frameworks


def test_actors_of_several_modules(start: Start, server: NatsServer) -> None:
    with start("several_modules.py") as program:
        program.says("listening: Actors('write-invoice', 'pack')")
        with start("import_orders.py", text=LINES.splitlines()[0]) as script:
            assert script.ends() == 0
        program.says("order 0 packed", "invoice for order 0")
        delete_consumer(server, "pack")
        assert program.ends() == 1
        assert "ConsumerConfigError" in program.output


def test_two_frameworks(start: Start, server: NatsServer) -> None:
    with start("two_frameworks.py") as program:
        program.says(*[f"receipt for order {n} sent" for n in (1, 2)])
        program.says(*[f"order {n} counted by walnats" for n in (1, 2)])
        delete_consumer(server)
        assert program.ends() == 1
        assert "ConsumerConfigError" in program.output


def test_a_page_shows_each_file() -> None:
    from tests.docs._blocks import ALL_BLOCKS, EXAMPLES

    shown = {b.title for b in ALL_BLOCKS if b.page.name == "embedding.md" and b.title is not None}
    assert shown == {file.name for file in (EXAMPLES / "embedding").glob("*.py")}
