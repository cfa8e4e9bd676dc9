"""The members of a cluster, and what they say of each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from walnats_anyio.testing._config import Config, render_config
from walnats_anyio.testing._errors import NatsServerError
from walnats_anyio.testing._server import NatsServer
from walnats_anyio.testing._waiting import Check


class Member(NatsServer):
    """A server that runs together with others, started and stopped in two steps each."""

    def __init__(
        self,
        *,
        server_name: str,
        config: Config | None,
        cluster: dict[str, object],
        binary: str | Path | None,
        start_timeout: float,
        stop_timeout: float,
    ) -> None:
        super().__init__(
            http_port=0,
            config=config,
            server_name=server_name,
            binary=binary,
            start_timeout=start_timeout,
            stop_timeout=stop_timeout,
        )
        fixed = self._settings.fixed + render_config({"cluster": cluster})
        self._settings = replace(self._settings, fixed=fixed)

    @property
    def answers(self) -> bool:
        return self._inside and self._entered is not None and self._entered.answers

    def launch(self, check: Check) -> None:
        self._begin()
        self._prepare(check).launch()

    def wait_ready(self, check: Check) -> None:
        self._process.wait_ready(check)

    def terminate(self) -> None:
        self._inside = False
        self._process.terminate()

    def wait_stopped(self, check: Check) -> None:
        self._process.wait_stopped(check)

    def close(self) -> None:
        """Kill it, if it runs, and give back what it holds."""
        self._end()

    def meta_view(self) -> dict[str, Any]:
        """What it knows of the cluster; empty when it does not answer."""
        return dict(self._page("/jsz").get("meta_cluster", {}))

    def healthy(self) -> bool:
        """Whether it says that its JetStream has caught up."""
        return self._page("/healthz").get("status") == "ok"

    def leader_known(self, stream: str | None, consumer: str | None) -> str | None:
        """Whom it takes for the leader."""
        if stream is None:
            return _leader_of(self.meta_view())
        for account in self._page("/jsz?consumers=true").get("account_details", []):
            for found in account.get("stream_detail", []):
                if found["name"] != stream:
                    continue
                for part in found.get("consumer_detail", []) if consumer else [found]:
                    if consumer is None or part["name"] == consumer:
                        return _leader_of(part.get("cluster", {}))
        return None

    def _page(self, page: str) -> dict[str, Any]:
        try:
            return self._read_page(page)
        except NatsServerError:  # it is going down or coming up
            return {}


def _leader_of(group: dict[str, Any]) -> str | None:
    leader = group.get("leader")
    return leader if isinstance(leader, str) else None


def agree(members: list[Member], check: Check) -> bool:
    """Whether all follow the same leader, one of them, which says that they are current."""
    views: dict[str, dict[str, Any]] = {}
    for member in members:
        check()
        views[member.server_name] = member.meta_view()
    leaders = {view.get("leader") for view in views.values()}
    leader = leaders.pop() if len(leaders) == 1 else None
    if leader not in views:
        return False
    followers = {
        replica["name"]
        for replica in views[leader].get("replicas", [])
        if replica.get("current") and not replica.get("offline")
    }
    if not views.keys() <= followers | {leader}:
        return False
    # The leader may still believe in a follower that has just gone down and come back.
    for member in members:
        check()
        if not member.healthy():
            return False
    return True
