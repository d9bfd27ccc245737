"""Erases subjects, so that it is complete when it returns. It may be cut off anywhere, and is gone through again.

1. Begin: from now on, workers that ask get no key of these subjects, and those that hold one are told to drop it.
2. Wait until each worker that is here has dropped them and said so.
3. Take the ends of all raw logs: records before them are erased, later ones get a new key.
4. Destroy the keys, store the ends and write the receipts, in one transaction; or back to 2, if a worker came in between.

What always holds: no record is masked with a key after that key was destroyed, and whether a record is redacted depends on its
place before or behind the stored ends alone: the catalog moves an end past each batch that was redacted before it was stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from cdc_masker.errors import TransientError
from cdc_masker.ports import ErasureStore
from cdc_masker.subjects import Log, SubjectName

__all__ = ["erase"]

_LOOK_SECONDS = 0.5


async def erase(
    store: ErasureStore,
    names: Iterable[SubjectName],
    reason: str,
    *,
    ends: Callable[[], Awaitable[Mapping[Log, int]]],
    within: float,
    tell: Callable[[str], None],
) -> list[int]:
    """Erases and gives the numbers of the erasures. `ends` looks at the raw logs now; `tell` is told what is waited for.

    Raises `TransientError` when workers have not acknowledged within so many seconds: the erasure goes on being begun.
    """
    numbers = await store.begin(names, reason)
    tell(f"{_named(numbers)} has begun")
    deadline = asyncio.get_running_loop().time() + within
    while True:
        awaited = await store.awaited(max(numbers))
        if not awaited and await store.complete(numbers, await ends()):
            return numbers
        waiting = ", ".join(f"{one.worker} (given up after {one.seconds:.0f} s of silence)" for one in awaited)
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(
                f"{_named(numbers)} is not complete: waiting for {waiting or 'workers that just started'}; what comes of its "
                "subjects is redacted; run this again to complete it"
            )
        if waiting:
            tell(f"{_named(numbers)} waits for {waiting}")
        await asyncio.sleep(_LOOK_SECONDS)


def _named(numbers: list[int]) -> str:
    return "erasure " + ", ".join(map(str, numbers))
