"""A Starlette application on trio, under hypercorn.

hypercorn --worker-class trio starlette_app:app     when listening fails, /ready says so
python starlette_app.py                             when listening fails, the process ends
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework
from msgspec import json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from beside import listen
from shop import ACTORS, EVENTS, ORDER_PLACED, Order


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
    async with EVENTS.connect() as events, ACTORS.connect(events) as actors:
        await events.register()
        await actors.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(listen, actors, app.state.failed)
            yield {"events": events, "actors": actors}
            actors.shutdown()


async def place_order(request: Request) -> Response:
    order = json.decode(await request.body(), type=Order)
    await request.state.events.emit(ORDER_PLACED, order, sync=True)
    return Response(status_code=202)


async def ready(request: Request) -> Response:
    now = request.state.actors.statistics()
    return Response(status_code=200 if now.listening and now.connection.connected else 503)


ROUTES = [Route("/orders", place_order, methods=["POST"]), Route("/ready", ready)]

app = Starlette(routes=ROUTES, lifespan=lifespan)
app.state.failed = lambda: None


async def main() -> int:
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ.get('PORT', '8000')}"]
    failed = trio.Event()
    app.state.failed = failed.set
    await serve(cast(ASGIFramework, app), config, shutdown_trigger=failed.wait)
    return 1 if failed.is_set() else 0


if __name__ == "__main__":
    sys.exit(trio.run(main))
