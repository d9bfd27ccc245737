"""What a masked record says about where it comes from."""

from __future__ import annotations

import re
from typing import Any

from cdc_masker.pipeline import HEADER

__all__ = ["source_offset"]

_ORIGIN = re.compile(rb"v=1;p=[0-9]+;o=([0-9]+);.*")


def source_offset(record: Any) -> int | None:
    """The offset of the raw record that a record of a masked topic was made of, None if it does not say so."""
    origin = _ORIGIN.fullmatch(dict(record.headers).get(HEADER) or b"")
    return None if origin is None else int(origin[1])
