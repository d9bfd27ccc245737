"""Places in logs, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cdc_masker.errors import SetupError
from cdc_masker.replay.places import place


def test_an_edge_an_offset_and_a_time() -> None:
    assert place("earliest", "earliest") is None
    assert place("end", "end") is None
    assert place("17", "end") == 17
    assert place("2026-11-01T07:00:00+01:00", "earliest") == datetime(2026, 11, 1, 6, tzinfo=UTC)


NONE = ["end", "-1", "", "now", "٣", str(2**63), "2026-11-01", "2026-11-01T07:00:00", "1960-01-01T00:00Z"]


@pytest.mark.parametrize("text", NONE)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match=r"earliest|zone"):
        place(text, "earliest")
