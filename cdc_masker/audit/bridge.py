"""From a thread in which checks run over plain iterators to the event loop that reads servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["Bridge", "across"]

T = TypeVar("T")


class _Stopped(Exception):
    """Whoever waited for the thread does not any more."""


class Bridge:
    """What the thread has of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stopped = threading.Event()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done on the loop."""
        if self._stopped.is_set():
            work.close()
            raise _Stopped
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def each(self, batches: AsyncIterator[Sequence[T]]) -> Iterator[T]:
        """What the batches hold, one after the other."""

        async def following() -> Sequence[T] | None:
            return await anext(batches, None)

        while (batch := self.wait(following())) is not None:
            yield from batch

    def stop(self) -> None:
        """The thread ends at its next question."""
        self._stopped.set()


async def across(work: Callable[[Bridge], T]) -> T:
    """Runs this in a thread, which ends with the caller."""
    bridge = Bridge(asyncio.get_running_loop())
    thread: Awaitable[T] = asyncio.get_running_loop().run_in_executor(None, work, bridge)
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        bridge.stop()
        raise
