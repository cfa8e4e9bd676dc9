"""The context of the running job, as an object to pass around."""

from __future__ import annotations

from walnats_anyio._actors.declare import Context, Middleware, current_context


class CurrentContextMiddleware(Middleware):
    """Gives the context of the running job.

    It is here for those who come from walnats: `walnats_anyio.current_context` does the same for
    every actor, without a middleware.
    """

    __slots__ = ()

    @property
    def context(self) -> Context:
        """The context of the running job.

        Raises:
            LookupError: no job runs here.
        """
        return current_context()
