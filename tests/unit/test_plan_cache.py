"""Plans are kept up to a size, whatever comes: many layouts, wide ones, long names, long schemas."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from cdc_masker import plans
from cdc_masker.events import Record
from tests.unit.building import change, described, envelope_schema, masker, record

MIB = 1 << 20


def wide(number: int) -> Record:
    return record(change(after={f"c{number}_{column}": column for column in range(500)}))


def long_named(number: int) -> Record:
    return record(change(after={f"{number}" + "n" * 200_000: 1}))


def long_schema(number: int) -> Record:
    columns = {"id": {"type": "int64", "doc": f"{number}" + "d" * 200_000}}
    return record(described(envelope_schema(columns), change(after={"id": number})))


@pytest.mark.parametrize("make", [wide, long_named, long_schema])
def test_layouts_without_end_take_a_bounded_memory(make: Callable[[int], Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_MOST_BYTES", 2 * MIB)
    masks = masker()
    masks.mask(make(0))
    tracemalloc.start()
    try:
        for number in range(1, 30):
            masks.mask(make(number))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5 * MIB


def test_what_is_used_again_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = masker()
    masks.mask(wide(0))
    monkeypatch.setattr("cdc_masker.engine.Engine.compile", None)
    masks.mask(wide(0))
