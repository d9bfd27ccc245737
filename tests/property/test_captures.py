"""Batches of a capture: all of its records, each partition's in their order, within bounds."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.captures.reading import Partition, Sizes, batches, partition_of
from cdc_masker.events import Record

SIZES = st.builds(Sizes, st.integers(1, 5), st.integers(1, 2000), st.integers(1, 5000))
PLACES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 900)), max_size=40)


@given(PLACES, SIZES)
def test_batches_hold_all_records_in_the_order_of_each_partition_within_bounds(
    places: list[tuple[str, int, int]], sizes: Sizes
) -> None:
    records = [Record(topic, number, offset, 0, None, b"x" * size) for offset, (topic, number, size) in enumerate(places)]
    read, masked = 0, 0
    found: dict[Partition, list[Record]] = {}

    def told() -> Iterator[Record]:
        nonlocal read
        for record in records:
            assert read - masked < sizes.buffer
            read += 100 + len(record.value or b"")
            yield record

    for batch in batches(told(), sizes):
        assert len({partition_of(each) for each in batch}) == 1
        assert len(batch) <= sizes.records
        before_last = sum(100 + len(each.value or b"") for each in batch[:-1])
        assert before_last < sizes.bytes
        masked += before_last + 100 + len(batch[-1].value or b"")
        found.setdefault(partition_of(batch[0]), []).extend(batch)
    assert found == {where: [each for each in records if partition_of(each) == where] for where in map(partition_of, records)}
