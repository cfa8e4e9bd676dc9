"""Listening beside a web server, and what happens when it ends with an error."""

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus
from walnats_anyio.types import ConnectedActors

logger = logging.getLogger("shop")


async def listen(
    actors: ConnectedActors, failed: Callable[[], None], *, task_status: TaskStatus[None]
) -> None:
    """Listen until `actors.shutdown()`. An error after the start is logged, and `failed` called.

    Raises:
        Exception: it could not start: then the web server should not start either.
    """
    receiving = False
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(actors.listen)
            receiving = True
            task_status.started()
    except Exception:
        if not receiving:
            raise
        # Not raised: in a lifespan it would end the lifespan, and the web server would go on.
        logger.exception("no events are handled any more")
        failed()
