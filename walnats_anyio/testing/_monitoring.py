"""The monitoring pages of a server.

No NATS client here: a test server must not depend on the client that is tested with it.
"""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from walnats_anyio.testing._ports import HOST

# The proxy of the environment leads out of this machine.
_OPENER = build_opener(ProxyHandler({}))


def read_page(http_port: int, page: str, timeout: float) -> dict[str, Any]:
    """A page of the monitoring port as JSON, whatever its status.

    Raises OSError when it does not come, ValueError or TypeError when it is no JSON object.
    """
    try:
        with _OPENER.open(f"http://{HOST}:{http_port}{page}", timeout=timeout) as answer:
            body = answer.read()
    except HTTPError as refusal:  # /healthz says with 503 what is wrong
        with refusal:
            body = refusal.read()
    except HTTPException as error:
        raise ConnectionError(f"{page} is not answered by HTTP: {error!r}") from error
    return dict(json.loads(body))
