"""Where in a masked partition a source offset is passed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

__all__ = ["At", "Made", "position_past"]


class Made(NamedTuple):
    """A masked record: its offset in the masked partition, and that of the raw record it was made of."""

    position: int
    source: int


At = Callable[[int], Awaitable[Made | None]]
"""Gives the first record at a position or behind it, None if there is none."""


async def position_past(source: int, first: int, end: int, at: At) -> int:
    """The position, from `first` to before `end`, of the first record whose source offset is past `source`, `end` without one.

    Source offsets rise with positions. Looks as often as the number of positions can be halved.
    """
    low, high, found = first, end, end  # records before `low` are not past it; the first at `high` or behind is at `found`
    while low < high:
        middle = (low + high) // 2
        record = await at(middle)
        if record is not None and record.source <= source:
            low = record.position + 1
        else:
            high, found = middle, end if record is None else record.position
    return found
