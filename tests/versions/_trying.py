"""Trying all features on one server, at the same time, as most of a try is waiting."""

from __future__ import annotations

import anyio

from tests.versions._rows import FEATURES
from tests.versions._site import Feature, Outcome, site_on
from walnats_anyio.testing import NatsServer


async def try_all(server: NatsServer) -> dict[str, Outcome]:
    """Try every feature; gives what became of each, by its name.

    Raises:
        ExceptionGroup: tries that failed, each with the name of the feature.
    """
    outcomes: dict[str, Outcome] = {}

    async def try_one(feature: Feature) -> None:
        try:
            outcomes[feature.name] = await feature.try_on(site_on(server))
        except Exception as error:
            error.add_note(f"while it was tried: {feature.name}")
            raise

    async with anyio.create_task_group() as tasks:
        for feature in FEATURES:
            tasks.start_soon(try_one, feature)
    return outcomes
