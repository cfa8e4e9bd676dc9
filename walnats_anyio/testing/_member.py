"""A member of a cluster, and what the members say of each other."""

from __future__ import annotations

from typing import Any

from walnats_anyio.testing._looks import Deadline, Looks
from walnats_anyio.testing._server import NatsServer
from walnats_anyio.testing._wire import read_page

_ANSWER_TIMEOUT = 2.0
"""Seconds in which a member answers a question, or counts as not there."""


class Member(NatsServer):
    """A server that runs together with others."""

    @property
    def inside(self) -> bool:
        return self._inside

    @property
    def answers(self) -> bool:
        return self._inside and self._process.answers

    def entering(self) -> Looks[None]:
        return self._entering()

    def leaving(self) -> Looks[None]:
        return self._leaving()

    def abandon(self) -> None:
        """Kill it, if its context is entered, and give back what it holds."""
        if self._inside:
            self._inside = False
            self._process.close()

    def meta_view(self) -> Looks[dict[str, Any]]:
        """What it knows of the cluster; empty when it does not answer."""
        page = yield from self._page("/jsz")
        return dict(page.get("meta_cluster", {}))

    def healthy(self) -> Looks[bool]:
        """Whether it says that its JetStream has caught up."""
        page = yield from self._page("/healthz")
        return page.get("status") == "ok"

    def leader_known(self, stream: str | None, consumer: str | None) -> Looks[str | None]:
        """Whom it takes for the leader."""
        if stream is None:
            return _leader_of((yield from self.meta_view()))
        page = yield from self._page("/jsz?consumers=true")
        for account in page.get("account_details", []):
            for found in account.get("stream_detail", []):
                if found["name"] != stream:
                    continue
                for part in found.get("consumer_detail", []) if consumer else [found]:
                    if consumer is None or part["name"] == consumer:
                        return _leader_of(part.get("cluster", {}))
        return None

    def _page(self, page: str) -> Looks[dict[str, Any]]:
        assert self.http_port is not None  # the cluster gives each member one
        try:
            return (yield from read_page(self.http_port, page, Deadline(_ANSWER_TIMEOUT)))
        except (OSError, ValueError):  # it is going down or coming up
            return {}


def _leader_of(group: dict[str, Any]) -> str | None:
    leader = group.get("leader")
    return leader if isinstance(leader, str) else None


def agree(members: list[Member]) -> Looks[bool]:
    """Whether all follow the same leader, one of them, which says that they are current."""
    views: dict[str, dict[str, Any]] = {}
    for member in members:
        views[member.server_name] = yield from member.meta_view()
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
        if not (yield from member.healthy()):
            return False
    return True
