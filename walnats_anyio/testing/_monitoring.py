"""The monitoring pages of a server.

No NATS client here: a test server must not depend on the client that is tested with it.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from walnats_anyio.testing._ports import HOST


def read_page(http_port: int, page: str, timeout: float) -> dict[str, Any]:
    """A page of the monitoring port as JSON, whatever its status.

    Raises OSError when it does not come, ValueError or TypeError when it is no JSON object.
    """
    # Here, as it takes longer to import than the rest of this room, and every start of the command
    # line imports the room.
    from http.client import HTTPConnection, HTTPException

    # It takes no proxy of the environment, which would lead out of this machine.
    with closing(HTTPConnection(HOST, http_port, timeout=timeout)) as connection:
        try:
            connection.request("GET", page)
            # The status says what the page says as well: 503 of /healthz comes with the reason.
            body = connection.getresponse().read()
        except HTTPException as error:
            raise ConnectionError(f"{page} is not answered by HTTP: {error!r}") from error
    return dict(json.loads(body))
