"""A FastAPI application that emits events, and handles them in the same process.

uvicorn fastapi_app:app     when listening fails, /ready says so
python fastapi_app.py       when listening fails, the process ends, with exit code 1
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from fastapi import FastAPI, Request, Response

from beside import listen
from shop import ACTORS, EVENTS, ORDER_PLACED, Order


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    async with EVENTS.connect() as events, ACTORS.connect(events) as actors:
        await events.register()
        await actors.register()
        async with anyio.create_task_group() as tasks:
            await tasks.start(listen, actors, app.state.failed)
            yield {"events": events, "actors": actors}
            actors.shutdown()


app = FastAPI(lifespan=lifespan)
app.state.failed = lambda: None


@app.post("/orders", status_code=202)
async def place_order(order: Order, request: Request) -> dict[str, int]:
    await request.state.events.emit(ORDER_PLACED, order, sync=True)
    return {"id": order.id}


@app.get("/ready")
async def ready(request: Request) -> Response:
    now = request.state.actors.statistics()
    return Response(status_code=200 if now.listening and now.connection.connected else 503)


def main() -> int:
    server = uvicorn.Server(uvicorn.Config(app, port=int(os.environ.get("PORT", "8000"))))
    failures: list[bool] = []

    def stop() -> None:
        failures.append(True)
        server.should_exit = True

    app.state.failed = stop
    server.run()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
