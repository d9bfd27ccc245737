"""The benchmarks measure what they say: all methods, values that they really mask, and the whole evidence of the audit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.audit import batch, proven
from benchmarks.methods import CASES, NEEDS_MORE, masking
from cdc_masker.methods import METHODS
from cdc_masker.policies import EMPTY
from tests.unit.building import masker


def test_every_method_is_measured() -> None:
    assert {*CASES, *NEEDS_MORE} == set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_what_is_measured_is_masking(name: str) -> None:
    assert not masking(name, CASES[name])()


def test_what_is_audited_is_all_that_was_masked() -> None:
    mask = masker().mask
    outcomes = [mask(record) for record in batch("shop.jsonl")]
    assert all(outcome.published and outcome.treatments for outcome in outcomes)
    changed = [*outcomes[:-1], replace(outcomes[-1], value=b"")]
    assert proven(outcomes, EMPTY) != proven(changed, EMPTY)
