"""One question to a server for all who want an answer at the same time.

What always holds: an answer is to a question that was asked after the one who gets it wanted it, so nothing here is remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

__all__ = ["Together", "unless_error"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """Who asks while a question is being answered is part of the next one. `ask` answers for each key that it is given."""

    def __init__(self, ask: Callable[[Collection[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._ask = ask
        self._wanted: dict[K, asyncio.Future[V]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, key: K) -> V:
        """The answer for `key`. Raises what `ask` raises. Who is cancelled meanwhile leaves the others their answers."""
        answer = self._wanted.get(key)
        if answer is None:
            answer = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._run())
        return await asyncio.shield(answer)

    async def _run(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                answers = await self._ask(wanted.keys())
                for key, answer in wanted.items():
                    answer.set_result(answers[key])
            except Exception as error:  # noqa: BLE001  # it is raised where the answer is wanted
                for answer in wanted.values():
                    if not answer.done():
                        answer.set_exception(error)
                        answer.exception()  # maybe nobody wants it any more
        self._asking = None


def unless_error(answer: V | Exception) -> V:
    """The answer for one of many, where each has its own; raised if it is why there is none."""
    if isinstance(answer, Exception):
        raise answer
    return answer
