"""Places in logs, as people name them: an offset, a time, or the edge of what there is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from cdc_masker.errors import SetupError

__all__ = ["Place", "place"]

Place: TypeAlias = int | datetime | None
"""An offset, the first record of that time or later, or the edge of the log: its earliest record, or its end as of now."""

_MOST = 2**63 - 1


def place(text: str, edge: Literal["earliest", "end"]) -> Place:
    """What somebody wrote: a number is an offset, in each partition. Raises `SetupError` when it is neither that nor a time."""
    if text == edge:
        return None
    if text.isascii() and text.isdecimal() and int(text) <= _MOST:
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SetupError(
            f"{text!r} is no place in a topic; write {edge}, an offset, or a time such as 2026-11-01T06:00:00Z"
        ) from None
    if time.tzinfo is None:
        raise SetupError(f"{text!r} does not say in which zone; write {text}Z for UTC, or an offset such as {text}+01:00")
    if time.timestamp() < 0:
        raise SetupError(f"{text!r} is before 1970, where times of Kafka begin; write {edge}")
    return time
