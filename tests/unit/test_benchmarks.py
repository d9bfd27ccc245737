"""The benchmark of methods measures all of them, and values that they really mask."""

from __future__ import annotations

import pytest

from benchmarks.methods import CASES, NEEDS_MORE, masking
from cdc_masker.methods import METHODS


def test_every_method_is_measured() -> None:
    assert {*CASES, *NEEDS_MORE} == set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_what_is_measured_is_masking(name: str) -> None:
    assert not masking(name, CASES[name])()
