"""Where a source offset is passed is found among records, markers and records that are gone."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.replay.positions import Made, position_past

GAPS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=40)


@given(gaps=GAPS, first=st.integers(0, 50), behind=st.integers(0, 9), wanted=st.integers(-1, 200))
def test_it_is_the_first_record_past_the_offset_or_the_end(
    gaps: list[tuple[int, int]], first: int, behind: int, wanted: int
) -> None:
    positions = list(accumulate((gap for gap, _ in gaps), initial=first - 1))[1:]
    sources = list(accumulate((gap for _, gap in gaps), initial=-1))[1:]
    end = (positions[-1] + 1 if positions else first) + behind
    looks = 0

    async def at(position: int) -> Made | None:
        nonlocal looks
        looks += 1
        found = bisect_left(positions, position)
        return Made(positions[found], sources[found]) if found < len(positions) else None

    expected = next((position for position, source in zip(positions, sources, strict=True) if source > wanted), end)
    assert asyncio.run(position_past(wanted, first, end, at)) == expected
    assert looks <= (end - first).bit_length()
