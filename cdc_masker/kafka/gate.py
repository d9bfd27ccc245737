"""Whether the policy in use may mask now. Who publishes asks before each batch, and again before the commit.

It may not once the catalog was found to be another one than was released, until it verifies again; nor when the catalog was not
heard from for too long, since somebody may have decided meanwhile that a value must not be seen any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cdc_masker.kafka.subjects import boottime

__all__ = ["REASONS", "Gate"]

REASONS = {
    "catalog": "the catalog does not verify",
    "stale": "the catalog was not heard from for too long",
}
"""Why it is closed, by code."""


class Gate:
    """Open from the beginning, since whoever makes it just read a policy. `stale_limit`, and what `clock` gives: seconds."""

    def __init__(self, stale_limit: float, *, clock: Callable[[], float] = boottime) -> None:
        self._limit = stale_limit
        self._clock = clock
        self._until = clock() + stale_limit
        self._refused = False
        self._news = asyncio.Event()

    @property
    def closed(self) -> str | None:
        """The code of the reason; None: it is open."""
        if self._refused:
            return "catalog"
        return "stale" if self._clock() >= self._until else None

    def now(self) -> float:
        """The time before a question to the catalog, for `confirm`."""
        return self._clock()

    def confirm(self, asked: float) -> None:
        """The catalog verifies, as of that time."""
        self._refused, self._until = False, asked + self._limit
        self._news.set()
        self._news = asyncio.Event()

    def refuse(self) -> None:
        """The catalog doesn't verify."""
        self._refused = True

    async def opened(self) -> None:
        """Returns when it is open."""
        while self.closed:
            await self._news.wait()
